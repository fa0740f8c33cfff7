"""Schedule and retention read out of a policy's ARM properties, standard (`V1`) or enhanced (`V2`).

Of a run time only the time of day counts, as the clocks of the policy's time zone show it; its date and `Z` do not.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, time
from typing import Any
from zoneinfo import ZoneInfo

from vmkeep.model.errors import InvalidPolicy
from vmkeep.model.keeping import LAST, ON_DEMAND_SPAN, DayRule, Retention, Span, Unit
from vmkeep.model.schedule import Schedule
from vmkeep.model.time_zones import find_zone

Json = dict[str, Any]
"""A JSON object; its values may be anything JSON can be."""

_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)
_WEEKS = {"first": 1, "second": 2, "third": 3, "fourth": 4, "last": LAST}
_MOST = {Unit.DAYS: 9999, Unit.WEEKS: 5163, Unit.MONTHS: 1188, Unit.YEARS: 99}
_INTERVALS = (4, 6, 8, 12, 24)
_DAY_HOURS = 24
_LAST_SURE_DAY = 28


def read_schedule(properties: Json) -> Schedule:
    """Return when backups are due; raises InvalidPolicy."""
    zone = _zone(properties)
    body = _part(properties, "schedulePolicy")
    enhanced = str(properties.get("policyType", "V1")).upper() == "V2"
    wanted = "SimpleSchedulePolicyV2" if enhanced else "SimpleSchedulePolicy"
    if body.get("schedulePolicyType", wanted) != wanted:
        raise InvalidPolicy("schedulePolicyType", f"a {'V2' if enhanced else 'V1'} policy has a {wanted}")
    frequency = str(body.get("scheduleRunFrequency", "")).lower()
    if frequency == "hourly" and enhanced:
        return Schedule(zone, _hourly(_part(body, "hourlySchedule")))
    if frequency == "daily":
        return Schedule(zone, _times(_part(body, "dailySchedule") if enhanced else body))
    if frequency == "weekly":
        weekly = _part(body, "weeklySchedule") if enhanced else body
        return Schedule(zone, _times(weekly), _weekdays(weekly, "scheduleRunDays"))
    known = "Hourly, Daily or Weekly" if enhanced else "Daily or Weekly (Hourly needs policyType V2)"
    raise InvalidPolicy("scheduleRunFrequency", f"it must be {known}")


def read_retention(properties: Json) -> Retention:
    """Return how long points stay in the vault; 30 days when nothing is said. Raises InvalidPolicy."""
    zone = _zone(properties)
    body = _find_part(properties, "retentionPolicy") or {}
    if body.get("retentionPolicyType") == "SimpleRetentionPolicy":
        return Retention(zone, _span(body, "retentionPolicy"))
    rules = []
    if weekly := _find_part(body, "weeklySchedule"):
        days = _weekdays(weekly, "daysOfTheWeek")
        rules.append(DayRule("weekly", _span(weekly, "weeklySchedule"), weekdays=days))
    if monthly := _find_part(body, "monthlySchedule"):
        rules.append(_month_rule("monthly", monthly, frozenset(range(1, 13))))
    if yearly := _find_part(body, "yearlySchedule"):
        months = _numbers(yearly, "monthsOfYear", _MONTHS, first=1)
        rules.append(_month_rule("yearly", yearly, months))
    daily = _find_part(body, "dailySchedule")
    unnamed = None if rules else ON_DEMAND_SPAN
    return Retention(zone, _span(daily, "dailySchedule") if daily else unnamed, tuple(rules))


def check_terms(properties: Json) -> None:
    """Refuse a policy that could not be kept to; raises InvalidPolicy."""
    schedule = read_schedule(properties)
    retention = read_retention(properties)
    weekly = str(properties["schedulePolicy"]["scheduleRunFrequency"]).lower() == "weekly"
    if not weekly and not retention.daily:
        raise InvalidPolicy("retentionPolicy", "a policy that runs every day needs a dailySchedule")
    if not weekly:
        return
    rule = next((one for one in retention.rules if one.name == "weekly"), None)
    if rule is None:
        raise InvalidPolicy("retentionPolicy", "a policy that runs weekly needs a weeklySchedule")
    idle = [_WEEKDAYS[day] for day in sorted(rule.weekdays - schedule.weekdays)]
    if idle:
        raise InvalidPolicy("weeklySchedule", f"no backup runs on {', '.join(idle)}")


def _zone(properties: Json) -> ZoneInfo:
    return find_zone(str(properties.get("timeZone") or "UTC"))


def _find_part(body: Json, name: str) -> Json | None:
    part = body.get(name)
    if part is not None and not isinstance(part, dict):
        raise InvalidPolicy(name, "it must be an object")
    return part


def _part(body: Json, name: str) -> Json:
    part = _find_part(body, name)
    if part is None:
        raise InvalidPolicy(name, "it is missing")
    return part


def _hourly(body: Json) -> tuple[time, ...]:
    """Return the run times: every `interval` hours from the window's start to its end, both included."""
    interval, hours = body.get("interval"), body.get("scheduleWindowDuration", _DAY_HOURS)
    if interval not in _INTERVALS:
        raise InvalidPolicy("interval", "it must be 4, 6, 8, 12 or 24 hours")
    if not isinstance(hours, int) or not min(_INTERVALS) <= hours <= _DAY_HOURS:
        raise InvalidPolicy("scheduleWindowDuration", "it must be 4 to 24 hours")
    start = _time(body.get("scheduleWindowStartTime"), "scheduleWindowStartTime")
    found = {(start.hour + more) % _DAY_HOURS for more in range(0, hours + 1, interval)}
    return tuple(start.replace(hour=hour) for hour in sorted(found))


