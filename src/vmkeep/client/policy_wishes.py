"""A policy's ARM body out of what people wish for."""

from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]
"""A JSON object; its values may be anything JSON can be."""

_DATE = "2026-01-01"
_ALL_DAY_HOURS = 24


@dataclass(frozen=True, slots=True)
class PolicyWishes:
    """What a policy should be; None leaves it as it is."""

    at: str | None = None
    """Time of day, HH:MM."""
    every_hours: int | None = None
    for_hours: int | None = None
    weekdays: tuple[str, ...] = ()
    time_zone: str | None = None
    instant_days: int | None = None
    days: int | None = None
    weeks: int | None = None
    months: int | None = None
    years: int | None = None
    auto_remedy: str | None = None
    """`safe`: safe remedies are carried out by themselves; `off`."""

    def apply(self, properties: Json) -> Json:
        """Return a policy's properties with the wishes fulfilled."""
        changed = {**properties, "retentionPolicy": self._retention(dict(properties["retentionPolicy"]))}
        if self.auto_remedy is not None:
            changed["vmkeep"] = {"autoRemedy": self.auto_remedy}
        if self.time_zone is not None:
            changed["timeZone"] = self.time_zone
        if self.instant_days is not None:
            changed["instantRpRetentionRangeInDays"] = self.instant_days
        if self.every_hours is not None:
            changed["policyType"] = "V2"
        if self.every_hours or self.for_hours or self.at or self.weekdays:
            changed["schedulePolicy"] = self._schedule(changed["policyType"], changed["schedulePolicy"])
        return changed

    def _schedule(self, kind: str, present: Json) -> Json:
        window = {} if self.weekdays else present.get("hourlySchedule") or {}
        every = self.every_hours or window.get("interval")
        start = _moment(self.at) if self.at else _find_moment(present)
        if every:
            hours = self.for_hours or window.get("scheduleWindowDuration") or _ALL_DAY_HOURS
            hourly = {
                "interval": every,
                "scheduleWindowStartTime": start,
                "scheduleWindowDuration": hours,
            }
            return _body("Hourly", {"hourlySchedule": hourly}, enhanced=True)
        days = list(self.weekdays) or _find(present, "scheduleRunDays")
        times = {"scheduleRunTimes": [start]} | ({"scheduleRunDays": days} if days else {})
        frequency = "Weekly" if days else "Daily"
        if kind == "V2":
            return _body(frequency, {f"{frequency.lower()}Schedule": times}, enhanced=True)
        return _body(frequency, times, enhanced=False)

    def _retention(self, body: Json) -> Json:
        """Return the rules; weekly and longer ones keep Sunday's point, or that of the first day backups run."""
        day = {"daysOfTheWeek": [self.weekdays[0] if self.weekdays else "Sunday"]}
        first = {
            "retentionScheduleFormatType": "Weekly",
            "retentionScheduleWeekly": {**day, "weeksOfTheMonth": ["First"]},
        }
        if self.weekdays:
            body.pop("dailySchedule", None)
            if "weeklySchedule" in body:
                body["weeklySchedule"] = {**body["weeklySchedule"], "daysOfTheWeek": list(self.weekdays)}
        wanted: dict[str, tuple[int | None, str, Json]] = {
            "dailySchedule": (self.days, "Days", {}),
            "weeklySchedule": (self.weeks, "Weeks", day),
            "monthlySchedule": (self.months, "Months", first),
            "yearlySchedule": (self.years, "Years", {**first, "monthsOfYear": ["January"]}),
        }
        for name, (count, unit, which) in wanted.items():
            if count is not None:
                duration = {"count": count, "durationType": unit}
                body[name] = {**which, **body.get(name, {}), "retentionDuration": duration}
        return body


def _body(frequency: str, times: Json, *, enhanced: bool) -> Json:
    kind = "SimpleSchedulePolicyV2" if enhanced else "SimpleSchedulePolicy"
    return {"schedulePolicyType": kind, "scheduleRunFrequency": frequency, **times}


def _find(schedule: Json, name: str) -> Any:  # JSON of any shape
    """Return a member of a schedule or of one of its parts, or None."""
    parts = [schedule, *(part for part in schedule.values() if isinstance(part, dict))]
    return next((part[name] for part in parts if part.get(name)), None)


def _find_moment(schedule: Json) -> str:
    times = _find(schedule, "scheduleRunTimes")
    return str(times[0] if times else _find(schedule, "scheduleWindowStartTime") or _moment("00:00"))


def _moment(time_of_day: str) -> str:
    """Return a time as policies carry it: only the time of day counts."""
    return f"{_DATE}T{time_of_day}:00Z"
