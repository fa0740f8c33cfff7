"""Locks that keep an item's restore points from being deleted."""

from collections.abc import Sequence

from vmkeep.model.lock import Change, Lock, locks_against
from vmkeep.model.protection import ProtectedItem
from vmkeep.workflows.errors import ScopeLocked
from vmkeep.workflows.pillars import Pillars


def locks_on_restore_points(pillars: Pillars, item: ProtectedItem) -> Sequence[Lock]:
    """Return the locks that forbid to delete an item's restore points."""
    collection = pillars.place.collection_id(item.vm_name)
    return locks_against(pillars.catalog.list_locks(), collection, Change.DELETE)


def refuse_locked(pillars: Pillars, item: ProtectedItem) -> None:
    """Raise ScopeLocked when an item's restore points must not be deleted."""
    locks = locks_on_restore_points(pillars, item)
    if locks:
        raise ScopeLocked.by(locks, pillars.place.collection_id(item.vm_name), Change.DELETE)
