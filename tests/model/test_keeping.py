"""What retention rules promise."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.catalog.records import POINT
from vmkeep.model.errors import InvalidPolicy
from vmkeep.model.keeping import LAST, DayRule, Retention, Span, Unit
from vmkeep.model.policy_terms import check_terms, read_retention
from vmkeep.model.protection import Policy, RecoveryPoint
from vmkeep.model.retention import plan_expiry

START = datetime(2026, 1, 1, 2, 30, tzinfo=UTC)
DAY = timedelta(days=1)
UTC_ZONE = ZoneInfo("UTC")


def daily_points(days: int) -> dict[str, datetime]:
    return {f"{day:05}": START + day * DAY for day in range(days)}


def days_kept(rule: DayRule, days: int = 400) -> list[date]:
    kept = Retention(UTC_ZONE, Span(1), (rule,)).keep(daily_points(days))
    return [(START + int(name) * DAY).date() for name, one in kept.items() if rule.name in one.rules]


def test_weekly_rule_keeps_the_first_point_of_its_weekday() -> None:
    sundays = days_kept(DayRule("weekly", Span(4, Unit.WEEKS), weekdays=frozenset({6})), 20)
    assert sundays == [date(2026, 1, 1), date(2026, 1, 4), date(2026, 1, 11), date(2026, 1, 18)]


def test_monthly_rule_keeps_numbered_and_last_days() -> None:
    rule = DayRule("monthly", Span(6, Unit.MONTHS), numbers=frozenset({15, LAST}))
    found = days_kept(rule, 70)[1:]
    assert found == [date(2026, 1, 15), date(2026, 1, 31), date(2026, 2, 15), date(2026, 2, 28)]


def test_monthly_rule_keeps_the_nth_and_last_weekday() -> None:
    rule = DayRule("monthly", Span(6, Unit.MONTHS), weekdays=frozenset({1}), weeks=frozenset({2, LAST}))
    found = days_kept(rule, 59)[1:]
    assert found == [date(2026, 1, 13), date(2026, 1, 27), date(2026, 2, 10), date(2026, 2, 24)]


def test_yearly_rule_keeps_its_months_only() -> None:
    rule = DayRule(
        "yearly", Span(3, Unit.YEARS), months=frozenset({7}), weekdays=frozenset({6}), weeks=frozenset({1})
    )
    assert days_kept(rule) == [date(2026, 7, 5)]


def test_missed_day_is_stood_for_by_the_next_point_and_ends_as_if_it_were_not_missed() -> None:
    rule = DayRule("monthly", Span(2, Unit.MONTHS), numbers=frozenset({1}))
    kept = Retention(UTC_ZONE, Span(1), (rule,)).keep({"late": datetime(2026, 5, 3, tzinfo=UTC)})["late"]
    assert (kept.until, kept.rules) == (datetime(2026, 7, 2, tzinfo=UTC), ("daily", "monthly"))


def test_only_the_first_point_of_the_day_is_kept_by_the_rule() -> None:
    rule = DayRule("weekly", Span(4, Unit.WEEKS))
    kept = Retention(UTC_ZONE, Span(7), (rule,)).keep({"a": START, "b": START + timedelta(hours=4)})
    assert [one.rules for one in kept.values()] == [("daily", "weekly"), ("daily",)]


def test_days_are_those_of_the_policys_zone() -> None:
    rule = DayRule("monthly", Span(1, Unit.MONTHS), numbers=frozenset({1}))
    late_evening_in_london = {"a": datetime(2026, 4, 30, 23, 30, tzinfo=UTC)}
    zone = ZoneInfo("Europe/Berlin")
    assert "monthly" in Retention(zone, None, (rule,)).keep(late_evening_in_london)["a"].rules


def test_month_that_is_too_short_ends_at_its_last_day() -> None:
    assert Span(1, Unit.MONTHS).after(date(2026, 1, 31)) == date(2026, 2, 28)
    assert Span(4, Unit.YEARS).after(date(2024, 2, 29)) == date(2028, 2, 29)


SPANS = st.builds(Span, st.integers(1, 30), st.sampled_from(list(Unit)[:3]))
DAY_RULES = st.one_of(
    st.builds(DayRule, st.just("weekly"), SPANS, weekdays=st.frozensets(st.integers(0, 6), min_size=1)),
    st.builds(DayRule, st.just("monthly"), SPANS, numbers=st.frozensets(st.integers(0, 28), min_size=1)),
    st.builds(
        DayRule,
        st.just("yearly"),
        SPANS,
        months=st.frozensets(st.integers(1, 12), min_size=1),
        weekdays=st.frozensets(st.integers(0, 6), min_size=1),
        weeks=st.frozensets(st.integers(0, 4), min_size=1),
    ),
)
RULES = st.lists(DAY_RULES, max_size=3).map(tuple)
DAILY = st.one_of(st.none(), st.builds(Span, st.integers(1, 60)))
HOURS = st.lists(st.integers(0, 400 * 24), min_size=1, max_size=25, unique=True)


@given(DAILY, RULES, HOURS)
def test_point_lives_as_long_as_the_longest_of_its_rules_alone(
    daily: Span | None, rules: tuple[DayRule, ...], hours: list[int]
) -> None:
    times = {f"{hour:05}": START + timedelta(hours=hour) for hour in hours}
    together = Retention(UTC_ZONE, daily, rules).keep(times)
    for rule in rules:
        alone = Retention(UTC_ZONE, None, (rule,)).keep(times)
        for name, kept in alone.items():
            if rule.name in kept.rules:
                assert together[name].until >= kept.until


class OnePolicy(Policy):
    """A policy that has its retention as an object."""

    __slots__ = ()
    rules: Retention

    @property
    def retention(self) -> Retention:
        return type(self).rules


def recovery_point(hour: int, *, vault: bool, instant: bool) -> RecoveryPoint:
    return replace(
        POINT,
        id=f"{hour:05}",
        time=START + timedelta(hours=hour),
        restore_point=POINT.restore_point if instant else None,
        manifest_id="m" if vault else "",
    )


POINTS = st.lists(
    st.builds(recovery_point, st.integers(0, 400 * 24), vault=st.booleans(), instant=st.booleans()),
    max_size=25,
    unique_by=lambda point: point.id,
)


@given(POINTS, DAILY, RULES, st.lists(st.integers(0, 900), min_size=1, max_size=4))
def test_order_and_number_of_expiries_do_not_matter(
    points: list[RecoveryPoint], daily: Span | None, rules: tuple[DayRule, ...], looks: list[int]
) -> None:
    OnePolicy.rules = Retention(UTC_ZONE, daily, rules)
    policy = OnePolicy("v", "p", {})

    def expire(left: list[RecoveryPoint], day: int) -> list[RecoveryPoint]:
        plan = plan_expiry(left, policy, now=START + day * DAY, most_instant=17)
        dropped = {one.point.id: one.dropped for one in plan}
        return [
            replace(one, restore_point=None) if one.id in dropped else one
            for one in left
            if not dropped.get(one.id)
        ]

    often = points
    for day in sorted(looks):
        often = expire(often, day)
    assert often == expire(points, max(looks))
    assert bool(often) is bool(points)


def duration(count: int, unit: str) -> dict[str, Any]:  # JSON
    return {"retentionDuration": {"count": count, "durationType": unit}}


WEEKLY = {"daysOfTheWeek": ["Sunday"], **duration(12, "Weeks")}
FIRST_SUNDAY = {"daysOfTheWeek": ["Sunday"], "weeksOfTheMonth": ["First"]}
MONTHLY = {
    "retentionScheduleFormatType": "Weekly",
    "retentionScheduleWeekly": FIRST_SUNDAY,
    **duration(60, "Months"),
}
YEARLY = {
    "retentionScheduleFormatType": "Daily",
    "monthsOfYear": ["January", "July"],
    "retentionScheduleDaily": {"daysOfTheMonth": [{"date": 1, "isLast": False}, {"isLast": True}]},
    **duration(10, "Years"),
}


def test_azures_retention_is_read_whole() -> None:
    body = {
        "retentionPolicyType": "LongTermRetentionPolicy",
        "dailySchedule": duration(30, "Days"),
        "weeklySchedule": WEEKLY,
        "monthlySchedule": MONTHLY,
        "yearlySchedule": YEARLY,
    }
    read = read_retention({"retentionPolicy": body})
    assert read.daily == Span(30)
    weekly, monthly, yearly = read.rules
    assert (weekly.weekdays, weekly.span) == (frozenset({6}), Span(12, Unit.WEEKS))
    assert (monthly.weeks, monthly.weekdays) == (frozenset({1}), frozenset({6}))
    assert (yearly.months, yearly.numbers) == (frozenset({1, 7}), frozenset({1, LAST}))


@pytest.mark.parametrize(
    ("retention", "why"),
    [
        ({"dailySchedule": duration(0, "Days")}, "1 to 9999 days"),
        ({"dailySchedule": duration(5, "Fortnights")}, "Days, Weeks, Months or Years"),
        ({"weeklySchedule": WEEKLY}, "needs a dailySchedule"),
        ({"weeklySchedule": "Sunday"}, "must be an object"),
        (
            {"monthlySchedule": {**YEARLY, "retentionScheduleDaily": {"daysOfTheMonth": ["1"]}}},
            "at least one day",
        ),
        (
            {"dailySchedule": duration(5, "Days"), "weeklySchedule": {**WEEKLY, "daysOfTheWeek": []}},
            "name one or more",
        ),
    ],
)
def test_retention_that_makes_no_sense_is_refused(retention: dict[str, Any], why: str) -> None:
    daily = {"scheduleRunFrequency": "Daily", "scheduleRunTimes": ["2026-01-01T02:30:00Z"]}
    with pytest.raises(InvalidPolicy, match=why):
        check_terms({"schedulePolicy": daily, "retentionPolicy": retention})


def test_weekly_policy_keeps_points_of_days_on_which_backups_run() -> None:
    weekly = {
        "scheduleRunFrequency": "Weekly",
        "scheduleRunDays": ["Monday"],
        "scheduleRunTimes": ["2026-01-01T02:30:00Z"],
    }
    with pytest.raises(InvalidPolicy, match="no backup runs on Sunday"):
        check_terms({"schedulePolicy": weekly, "retentionPolicy": {"weeklySchedule": WEEKLY}})
    with pytest.raises(InvalidPolicy, match="needs a weeklySchedule"):
        check_terms({"schedulePolicy": weekly, "retentionPolicy": {"dailySchedule": duration(5, "Days")}})
