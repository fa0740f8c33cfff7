"""When backups are due. Pure: a schedule and two instants in, the due times between them out."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

EVERY_DAY = frozenset(range(7))
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Schedule:
    """Times of day on days of the week, as a clock on the wall of the zone shows them, daylight saving included."""

    zone: ZoneInfo
    times: tuple[time, ...]
    weekdays: frozenset[int] = EVERY_DAY
    """Monday is 0, as in `date.weekday`."""

    def due_times(self, after: datetime, until: datetime) -> Iterator[datetime]:
        """Yield the due times in (after, until], in UTC, oldest first.

        A time that the clocks skip is due at the first instant after the gap; one that they show twice is due once,
        the first time.
        """
        day = after.astimezone(self.zone).date() - _DAY
        last = until.astimezone(self.zone).date()
        while day <= last:
            if day.weekday() in self.weekdays:
                found = {first_instant(self.zone, day, at) for at in self.times}
                yield from sorted(due for due in found if after < due <= until)
            day += _DAY

    def next_due(self, after: datetime) -> datetime:
        """Return the first due time after an instant."""
        return next(self.due_times(after, after + timedelta(days=9)))

    def last_due(self, after: datetime, until: datetime) -> datetime | None:
        """Return the last due time in (after, until], or None."""
        week = max(after, until - timedelta(days=9))
        return max(self.due_times(week, until), default=None)


def first_instant(zone: ZoneInfo, day: date, at: time) -> datetime:
    """Return, in UTC, the first instant at which the zone's clocks show this time or, when they skip it, a later one."""
    local = datetime.combine(day, at, tzinfo=zone)
    instant = local.astimezone(UTC)
    if instant.astimezone(zone).replace(tzinfo=None) == local.replace(tzinfo=None):
        return instant
    before, after = local.replace(fold=1).astimezone(UTC), instant
    offset = after.astimezone(zone).utcoffset()
    while after - before > timedelta(seconds=1):
        middle = before + (after - before) // 2
        if middle.astimezone(zone).utcoffset() == offset:
            after = middle
        else:
            before = middle
    return after.replace(microsecond=0)
