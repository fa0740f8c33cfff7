"""Microsoft's own SDK and log-in library, over HTTPS, walk the whole way from vault to restore."""

import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    ResourceExistsError,
    ResourceNotFoundError,
)
from azure.identity import ClientSecretCredential
from azure.mgmt.compute import ComputeManagementClient
from azure.mgmt.recoveryservices import RecoveryServicesClient
from azure.mgmt.recoveryservices.models import Sku, Vault, VaultProperties
from azure.mgmt.recoveryservicesbackup import RecoveryServicesBackupClient
from azure.mgmt.recoveryservicesbackup.models import (
    AzureIaaSComputeVMProtectedItem,
    AzureIaaSVMProtectionPolicy,
    BackupRequestResource,
    BackupStatusRequest,
    DailyRetentionSchedule,
    DiskExclusionProperties,
    ExtendedProperties,
    HourlySchedule,
    IaasVMBackupRequest,
    IaasVMRestoreRequest,
    LongTermRetentionPolicy,
    PreValidateEnableBackupRequest,
    ProtectedItemResource,
    ProtectionPolicyResource,
    RestoreRequestResource,
    RetentionDuration,
    SimpleSchedulePolicyV2,
)
from azure.mgmt.resource.locks import ManagementLockClient
from azure.mgmt.resource.locks.models import ManagementLockObject

from tests.arm.running import Running, run_service
from tests.catalog.records import RESTORE_POINT
from vmkeep.client.credentials import Credentials, read_credentials
from vmkeep.model.outlook import OutlookLine, Weight

GROUP = "local"


class Sdk:
    """The SDK's clients, logged in."""

    def __init__(self, known: Credentials, secret: str) -> None:
        trust = str(known.ca_file)
        self._credential = ClientSecretCredential(
            known.tenant,
            known.client_id,
            secret,
            authority=known.url,
            disable_instance_discovery=True,
            connection_verify=trust,
        )
        where: dict[str, Any] = {  # options of several types
            "base_url": known.url,
            "credential_scopes": [f"{known.url}/.default"],
            "connection_verify": trust,
        }
        self._vault_client = RecoveryServicesClient(self._credential, known.subscription, **where)
        self.vaults: Any = self._vault_client.vaults  # the SDK calls nearly every member optional
        self.backup: Any = RecoveryServicesBackupClient(self._credential, known.subscription, **where)
        self.locks: Any = ManagementLockClient(self._credential, known.subscription, **where)
        self.compute: Any = ComputeManagementClient(self._credential, known.subscription, **where)
        self.machine_id = (
            f"/subscriptions/{known.subscription}/resourceGroups/{GROUP}"
            "/providers/Microsoft.Compute/virtualMachines/web01"
        )

    def close(self) -> None:
        for part in (self._credential, self._vault_client, self.backup, self.locks, self.compute):
            part.close()

    def create_vault(self) -> None:
        wanted = Vault(location="local", sku=Sku(name="RS0"), properties=VaultProperties())
        made = self.vaults.begin_create_or_update(GROUP, "main", wanted).result()
        assert made.properties.provisioning_state == "Succeeded"

    @property
    def policy_id(self) -> str:
        return str(self.backup.protection_policies.get("main", GROUP, "DefaultPolicy").id)

    def protect(self) -> tuple[str, str]:
        (free, _) = self.backup.backup_protectable_items.list("main", GROUP)
        assert free.properties.friendly_name == "web01"
        container, item = free.id.split("/")[-3], free.id.split("/")[-1]
        wanted = ProtectedItemResource(
            properties=AzureIaaSComputeVMProtectedItem(
                policy_id=self.policy_id, source_resource_id=self.machine_id
            )
        )
        poller = self.backup.protected_items.begin_create_or_update(
            "main", GROUP, "Azure", container, item, wanted
        )
        poller.result()
        return container, item


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    logging.getLogger("azure").setLevel(logging.ERROR)
    with run_service(tmp_path / "state") as service:
        yield service


@pytest.fixture
def sdk(running: Running) -> Iterator[Sdk]:
    known = read_credentials(running.ready.client_file)
    logged_in = Sdk(known, known.client_secret)
    yield logged_in
    logged_in.close()


