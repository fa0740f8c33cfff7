"""What the agent is told: goal state, configs and the settings of a snapshot (docs/formats/wire.md §3, §4)."""

import base64
import json
import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import quote
from xml.sax.saxutils import escape, quoteattr

from vmkeep.fabric.wire.certificates import TenantKey
from vmkeep.fabric.wire.identity import GuestIdentity

WIRE_SERVER = "http://168.63.129.16:80"
PROTOCOL_VERSION = "2012-11-30"
OS_DISK_LUN = -1

_XML = '<?xml version="1.0" encoding="utf-8"?>'
_TICKS_EPOCH = datetime(1, 1, 1, tzinfo=UTC)

VERSIONS_DOCUMENT = (
    f"{_XML}<Versions><Preferred><Version>{PROTOCOL_VERSION}</Version></Preferred>"
    f"<Supported><Version>{PROTOCOL_VERSION}</Version></Supported></Versions>"
)


@dataclass(frozen=True, slots=True)
class ExtensionSettings:
    """Settings of one snapshot as the extension reads them: JSON text under a sequence number."""

    seq_no: int
    runtime_settings: str


@dataclass(frozen=True, slots=True)
class Goal:
    """What the wire server asks a VM's agent to reach. `last_seq_no` is the highest ever given out."""

    incarnation: int
    last_seq_no: int
    settings: ExtensionSettings | None = None
    previous: ExtensionSettings | None = None


@dataclass(frozen=True, slots=True)
class ExtensionName:
    """Which extension at which version."""

    name: str
    version: str


def instance_name(identity: GuestIdentity) -> str:
    """Return the VM's name in the alphabet of the goal state's ids."""
    return "_" + re.sub(r"[^A-Za-z0-9.-]", "-", identity.vm_name)[:64]


def status_url(container_id: str) -> str:
    """Return where the agent uploads its status."""
    return f"{WIRE_SERVER}/status/{container_id}"


def goal_state_document(identity: GuestIdentity, container_id: str, incarnation: int) -> str:
    """Return the goal state."""
    instance = instance_name(identity)
    base = (
        f"{WIRE_SERVER}/machine/{container_id}/{quote(instance)}?comp=config&incarnation={incarnation}&type="
    )
    urls = "".join(
        f"<{element}>{escape(base + kind)}</{element}>"
        for element, kind in (
            ("HostingEnvironmentConfig", "hostingEnvironmentConfig"),
            ("SharedConfig", "sharedConfig"),
            ("Certificates", "certificates"),
            ("ExtensionsConfig", "extensionsConfig"),
        )
    )
    deployment = container_id
    return (
        f"{_XML}<GoalState><Version>{PROTOCOL_VERSION}</Version><Incarnation>{incarnation}</Incarnation>"
        "<Machine><ExpectedState>Started</ExpectedState></Machine>"
        f"<Container><ContainerId>{container_id}</ContainerId><RoleInstanceList><RoleInstance>"
        f"<InstanceId>{escape(instance)}</InstanceId><State>Started</State><Configuration>{urls}"
        f"<ConfigName>{deployment}.0.{deployment}.0.{escape(instance)}.1.xml</ConfigName>"
        "</Configuration></RoleInstance></RoleInstanceList></Container></GoalState>"
    )


def hosting_environment_document(identity: GuestIdentity, container_id: str, incarnation: int) -> str:
    """Return the hosting environment; its role guid is what the extension takes for the machine's identity."""
    instance = quoteattr(instance_name(identity))
    return (
        f'{_XML}<HostingEnvironmentConfig version="1.0.0.0" goalStateIncarnation="{incarnation}">'
        f'<Deployment name="{container_id}" guid="{{{container_id}}}" incarnation="0"/>'
        f'<Incarnation number="1" instance={instance} guid="{{{container_id}}}"/>'
        f'<Role guid={quoteattr("{" + identity.role_guid + "}")} name={instance} hostingEnvironmentVersion="1"/>'
        "</HostingEnvironmentConfig>"
    )


def shared_config_document(incarnation: int) -> str:
    """Return the shared config, which nobody reads."""
    return f'{_XML}<SharedConfig version="1.0.0.0" goalStateIncarnation="{incarnation}"/>'


