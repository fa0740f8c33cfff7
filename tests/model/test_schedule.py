"""What due times promise."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmkeep.model.errors import InvalidPolicy
from vmkeep.model.policy_terms import read_schedule
from vmkeep.model.schedule import Schedule, first_instant
from vmkeep.model.time_zones import find_zone

BERLIN = ZoneInfo("Europe/Berlin")
WEEKEND = frozenset({5, 6})
DAY = timedelta(days=1)


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc,arg-type] # year, month, day, hour, minute


def due(schedule: Schedule, after: datetime, until: datetime) -> list[datetime]:
    return list(schedule.due_times(after, until))


def test_time_that_the_clocks_skip_is_due_at_the_first_instant_after_the_gap() -> None:
    schedule = Schedule(BERLIN, (time(2, 30),))
    found = due(schedule, utc(2026, 3, 27, 12), utc(2026, 3, 30, 12))
    assert found == [utc(2026, 3, 28, 1, 30), utc(2026, 3, 29, 1), utc(2026, 3, 30, 0, 30)]


def test_time_that_the_clocks_show_twice_is_due_once_the_first_time() -> None:
    schedule = Schedule(BERLIN, (time(2, 30),))
    found = due(schedule, utc(2026, 10, 24, 12), utc(2026, 10, 26, 12))
    assert found == [utc(2026, 10, 25, 0, 30), utc(2026, 10, 26, 1, 30)]


def test_two_times_in_one_gap_are_due_once() -> None:
    schedule = Schedule(BERLIN, (time(2), time(2, 45)))
    assert due(schedule, utc(2026, 3, 28, 12), utc(2026, 3, 29, 12)) == [utc(2026, 3, 29, 1)]


def test_midnight_that_does_not_exist_is_the_first_instant_of_the_day() -> None:
    assert first_instant(ZoneInfo("Africa/Cairo"), date(2026, 4, 24), time(0)) == utc(2026, 4, 23, 22)


def test_schedule_says_what_is_due_next_and_was_due_last() -> None:
    schedule = Schedule(BERLIN, (time(22),), WEEKEND)
    assert schedule.next_due(utc(2026, 1, 4, 21)) == utc(2026, 1, 10, 21)
    assert schedule.last_due(utc(2025, 1, 1), utc(2026, 1, 9)) == utc(2026, 1, 4, 21)
    assert schedule.last_due(utc(2026, 1, 5), utc(2026, 1, 9)) is None


ZONES = st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"])
TIMES = st.sets(st.times(), min_size=1, max_size=3).map(tuple)
INSTANTS = st.datetimes(datetime(2024, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - bounds


@given(ZONES, TIMES, INSTANTS, st.lists(st.integers(0, 20 * 24), max_size=5))
def test_looking_often_finds_what_looking_once_finds(
    zone: str, times: tuple[time, ...], start: datetime, hours: list[int]
) -> None:
    schedule = Schedule(ZoneInfo(zone), times)
    ends = sorted({start + timedelta(hours=one) for one in [*hours, 20 * 24]})
    pieces = [one for a, b in zip([start, *ends], ends, strict=False) for one in due(schedule, a, b)]
    whole = due(schedule, start, ends[-1])
    assert pieces == whole == sorted(set(whole))


@given(ZONES, st.times(), st.dates(date(2024, 1, 1), date(2030, 1, 1)))
def test_each_day_has_each_time_once(zone: str, at: time, day: date) -> None:
    schedule = Schedule(ZoneInfo(zone), (at.replace(microsecond=0),))
    start = first_instant(schedule.zone, day, time(0)) - timedelta(microseconds=1)
    end = first_instant(schedule.zone, day + DAY, time(0)) - timedelta(microseconds=1)
    assert len(due(schedule, start, end)) == 1


@pytest.mark.parametrize(
    ("name", "iana"),
    [("UTC", "UTC"), ("pacific standard time", "America/Los_Angeles"), ("Asia/Tokyo", "Asia/Tokyo")],
)
def test_zones_have_windows_and_iana_names(name: str, iana: str) -> None:
    now = datetime(2026, 7, 1, tzinfo=UTC)
    assert now.astimezone(find_zone(name)).utcoffset() == now.astimezone(ZoneInfo(iana)).utcoffset()


def test_unknown_zone_is_refused_with_close_names() -> None:
    with pytest.raises(InvalidPolicy, match="did you mean Europe/Paris"):
        find_zone("Europe/Pariss")


def read(**changes: Any) -> Schedule:  # JSON
    return read_schedule({"schedulePolicy": changes, "policyType": changes.pop("kind", "V2")})


def window(interval: object, hours: object) -> dict[str, object]:
    return {
        "interval": interval,
        "scheduleWindowStartTime": "2026-01-01T20:00:00Z",
        "scheduleWindowDuration": hours,
    }


def test_hourly_window_includes_both_ends_and_passes_midnight() -> None:
    schedule = read(scheduleRunFrequency="Hourly", hourlySchedule=window(4, 12))
    assert schedule.times == (time(0), time(4), time(8), time(20))
    assert len(read(scheduleRunFrequency="Hourly", hourlySchedule=window(4, 24)).times) == 6
    assert len(read(scheduleRunFrequency="Hourly", hourlySchedule=window(24, 24)).times) == 1


def test_both_kinds_run_daily_and_weekly() -> None:
    times = {"scheduleRunTimes": ["2026-01-01T02:30:00+00:00"]}
    days = {**times, "scheduleRunDays": ["Sunday", "saturday"]}
    assert read(kind="V1", scheduleRunFrequency="Daily", **times).times == (time(2, 30),)
    assert read(kind="V1", scheduleRunFrequency="Weekly", **days).weekdays == WEEKEND
    assert read(scheduleRunFrequency="Daily", dailySchedule=times).times == (time(2, 30),)
    assert read(scheduleRunFrequency="Weekly", weeklySchedule=days).weekdays == WEEKEND


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({"kind": "V1", "scheduleRunFrequency": "Hourly"}, "needs policyType V2"),
        ({"scheduleRunFrequency": "Monthly"}, "Hourly, Daily or Weekly"),
        ({"scheduleRunFrequency": "Hourly"}, "hourlySchedule is not valid: it is missing"),
        ({"scheduleRunFrequency": "Hourly", "hourlySchedule": window(5, 12)}, "4, 6, 8, 12 or 24"),
        ({"scheduleRunFrequency": "Hourly", "hourlySchedule": window(4, 3)}, "4 to 24"),
        ({"scheduleRunFrequency": "Daily", "dailySchedule": {"scheduleRunTimes": []}}, "one time of day"),
        (
            {"scheduleRunFrequency": "Daily", "dailySchedule": {"scheduleRunTimes": ["x"]}},
            "'x' is not a time",
        ),
        ({"kind": "V1", "schedulePolicyType": "SimpleSchedulePolicyV2"}, "has a SimpleSchedulePolicy"),
    ],
)
def test_schedule_that_makes_no_sense_is_refused(body: dict[str, Any], why: str) -> None:
    with pytest.raises(InvalidPolicy, match=why):
        read(**body)