def _times(body: Json) -> tuple[time, ...]:
    texts = body.get("scheduleRunTimes")
    if not isinstance(texts, list) or len(texts) != 1:
        raise InvalidPolicy("scheduleRunTimes", "name one time of day, such as 2026-01-01T02:30:00Z")
    return (_time(texts[0], "scheduleRunTimes"),)


def _time(text: object, where: str) -> time:
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError as error:
        raise InvalidPolicy(where, f"'{text}' is not a time such as 2026-01-01T02:30:00Z") from error
    return (moment.astimezone(UTC) if moment.tzinfo else moment).time().replace(second=0, microsecond=0)


def _month_rule(name: str, body: Json, months: frozenset[int]) -> DayRule:
    span = _span(body, f"{name}Schedule")
    if str(body.get("retentionScheduleFormatType", "")).lower() == "daily":
        days = _part(body, "retentionScheduleDaily").get("daysOfTheMonth")
        return DayRule(name, span, months, numbers=frozenset(_day_numbers(days)))
    weekly = _part(body, "retentionScheduleWeekly")
    weeks = _named(weekly, "weeksOfTheMonth", _WEEKS)
    return DayRule(name, span, months, weekdays=_weekdays(weekly, "daysOfTheWeek"), weeks=weeks)


def _day_numbers(days: object) -> Iterable[int]:
    if not isinstance(days, list) or not days or not all(isinstance(day, dict) for day in days):
        raise InvalidPolicy("daysOfTheMonth", "name at least one day")
    for day in days:
        number = LAST if day.get("isLast") else day.get("date")
        if not isinstance(number, int) or not 0 <= number <= _LAST_SURE_DAY:
            raise InvalidPolicy("daysOfTheMonth", "a day is 1 to 28, or isLast for the last of the month")
        yield number


def _span(body: Json, where: str) -> Span:
    duration = _part(body, "retentionDuration")
    units = {unit.value.lower(): unit for unit in Unit}
    unit = units.get(str(duration.get("durationType", "")).lower())
    count = duration.get("count")
    if unit is None:
        raise InvalidPolicy(f"{where}.durationType", "it must be Days, Weeks, Months or Years")
    if not isinstance(count, int) or not 1 <= count <= _MOST[unit]:
        raise InvalidPolicy(f"{where}.count", f"it must be 1 to {_MOST[unit]} {unit.value.lower()}")
    return Span(count, unit)


def _weekdays(body: Json, where: str) -> frozenset[int]:
    return _numbers(body, where, _WEEKDAYS, first=0)


def _numbers(body: Json, where: str, names: tuple[str, ...], *, first: int) -> frozenset[int]:
    return _named(body, where, {name.lower(): number for number, name in enumerate(names, first)})


def _named(body: Json, where: str, numbers: dict[str, int]) -> frozenset[int]:
    wanted = body.get(where)
    if not isinstance(wanted, list) or not wanted or any(str(one).lower() not in numbers for one in wanted):
        known = ", ".join(name.capitalize() for name in numbers)
        raise InvalidPolicy(where, f"name one or more of {known}")
    return frozenset(numbers[str(one).lower()] for one in wanted)
