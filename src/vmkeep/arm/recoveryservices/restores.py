"""Restores: a new VM, or disks into a folder of the host. Additions to Azure's body: docs/formats/arm-extensions.md."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, assert_never

from fastapi import APIRouter, Request
from fastapi.responses import Response

from vmkeep.arm.authorization.lock_guard import check_locks
from vmkeep.arm.errors import BadRequestBody, NotSupported
from vmkeep.arm.members import Body, any_case
from vmkeep.arm.names import item_id, last_segment
from vmkeep.arm.operations import accepted
from vmkeep.arm.recoveryservices.scope import POINT, TheItem, ThePoint, TheVault, machine_of
from vmkeep.arm.service import Here, Service
from vmkeep.model.disk_selection import OS_LUN
from vmkeep.model.job import Job
from vmkeep.model.lock import Change
from vmkeep.model.machine import DiskFormat
from vmkeep.model.protection import ProtectedItem, RecoveryPoint, Tier

router = APIRouter()


class RecoveryType(StrEnum):
    """Kinds of restore in Azure's words."""

    NEW_VM = "AlternateLocation"
    DISKS = "RestoreDisks"
    REPLACE = "OriginalLocation"


class WireTier(StrEnum):
    """Tiers in Azure's words."""

    INSTANT = "InstantRP"
    VAULT = "HardenedRP"


_TIERS = {WireTier.INSTANT: Tier.INSTANT, WireTier.VAULT: Tier.VAULT}


class RestoredFormat(StrEnum):
    """Formats of restored disk files; encrypted disks are encrypted again in either."""

    QCOW2 = "qcow2"
    RAW = "raw"


class VmkeepRestore(Body):
    """Our additions to a restore."""

    target_folder: str = ""
    disk_format: Annotated[RestoredFormat, any_case(RestoredFormat)] = RestoredFormat.QCOW2
    disk_names: list[str] | None = None
    tier: Annotated[WireTier | None, any_case(WireTier)] = None


class RestoreProperties(Body):
    """What a client wants restored."""

    recovery_type: Annotated[RecoveryType, any_case(RecoveryType)]
    target_virtual_machine_id: str = ""
    virtual_network_id: str = ""
    restore_disk_lun_list: list[int] | None = None
    vmkeep: VmkeepRestore = VmkeepRestore()


class RestoreBody(Body):
    """A restore as clients send it."""

    properties: RestoreProperties


@router.post(f"{POINT}/restore")
def restore(
    *, request: Request, here: Here, vault: TheVault, item: TheItem, point: ThePoint, body: RestoreBody
) -> Response:
    """Start a restore."""
    wanted = body.properties
    match wanted.recovery_type:
        case RecoveryType.NEW_VM:
            job = _new_vm(here, item, point, wanted)
        case RecoveryType.DISKS:
            job = _disks(here, item, point, wanted)
        case RecoveryType.REPLACE:
            raise NotSupported(
                what="restoring over the original VM",
                instead="Restore to a new VM (AlternateLocation) or to disks (RestoreDisks).",
            )
        case _:
            assert_never(wanted.recovery_type)
    return accepted(request, item_id(here.vault_id(vault), machine_of(item)), job.id)


def _new_vm(here: Service, item: ProtectedItem, point: RecoveryPoint, wanted: RestoreProperties) -> Job:
    name = last_segment(wanted.target_virtual_machine_id)
    if not name:
        raise BadRequestBody(why="targetVirtualMachineId must name the new VM")
    check_locks(here, here.ids.machine(here.machine_name(name)), Change.WRITE)
    return here.engine.start_restore_vm(
        item,
        point,
        new_name=name,
        network=last_segment(wanted.virtual_network_id) or None,
        tier=_tier(wanted),
        reason="user: restore vm",
    )


def _disks(here: Service, item: ProtectedItem, point: RecoveryPoint, wanted: RestoreProperties) -> Job:
    folder = Path(wanted.vmkeep.target_folder)
    if not folder.is_absolute():
        raise BadRequestBody(why="properties.vmkeep.targetFolder must be an absolute path on the host")
    return here.engine.start_restore_disks(
        item,
        point,
        folder=folder,
        disk_format=DiskFormat(wanted.vmkeep.disk_format),
        disk_names=_names(point, wanted),
        tier=_tier(wanted),
        reason="user: restore disks",
    )


def _tier(wanted: RestoreProperties) -> Tier | None:
    asked = wanted.vmkeep.tier
    return None if asked is None else _TIERS[asked]


def _names(point: RecoveryPoint, wanted: RestoreProperties) -> tuple[str, ...] | None:
    """Return the disks asked for, by name or by LUN (the OS disk always comes along); None means all."""
    if wanted.vmkeep.disk_names is not None:
        return tuple(wanted.vmkeep.disk_names)
    luns = wanted.restore_disk_lun_list
    if luns is None:
        return None
    names = {disk.lun: disk.name for disk in point.known_disks if disk.included}
    if not names:
        raise BadRequestBody(
            why="restoreDiskLunList does not fit this older point, which is in the vault only; "
            "name the disks in vmkeep.diskNames"
        )
    for lun in luns:
        if lun not in names:
            raise BadRequestBody(
                why=f"the recovery point has no disk with LUN {lun}, only {', '.join(map(str, names))}"
            )
    return tuple(name for lun, name in names.items() if lun in {OS_LUN, *luns})
