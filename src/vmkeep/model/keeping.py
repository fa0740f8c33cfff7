"""How long points are kept in the vault. Pure: times in, ends of life and the rules that decided them out."""

import calendar
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from typing import TypeVar
from zoneinfo import ZoneInfo

from vmkeep.model.schedule import EVERY_DAY, first_instant

LAST = 0
"""The last day of a month, or the last such weekday."""
DAILY, ON_DEMAND = "daily", "on demand"
_LATE_DAYS = 7
_D = TypeVar("_D", date, datetime)


class Unit(StrEnum):
    """The wire spelling of Azure Backup."""

    DAYS = "Days"
    WEEKS = "Weeks"
    MONTHS = "Months"
    YEARS = "Years"


@dataclass(frozen=True, slots=True)
class Span:
    """So many days, weeks, months or years."""

    count: int
    unit: Unit = Unit.DAYS

    def after(self, start: _D) -> _D:
        """Return the day so much later; a month that is too short ends at its last day."""
        match self.unit:
            case Unit.DAYS:
                return start + timedelta(days=self.count)
            case Unit.WEEKS:
                return start + timedelta(weeks=self.count)
            case Unit.MONTHS:
                months = self.count
            case Unit.YEARS:
                months = 12 * self.count
        year, month = divmod(start.year * 12 + start.month - 1 + months, 12)
        day = min(start.day, calendar.monthrange(year, month + 1)[1])
        return start.replace(year=year, month=month + 1, day=day)


ON_DEMAND_SPAN = Span(30)
"""How long a point stays that no rule names: as Azure keeps a backup on demand."""


@dataclass(frozen=True, slots=True)
class DayRule:
    """The first point of each day it names is kept for `span`, counted from that day.

    A day is named by its month and either its number in the month, or its weekday and, if given, which of these in
    the month it is.
    """

    name: str
    """`weekly`, `monthly` or `yearly`."""
    span: Span
    months: frozenset[int] = frozenset(range(1, 13))
    numbers: frozenset[int] = frozenset()
    """1 to 28, or LAST; empty: weekdays count."""
    weekdays: frozenset[int] = EVERY_DAY
    weeks: frozenset[int] = frozenset()
    """1 to 4, or LAST; empty: every week."""

    def names(self, day: date) -> bool:
        """Return whether this is one of the rule's days."""
        if day.month not in self.months:
            return False
        month_days = calendar.monthrange(day.year, day.month)[1]
        if self.numbers:
            return day.day in self.numbers or (LAST in self.numbers and day.day == month_days)
        if day.weekday() not in self.weekdays:
            return False
        week = (day.day + 6) // 7
        return not self.weeks or week in self.weeks or (LAST in self.weeks and day.day + 7 > month_days)

    def find_day(self, day: date) -> date | None:
        """Return the rule's day that a point of `day` may stand for: itself, or one up to six days ago."""
        days = (day - timedelta(days=back) for back in range(_LATE_DAYS))
        return next((one for one in days if self.names(one)), None)


@dataclass(frozen=True, slots=True)
class Kept:
    """Until when a point is kept, and by which rules."""

    until: datetime
    rules: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Retention:
    """Rules for the vault tier. A point lives as long as the longest of its rules says.

    `daily` holds for every point. A point no rule names is kept for 30 days.
    Because a rule's span counts from the day it names, a later point of that day gains nothing when the first is gone:
    expiring twice leaves what expiring once, later, would have left.
    """

    zone: ZoneInfo
    daily: Span | None = None
    rules: tuple[DayRule, ...] = ()

    def keep(self, times: Mapping[str, datetime]) -> dict[str, Kept]:
        """Return what is kept until when, of points given as id → time."""
        in_order = sorted(times, key=lambda point: (times[point], point))
        ends: dict[str, list[tuple[str, datetime]]] = {point: [] for point in in_order}
        days = {point: times[point].astimezone(self.zone).date() for point in in_order}
        if self.daily:
            for point in in_order:
                ends[point].append((DAILY, self.daily.after(times[point])))
        for rule in self.rules:
            for point, day in self._first_points(rule, in_order, days):
                ends[point].append((rule.name, self._end(rule, day)))
        return {point: _longest(times[point], found) for point, found in ends.items()}

    def shortest(self, moment: datetime) -> datetime:
        """Return until when a point is kept that stands for no rule's day."""
        return (self.daily or ON_DEMAND_SPAN).after(moment)

    def _first_points(
        self, rule: DayRule, in_order: Iterable[str], days: Mapping[str, date]
    ) -> Iterable[tuple[str, date]]:
        seen = set()
        for point in in_order:
            day = rule.find_day(days[point])
            if day is not None and day not in seen:
                seen.add(day)
                yield point, day

    def _end(self, rule: DayRule, day: date) -> datetime:
        """Return the end of the rule's last day."""
        return first_instant(self.zone, rule.span.after(day) + timedelta(days=1), time(0))


def _longest(moment: datetime, found: list[tuple[str, datetime]]) -> Kept:
    if not found:
        return Kept(ON_DEMAND_SPAN.after(moment), (ON_DEMAND,))
    return Kept(max(end for _, end in found), tuple(name for name, _ in found))
