"""Recovery points of an item."""

from dataclasses import asdict

from fastapi import APIRouter, Request

from vmkeep.arm.filters import Filter
from vmkeep.arm.keyvault.addresses import suffix_of
from vmkeep.arm.keyvault.bundles import show_bytes
from vmkeep.arm.members import Json
from vmkeep.arm.names import VAULTS, item_id
from vmkeep.arm.paging import page
from vmkeep.arm.recoveryservices.scope import ITEM, POINT, FilterText, TheItem, ThePoint, TheVault, machine_of
from vmkeep.arm.service import Here, Service
from vmkeep.arm.wire_time import find_time, show_time
from vmkeep.model.machine import Consistency
from vmkeep.model.protection import ProtectedItem, RecoveryPoint, Tier, Vault
from vmkeep.model.restore_point import PointDisk

router = APIRouter()

CONSISTENCY = {
    Consistency.APPLICATION: "AppConsistent",
    Consistency.FILE_SYSTEM: "FileSystemConsistent",
    Consistency.CRASH: "CrashConsistent",
}
_TIERS = {Tier.INSTANT: "InstantRP", Tier.VAULT: "HardenedRP"}


@router.get(f"{ITEM}/recoveryPoints")
def list_points(
    request: Request, here: Here, vault: TheVault, item: TheItem, filter_text: FilterText = None
) -> Json:
    """Return an item's recovery points, newest first, as filtered by date."""
    asked = Filter(filter_text)
    start, end = asked.find_time("startDate"), asked.find_time("endDate")
    points = [
        point
        for point in here.catalog.list_recovery_points(item.id)
        if (start is None or point.time >= start) and (end is None or point.time <= end)
    ]
    return page(request, points, lambda point: show_point(here, vault, item, point))


@router.get(POINT)
def get_point(here: Here, vault: TheVault, item: TheItem, point: ThePoint) -> Json:
    """Return one recovery point."""
    return show_point(here, vault, item, point)


def show_point(here: Service, vault: Vault, item: ProtectedItem, point: RecoveryPoint) -> Json:
    """Return a recovery point as ARM shows it."""
    return {
        "id": f"{item_id(here.vault_id(vault), machine_of(item))}/recoveryPoints/{point.id}",
        "name": point.id,
        "type": f"{VAULTS}/backupFabrics/protectionContainers/protectedItems/recoveryPoints",
        "properties": {
            "objectType": "IaasVMRecoveryPoint",
            "recoveryPointType": CONSISTENCY[point.consistency],
            "recoveryPointTime": show_time(point.time),
            "recoveryPointAdditionalInfo": "; ".join(warned.message for warned in point.warnings),
            "recoveryPointTierDetails": [
                {"type": wire, "status": "Valid"} for tier, wire in _TIERS.items() if tier in point.tiers
            ],
            "recoveryPointProperties": {"expiryTime": find_time(point.retain_until), "isSoftDeleted": False},
            "recoveryPointMoveReadinessInfo": {
                "ArchivedRP": {"isReadyForMove": False, "additionalInfo": "There is no archive tier."}
            },
            "sourceVMStorageType": "PremiumLRS",
            "isSourceVMEncrypted": bool(point.disk_keys),
            "keyAndSecret": _key_and_secret(here, point),
            "isInstantIlrSessionActive": False,
            "isManagedVirtualMachine": True,
            "originalStorageAccountOption": False,
            "osType": "Linux",
            "securityType": "None",
            "recoveryPointDiskConfiguration": _disks(point),
            "vmkeep": {
                "consistency": point.consistency.value,
                "sizeBytes": point.size_bytes,
                "storedBytes": point.stored_bytes,
                "frozenSeconds": point.restore_point.frozen_s if point.restore_point else None,
                "diskKeys": [
                    {
                        "disk": key.disk,
                        "keyVault": key.reference.key_vault,
                        "secret": key.reference.secret,
                        "version": key.version,
                        "secretBackup": show_bytes(key.secret_backup),
                    }
                    for key in point.disk_keys
                ],
                "warnings": [asdict(one) for one in point.warnings],
            },
        },
    }


def _key_and_secret(here: Service, point: RecoveryPoint) -> Json | None:
    """Return where the OS disk's key was, as Azure does. `secretData` is the key vault's own, sealed backup of it."""
    if not point.disk_keys:
        return None
    key = point.disk_keys[0]
    url = key.reference.key_vault
    if not key.reference.is_elsewhere:
        url = f"https://{url}.{suffix_of(next(iter(here.netlocs), 'localhost'))}"
    return {
        "bekDetails": {
            "secretUrl": f"{url}/secrets/{key.reference.secret}/{key.version}",
            "secretData": show_bytes(key.secret_backup),
        },
        "encryptionMechanism": "LUKS",
    }


def _disks(point: RecoveryPoint) -> Json | None:
    """Return the disks that the point has and those that were left out; None for old points that do not know."""
    disks = point.known_disks
    if not disks:
        return None
    included = [_disk(disk) for disk in disks if disk.included]
    return {
        "numberOfDisksIncludedInBackup": len(included),
        "numberOfDisksAttachedToVm": len(disks),
        "includedDiskList": included,
        "excludedDiskList": [_disk(disk) for disk in disks if not disk.included],
    }


def _disk(disk: PointDisk) -> Json:
    return {"lun": disk.lun, "name": disk.name, "diskSizeInGb": -(-disk.size_bytes // 2**30)}
