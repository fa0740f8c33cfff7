"""Locks on restore points, and the limit they can drive a VM into."""

from collections.abc import Sequence

from vmkeep.model.lock import Change, Lock, locks_against
from vmkeep.model.protection import ProtectedItem, RecoveryPoint
from vmkeep.model.retention import plan_expiry
from vmkeep.workflows.errors import LimitCause, RestorePointLimitReached, ScopeLocked, name_locks
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


def check_restore_points(pillars: Pillars, item: ProtectedItem) -> None:
    """Refuse one restore point too many, with the cause that is found; raises RestorePointLimitReached."""
    points = pillars.catalog.list_recovery_points(item.id)
    held, limit = sum(point.restore_point is not None for point in points), pillars.limits.instant_points
    if held < limit:
        return
    locks = locks_on_restore_points(pillars, item)
    raise RestorePointLimitReached(
        vm=item.vm_name,
        restore_points=held,
        limit=limit,
        cause=LimitCause.LOCK if locks else _cause_without_lock(pillars, item, points),
        locks=name_locks(locks),
    )


def _cause_without_lock(pillars: Pillars, item: ProtectedItem, points: Sequence[RecoveryPoint]) -> LimitCause:
    """Tell points that are too many although none is too old from points that should have gone already."""
    policy = pillars.catalog.get_policy(item.vault_id, item.policy_name)
    expired = plan_expiry(points, policy, now=pillars.clock.now(), most_instant=len(points))
    waiting = any(expiry.point.restore_point for expiry in expired)
    return LimitCause.CLEAN_UP_BEHIND if waiting else LimitCause.SEVERAL_BACKUPS_A_DAY