def extensions_config_document(goal: Goal, container_id: str, extension: ExtensionName, now: datetime) -> str:
    """Return the extensions config: our extension with its settings, once a first snapshot was asked for."""
    return (
        f'{_XML}<Extensions version="1.0.0.0" goalStateIncarnation="{goal.incarnation}">'
        "<GuestAgentExtension><GAFamilies/></GuestAgentExtension>"
        f'<StatusUploadBlob statusBlobType="BlockBlob">{status_url(container_id)}</StatusUploadBlob>'
        f"{_plugins(goal.settings, extension)}"
        f'<InVMGoalStateMetaData inSvdSeqNo="{goal.incarnation}" createdOnTicks="{ticks(now)}" '
        f'activityId="{container_id}" correlationId="{container_id}"/></Extensions>'
    )


def _plugins(settings: ExtensionSettings | None, extension: ExtensionName) -> str:
    if settings is None:
        return "<Plugins/><PluginSettings/>"
    named = f"name={quoteattr(extension.name)} version={quoteattr(extension.version)}"
    return (
        f'<Plugins><Plugin {named} state="enabled" location="{WIRE_SERVER}/extension/manifest.xml" '
        'autoUpgrade="false" runAsStartupTask="false" isJson="true" useExactVersion="true"/></Plugins>'
        f'<PluginSettings><Plugin {named}><RuntimeSettings seqNo="{settings.seq_no}">'
        f"{escape(settings.runtime_settings)}</RuntimeSettings></Plugin></PluginSettings>"
    )


def manifest_document(extension: ExtensionName) -> str:
    """Return where the extension's one version is downloaded from."""
    return (
        f"{_XML}<PluginVersionManifest><Plugins><Plugin><Version>{escape(extension.version)}</Version>"
        f"<Uris><Uri>{WIRE_SERVER}/extension/package.zip</Uri></Uris></Plugin></Plugins></PluginVersionManifest>"
    )


def snapshot_settings(
    *, task_id: str, token: str, luns: Collection[int], now: datetime, tenant: TenantKey
) -> str:
    """Return the runtime settings that make the extension take one snapshot of `luns` through the host."""
    custom = {
        "takeSnapshotFrom": "onlyHost",
        "isManagedVm": True,
        "backupTaskId": task_id,
        "waDiskLunList": [],
        "canTakeCrashConsistentSnapshot": False,
        "backupRetryCount": 0,
    }
    public = {
        "commandToExecute": "snapshot",
        "vmType": "microsoft.compute/virtualmachines",
        "taskId": task_id,
        "locale": "en-us",
        "logsBlobUri": "",
        "statusBlobUri": "",
        "commandStartTimeUTCTicks": str(ticks(now)),
        "customSettings": json.dumps(custom),
        "objectStr": base64.b64encode(json.dumps(_snapshot_object(task_id, token, luns)).encode()).decode(),
    }
    handler = {
        "publicSettings": public,
        "protectedSettings": tenant.protect(b"{}"),
        "protectedSettingsCertThumbprint": tenant.thumbprint,
    }
    return json.dumps({"runtimeSettings": [{"handlerSettings": handler}]})


def _snapshot_object(task_id: str, token: str, luns: Collection[int]) -> dict[str, object]:
    return {
        "backupMetadata": [{"Key": "backupTaskId", "Value": task_id}],
        "snapshotTaskToken": token,
        "includedDisks": {
            "dataDiskLunList": sorted(lun for lun in luns if lun != OS_DISK_LUN),
            "isOSDiskIncluded": OS_DISK_LUN in luns,
            "isAnyDiskExcluded": False,
            "isAnyWADiskIncluded": False,
            "isVmgsBlobIncluded": False,
            "isAnyDirectDriveDiskIncluded": False,
            "isVmmdBlobIncluded": False,
            "isVMADEEnabled": False,
        },
        "dynamicConfigsFromCRP": [],
    }


def ticks(when: datetime) -> int:
    """Return `when` in units of 100 ns since 0001-01-01."""
    return (when - _TICKS_EPOCH) // timedelta(microseconds=1) * 10
