"""Take recovery points away, or only their instant tier; each can be done twice."""

from dataclasses import dataclass, replace

import structlog

from vmkeep.base.errors import VmkeepError
from vmkeep.model.disk_key import NO_KEYS, CarriedKey, DiskKeys
from vmkeep.model.protection import ProtectedItem, RecoveryPoint
from vmkeep.model.restore_point import RestorePoint
from vmkeep.workflows.disk_keys import open_keys
from vmkeep.workflows.journal import Json
from vmkeep.workflows.pillars import Pillars
from vmkeep.workflows.ports import IsCancelled, OnBytes
from vmkeep.workflows.restore_point_locks import refuse_locked

log = structlog.get_logger()

_VM_IS_GONE = {"VmNotFound", "VmVanished"}


@dataclass(frozen=True, slots=True)
class Removal:
    """What is to be taken away of one recovery point."""

    item_id: str
    vault_id: str
    point_id: str
    restore_point: RestorePoint | None
    manifest_id: str
    """Empty: the vault tier stays."""
    dropped: bool
    """Whether the recovery point itself goes."""
    disk_keys: tuple[CarriedKey, ...] = ()

    @classmethod
    def of(cls, item: ProtectedItem, point: RecoveryPoint, *, dropped: bool) -> "Removal":
        """Return the removal of a whole point, or of its instant tier."""
        return cls(
            item_id=item.id,
            vault_id=item.vault_id,
            point_id=point.id,
            restore_point=point.restore_point,
            manifest_id=point.manifest_id if dropped else "",
            dropped=dropped,
            disk_keys=point.disk_keys,
        )

    @classmethod
    def of_stray(cls, point: RestorePoint, item: ProtectedItem | None) -> "Removal":
        """Return the removal of a restore point that no recovery point has."""
        return cls(
            item_id=item.id if item else "",
            vault_id=item.vault_id if item else "",
            point_id=point.id,
            restore_point=point,
            manifest_id="",
            dropped=False,
        )

    def to_json(self) -> dict[str, Json]:
        """Return the removal as JSON values."""
        return {
            "item_id": self.item_id,
            "vault_id": self.vault_id,
            "point_id": self.point_id,
            "restore_point": self.restore_point and self.restore_point.to_json(),
            "manifest_id": self.manifest_id,
            "dropped": self.dropped,
            "disk_keys": [key.to_json() for key in self.disk_keys],
        }

    @classmethod
    def from_json(cls, data: dict[str, Json]) -> "Removal":
        """Read what `to_json` wrote."""
        point = data["restore_point"]
        keys = tuple(CarriedKey.from_json(key) for key in data.get("disk_keys", ()))
        return cls(**{**data, "restore_point": point and RestorePoint.from_json(point), "disk_keys": keys})


def remove(pillars: Pillars, removal: Removal, *, on_progress: OnBytes, cancelled: IsCancelled) -> None:
    """Take away what a removal says: rows first, then data.

    Raises ScopeLocked, with nothing taken away, and what the pillars raise, WorkCancelled among it.
    """
    _refuse_locked(pillars, removal)
    _change_row(pillars, removal)
    if removal.manifest_id:
        vault = pillars.catalog.get_vault_by_id(removal.vault_id)
        pillars.repositories.open(vault).delete_manifest(removal.manifest_id)
    if removal.restore_point:
        _merge(pillars, removal, removal.restore_point, on_progress, cancelled)
    log.info("recovery_point.removed", point=removal.point_id, whole=removal.dropped)


def remove_data_first(
    pillars: Pillars, removal: Removal, *, on_progress: OnBytes, cancelled: IsCancelled
) -> None:
    """Take a restore point away, then its row: what cannot be merged stays listed, to be deleted again.

    Only for a job, which keeps others off the point meanwhile. Raises what the fabric raises, WorkCancelled among it.
    """
    if removal.restore_point:
        _merge(pillars, removal, removal.restore_point, on_progress, cancelled)
    _change_row(pillars, removal)
    log.info("restore_point.removed", point=removal.point_id, whole=removal.dropped)


def _refuse_locked(pillars: Pillars, removal: Removal) -> None:
    """Let a removal that has begun go on: its restore point is no longer listed."""
    point = pillars.catalog.find_recovery_point(removal.item_id, removal.point_id)
    if point is not None and point.restore_point is not None:
        refuse_locked(pillars, pillars.catalog.get_item(removal.item_id))


def _change_row(pillars: Pillars, removal: Removal) -> None:
    if removal.dropped:
        pillars.catalog.delete_recovery_point(removal.item_id, removal.point_id)
        return
    point = pillars.catalog.find_recovery_point(removal.item_id, removal.point_id)
    if point is not None:
        pillars.catalog.put_recovery_point(replace(point, restore_point=None))


def _merge(
    pillars: Pillars, removal: Removal, point: RestorePoint, on_progress: OnBytes, cancelled: IsCancelled
) -> None:
    keys = _find_keys(pillars, removal)
    try:
        pillars.fabric.merge(point, on_progress=on_progress, cancelled=cancelled, keys=keys)
    except VmkeepError as error:
        if error.code not in _VM_IS_GONE:
            raise
        log.info("recovery_point.vm_gone", vm=point.vm_name, restore_point=point.id)


def _find_keys(pillars: Pillars, removal: Removal) -> DiskKeys:
    """Return the keys a removal carries; none when they cannot be opened, for under a running VM none are needed."""
    try:
        return open_keys(pillars, removal.vault_id, removal.point_id, removal.disk_keys)
    except VmkeepError as error:
        log.warning("recovery_point.keys_closed", point=removal.point_id, code=error.code, message=str(error))
        return NO_KEYS
