"""What a policy would do: the backups of a year, and which of their points would be left. Pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from vmkeep.model.keeping import Kept
from vmkeep.model.policy_terms import Json, read_retention, read_schedule

YEAR = timedelta(days=365)


@dataclass(frozen=True, slots=True)
class PreviewedPoint:
    """A backup to come, in the policy's time zone, and how long its point is kept."""

    time: datetime
    kept: Kept

    def lives_at(self, moment: datetime) -> bool:
        """Return whether the point exists at a moment."""
        return self.time <= moment <= self.kept.until


def preview_points(properties: Json, start: datetime, span: timedelta = YEAR) -> list[PreviewedPoint]:
    """Return the points of all backups due in (start, start + span], oldest first; raises InvalidPolicy."""
    schedule = read_schedule(properties)
    times = {due.isoformat(): due for due in schedule.due_times(start, start + span)}
    kept = read_retention(properties).keep(times)
    return [PreviewedPoint(due.astimezone(schedule.zone), kept[name]) for name, due in times.items()]
