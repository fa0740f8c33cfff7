"""What a policy still wants of an item's recovery points. Pure: a list and a time in, a plan out."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from vmkeep.model.errors import InvalidPolicy
from vmkeep.model.protection import Policy, RecoveryPoint


@dataclass(frozen=True, slots=True)
class Expiry:
    """One recovery point that loses something: its instant tier (`dropped` false) or all it has (`dropped` true)."""

    point: RecoveryPoint
    dropped: bool


def plan_expiry(
    points: Sequence[RecoveryPoint], policy: Policy, *, now: datetime, most_instant: int
) -> tuple[Expiry, ...]:
    """Return what has expired, oldest first, so that layers are merged from the bottom up.

    - An instant tier lasts the policy's days, and only the `most_instant` newest points have one.
    - A point lasts as long as the longest of its rules says, or until `retain_until` when a person asked for that.
    - A point whose only tier goes, goes.
    - Never expire: the newest point, the newest in the vault, and the restore point that the next incremental backup
      will start from (the newest that is also in the vault); and nothing under a policy that makes no sense.
    """
    newest_first = sorted(points, key=lambda point: (point.time, point.id), reverse=True)
    in_vault = [point.id for point in newest_first if point.manifest_id]
    bases = [point.id for point in newest_first if point.manifest_id and point.restore_point]
    instant = [point.id for point in newest_first if point.restore_point]
    kept_points = {*[point.id for point in newest_first][:1], *in_vault[:1], *bases[:1]}
    kept_instant = {*instant[:1], *bases[:1]}
    too_many = set(instant[most_instant:])
    instant_until = now - timedelta(days=policy.instant_days)
    try:
        ends = ends_of_life(points, policy)
    except InvalidPolicy:
        return ()
    expired = []
    for point in reversed(newest_first):
        instant_over = (
            point.restore_point is not None
            and point.id not in kept_instant
            and (point.time < instant_until or point.id in too_many)
        )
        over = ends[point.id] < now or (instant_over and not point.manifest_id)
        if over and point.id not in kept_points:
            expired.append(Expiry(point, dropped=True))
        elif instant_over:
            expired.append(Expiry(point, dropped=False))
    return tuple(expired)


def ends_of_life(points: Sequence[RecoveryPoint], policy: Policy) -> dict[str, datetime]:
    """Return until when each point is kept; raises InvalidPolicy.

    Only points in the vault whose end the policy decides stand for a rule's day: one that will soon be gone, or that a
    person gave an end of its own, must not take the day from one that stays.
    """
    retention = policy.retention
    candidates = {point.id: point.time for point in points if point.manifest_id and not point.retain_until}
    ends = {point_id: kept.until for point_id, kept in retention.keep(candidates).items()}
    for point in points:
        if point.id not in ends:
            ends[point.id] = point.retain_until or retention.shortest(point.time)
    return ends