def test_sdk_walks_from_vault_to_restore(sdk: Sdk, running: Running) -> None:
    sdk.create_vault()
    container, item = sdk.protect()
    where = ("main", GROUP, "Azure", container, item)

    until = datetime.now(UTC) + timedelta(days=30)  # noqa: TID251 - the service runs on the real clock
    request = IaasVMBackupRequest(recovery_point_expiry_time_in_utc=until)
    sdk.backup.backups.trigger(*where, BackupRequestResource(properties=request))

    jobs = list(sdk.backup.backup_jobs.list("main", GROUP))
    assert [job.properties.operation for job in jobs] == ["Backup", "ConfigureBackup"]
    details = sdk.backup.job_details.get("main", GROUP, jobs[0].name)
    tasks = details.properties.extended_info.tasks_list
    assert [task.task_id for task in tasks] == ["Take Snapshot", "Transfer data to vault"]

    (point,) = sdk.backup.recovery_points.list(*where)
    assert sdk.backup.recovery_points.get(*where, point.name).properties.recovery_point_type == (
        "FileSystemConsistent"
    )
    protected = sdk.backup.protected_items.get(*where)
    assert protected.properties["protectionState"] == "Protected"

    restore = IaasVMRestoreRequest(
        recovery_point_id=point.name,
        recovery_type="AlternateLocation",
        source_resource_id=sdk.machine_id,
        target_virtual_machine_id=sdk.machine_id.replace("web01", "web01-copy"),
    )
    sdk.backup.restores.begin_trigger(*where, point.name, RestoreRequestResource(properties=restore)).result()
    assert running.engine.restores == [
        {"point": point.name, "name": "web01-copy", "network": None, "tier": None}
    ]


def test_sdk_stops_resumes_and_deletes(sdk: Sdk) -> None:
    sdk.create_vault()
    container, item = sdk.protect()
    where = ("main", GROUP, "Azure", container, item)
    change = sdk.backup.protected_items.begin_create_or_update
    stop = AzureIaaSComputeVMProtectedItem(
        policy_id="", protection_state="ProtectionStopped", source_resource_id=sdk.machine_id
    )
    stopped = change(*where, ProtectedItemResource(properties=stop)).result()
    assert stopped.properties["protectionState"] == "ProtectionStopped"
    assert stopped.properties["policyName"] == "DefaultPolicy"
    resume = AzureIaaSComputeVMProtectedItem(policy_id=sdk.policy_id, source_resource_id=sdk.machine_id)
    resumed = change(*where, ProtectedItemResource(properties=resume)).result()
    assert resumed.properties["protectionState"] == "IRPending"
    sdk.backup.protected_items.delete(*where)
    assert list(sdk.backup.backup_protected_items.list("main", GROUP)) == []
    sdk.vaults.begin_delete(GROUP, "main").result()
    with pytest.raises(ResourceNotFoundError):
        sdk.vaults.get(GROUP, "main")


def test_sdk_makes_changes_lists_and_deletes_policies(sdk: Sdk) -> None:
    sdk.create_vault()
    policies = sdk.backup.protection_policies
    duration = RetentionDuration(count=30, duration_type="Days")
    window = HourlySchedule(
        interval=4,
        schedule_window_start_time=datetime(2026, 1, 1, 8, tzinfo=UTC),
        schedule_window_duration=12,
    )
    wanted = AzureIaaSVMProtectionPolicy(
        policy_type="V2",
        schedule_policy=SimpleSchedulePolicyV2(schedule_run_frequency="Hourly", hourly_schedule=window),
        retention_policy=LongTermRetentionPolicy(
            daily_schedule=DailyRetentionSchedule(retention_duration=duration)
        ),
        instant_rp_retention_range_in_days=30,
        time_zone="Pacific Standard Time",
    )
    policies.create_or_update("main", GROUP, "often", ProtectionPolicyResource(properties=wanted))
    shown = policies.get("main", GROUP, "often")
    assert shown.properties.time_zone == "Pacific Standard Time"
    shown.properties.schedule_policy.hourly_schedule.interval = 5
    with pytest.raises(HttpResponseError, match="4, 6, 8, 12 or 24"):
        policies.create_or_update("main", GROUP, "often", shown)
    shown.properties.schedule_policy.hourly_schedule.interval = 6
    policies.create_or_update("main", GROUP, "often", shown)
    names = [policy.name for policy in sdk.backup.backup_policies.list("main", GROUP)]
    assert names == ["DefaultPolicy", "EnhancedPolicy", "often"]
    sdk.protect()
    with pytest.raises(HttpResponseError, match="protected items use it"):
        policies.begin_delete("main", GROUP, "DefaultPolicy").result()
    policies.begin_delete("main", GROUP, "often").result()


def test_sdk_selects_disks(sdk: Sdk) -> None:
    sdk.create_vault()
    where = ("main", GROUP, "Azure", *sdk.protect())
    change = sdk.backup.protected_items.begin_create_or_update

    def put(extended: ExtendedProperties) -> Any:  # the SDK reads our item as its base class
        wanted = AzureIaaSComputeVMProtectedItem(
            policy_id=sdk.policy_id, source_resource_id=sdk.machine_id, extended_properties=extended
        )
        answer = change(*where, ProtectedItemResource(properties=wanted)).result()
        return answer.properties["extendedProperties"]

    only_os_disk = DiskExclusionProperties(disk_lun_list=[], is_inclusion_list=True)
    assert put(ExtendedProperties(disk_exclusion_properties=only_os_disk)) == {
        "diskExclusionProperties": {"diskLunList": [], "isInclusionList": True}
    }
    assert put(ExtendedProperties()) == {}


