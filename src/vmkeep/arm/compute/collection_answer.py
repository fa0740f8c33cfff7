"""Restore point collections as ARM shows them: derived from the recovery points that have an instant tier."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from vmkeep.arm.members import Json
from vmkeep.arm.recoveryservices.scope import machine_of
from vmkeep.arm.service import Service
from vmkeep.arm.wire_time import show_time
from vmkeep.base.units import GIB
from vmkeep.model.collection import COLLECTIONS, collection_name
from vmkeep.model.machine import Consistency
from vmkeep.model.protection import ProtectedItem, RecoveryPoint
from vmkeep.model.restore_point import RestorePoint

_CONSISTENCY = {
    Consistency.APPLICATION: "ApplicationConsistent",
    Consistency.FILE_SYSTEM: "FileSystemConsistent",
    Consistency.CRASH: "CrashConsistent",
}


@dataclass(frozen=True, slots=True)
class Collection:
    """The restore points of one VM, over all vaults that hold it. There is none without a restore point."""

    id: str
    item: ProtectedItem
    """The newest item of the VM."""
    points: tuple[tuple[RestorePoint, RecoveryPoint], ...]
    """Newest first."""

    @property
    def name(self) -> str:
        """Its name in the resource group."""
        return collection_name(self.item.vm_name)


def list_collections(here: Service) -> list[Collection]:
    """Return the collections of all protected VMs."""
    by_vm: defaultdict[str, list[ProtectedItem]] = defaultdict(list)
    for item in sorted(here.catalog.list_items(), key=lambda item: item.created, reverse=True):
        by_vm[item.vm_uuid].append(item)
    collections = [_collection(here, items) for items in by_vm.values()]
    return sorted((one for one in collections if one.points), key=lambda one: one.name)


def _collection(here: Service, items: Sequence[ProtectedItem]) -> Collection:
    points = [point for item in items for point in here.catalog.list_recovery_points(item.id)]
    held = [(point.restore_point, point) for point in points if point.restore_point is not None]
    held.sort(key=lambda pair: pair[0].time, reverse=True)
    return Collection(here.place.collection_id(items[0].vm_name), items[0], tuple(held))


def show_collection(here: Service, collection: Collection, *, with_points: bool) -> Json:
    """Return a collection, its restore points too when asked for."""
    shown: Json = {
        "id": collection.id,
        "name": collection.name,
        "type": COLLECTIONS,
        "location": here.location,
        "tags": {"createdBy": "Azure Backup"},
        "properties": {
            "source": {"id": here.ids.machine(machine_of(collection.item)), "location": here.location},
            "provisioningState": "Succeeded",
            "restorePointCollectionId": collection.item.vm_uuid,
            "vmkeep": {"vm": collection.item.vm_name, "restorePoints": len(collection.points)},
        },
    }
    if with_points:
        shown["properties"]["restorePoints"] = [
            show_restore_point(here, collection, restore_point, point)
            for restore_point, point in collection.points
        ]
    return shown


def show_restore_point(
    here: Service, collection: Collection, restore_point: RestorePoint, point: RecoveryPoint
) -> Json:
    """Return a restore point; `properties.vmkeep` names the recovery point that it backs."""
    return {
        "id": f"{collection.id}/restorePoints/{restore_point.id}",
        "name": restore_point.id,
        "type": f"{COLLECTIONS}/restorePoints",
        "properties": {
            "provisioningState": "Succeeded",
            "consistencyMode": _CONSISTENCY[restore_point.consistency],
            "timeCreated": show_time(restore_point.time),
            "sourceMetadata": {
                "vmId": restore_point.vm_uuid,
                "location": here.location,
                "storageProfile": _storage(restore_point),
            },
            "vmkeep": {"recoveryPoint": point.id, "inVault": bool(point.manifest_id)},
        },
    }


def _storage(restore_point: RestorePoint) -> Json:
    disks = [
        (disk.lun, {"name": disk.name, "diskSizeGB": -(-disk.size_bytes // GIB)})
        for disk in restore_point.disks
    ]
    os_disk = next(({"osType": "Linux", **shown} for lun, shown in disks if lun < 0), None)
    data_disks = [{"lun": lun, **shown} for lun, shown in disks if lun >= 0]
    return {"dataDisks": data_disks} if os_disk is None else {"osDisk": os_disk, "dataDisks": data_disks}