def test_sdk_validates_a_vm_before_it_is_protected(sdk: Sdk, running: Running) -> None:
    sdk.create_vault()
    vault_id = sdk.policy_id.partition("/backupPolicies")[0]

    def validate(vault: str) -> Any:  # the SDK calls every member optional
        question = PreValidateEnableBackupRequest(
            resource_type="VM", resource_id=sdk.machine_id, vault_id=vault
        )
        return sdk.backup.protection_intent.validate("local", question)

    running.engine.lines.append(OutlookLine("Protection", Weight.FAILURE, "not protected yet"))
    assert validate(vault_id).status == "Succeeded"
    refused = OutlookLine("Disks", Weight.FAILURE, "too large", "UserErrorUnsupportedDiskSize", "Split it.")
    running.engine.lines.append(refused)
    answer = validate(vault_id)
    assert (answer.status, answer.error_code, answer.recommendation) == ("Failed", refused.code, "Split it.")
    sdk.protect()
    elsewhere = validate(vault_id.replace("/main", "/other"))
    assert elsewhere.error_code == "BMSUserErrorContainerAlreadyRegisteredInDifferentVault"


def test_sdk_learns_which_vault_protects_a_vm(sdk: Sdk) -> None:
    sdk.create_vault()
    question = BackupStatusRequest(resource_type="VM", resource_id=sdk.machine_id)
    assert sdk.backup.backup_status.get("local", question).vault_id is None
    sdk.protect()
    answer = sdk.backup.backup_status.get("local", question)
    assert answer.vault_id.endswith("/vaults/main")


def test_sdk_reads_our_errors(sdk: Sdk) -> None:
    with pytest.raises(ResourceNotFoundError, match="vaults/nothing"):
        sdk.vaults.get(GROUP, "nothing")
    sdk.create_vault()
    sdk.protect()
    with pytest.raises(HttpResponseError, match="cannot be deleted") as refused:
        sdk.vaults.begin_delete(GROUP, "main").result()
    assert refused.value.status_code == 409


def test_sdk_with_a_wrong_secret_is_refused(running: Running) -> None:
    stranger = Sdk(read_credentials(running.ready.client_file), "wrong")
    with pytest.raises(ClientAuthenticationError, match="AADSTS7000215"):
        stranger.vaults.get(GROUP, "main")
    stranger.close()


def test_sdk_locks_and_deletes_a_restore_point_collection(sdk: Sdk, running: Running) -> None:
    sdk.create_vault()
    container, item = sdk.protect()
    request = BackupRequestResource(properties=IaasVMBackupRequest())
    sdk.backup.backups.trigger("main", GROUP, "Azure", container, item, request)
    [protected] = running.catalog.list_items()
    [point] = running.catalog.list_recovery_points(protected.id)
    running.catalog.put_recovery_point(replace(point, restore_point=RESTORE_POINT))

    [collection] = sdk.compute.restore_point_collections.list_all()
    group, name = collection.id.split("/")[4], collection.name
    assert (group, name) == ("AzureBackupRG_local_1", "AzureBackup_web01_1")
    assert collection.source.id == sdk.machine_id
    shown = sdk.compute.restore_point_collections.get(group, name, expand="restorePoints")
    assert [one.name for one in shown.restore_points] == [RESTORE_POINT.id]

    wanted = ManagementLockObject(level="CanNotDelete", notes="why")
    locks = sdk.locks.management_locks
    made = locks.create_or_update_at_resource_group_level(group, "keep", wanted)
    assert (made.level, made.notes) == ("CanNotDelete", "why")
    assert [one.id for one in locks.list_at_subscription_level()] == [made.id]
    with pytest.raises(ResourceExistsError, match="following scope"):
        sdk.compute.restore_point_collections.begin_delete(group, name).result()
    locks.delete_at_resource_group_level(group, "keep")

    sdk.compute.restore_point_collections.begin_delete(group, name).result()
    assert list(sdk.compute.restore_point_collections.list(group)) == []
    locks.create_or_update_by_scope(sdk.machine_id, "vm", wanted)
    [left] = locks.list_at_resource_level(GROUP, "Microsoft.Compute", "", "virtualMachines", "web01")
    assert left.id == locks.get_by_scope(sdk.machine_id, "vm").id
