"""What a retention plan promises."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from tests.catalog.records import POINT, POLICY, START
from vmkeep.model.protection import RecoveryPoint
from vmkeep.model.retention import Expiry, plan_expiry

NOW = START + timedelta(days=365)
BOTH = POINT.restore_point


def point(
    days_old: float, *, instant: bool = True, vault: bool = True, retained_days: int = 0
) -> RecoveryPoint:
    return replace(
        POINT,
        id=str(int(100000 - days_old * 100)),
        time=NOW - timedelta(days=days_old),
        restore_point=BOTH if instant else None,
        manifest_id="m" if vault else "",
        retain_until=NOW + timedelta(days=retained_days) if retained_days else None,
    )


def plan(*points: RecoveryPoint, most_instant: int = 17) -> tuple[Expiry, ...]:
    return plan_expiry(points, POLICY, now=NOW, most_instant=most_instant)


def ids(expired: Iterable[Expiry], *, dropped: bool) -> list[str]:
    return [one.point.id for one in expired if one.dropped is dropped]


def test_nothing_expires_of_nothing() -> None:
    assert plan() == ()


def test_only_point_stays_whatever_its_age() -> None:
    assert plan(point(400)) == ()


def test_instant_tier_goes_after_its_days_and_the_vault_tier_stays() -> None:
    old = point(3)
    assert plan(point(0), old) == (Expiry(old, dropped=False),)


def test_point_goes_after_the_policys_days() -> None:
    old = point(31, instant=False)
    assert plan(point(0), old) == (Expiry(old, dropped=True),)


def test_point_that_a_person_wants_longer_stays_and_one_they_want_shorter_goes() -> None:
    longer = point(100, instant=False, retained_days=1)
    shorter = point(5, instant=False, retained_days=-1)
    assert plan(point(0), longer, shorter) == (Expiry(shorter, dropped=True),)


def test_point_whose_only_tier_goes_goes() -> None:
    failed_transfer = point(3, vault=False)
    assert plan(point(0), failed_transfer) == (Expiry(failed_transfer, dropped=True),)


def test_base_of_the_next_incremental_stays_when_later_transfers_failed() -> None:
    base = point(50)
    assert plan(point(0, vault=False), point(1, vault=False), base) == ()


def test_too_many_instant_points_are_merged_oldest_first() -> None:
    points = [point(day / 10) for day in range(5)]
    expired = plan(*points, most_instant=3)
    assert [one.point for one in expired] == [points[4], points[3]]
    assert ids(expired, dropped=True) == []


POINTS = st.lists(
    st.builds(
        point,
        st.integers(0, 400),
        instant=st.booleans(),
        vault=st.booleans(),
        retained_days=st.integers(-50, 50),
    ),
    max_size=30,
    unique_by=lambda one: one.id,
)


@given(POINTS, st.integers(1, 18))
def test_something_always_stays_and_a_second_plan_finds_nothing(
    points: list[RecoveryPoint], most_instant: int
) -> None:
    expired = plan(*points, most_instant=most_instant)
    gone = set(ids(expired, dropped=True))
    merged = set(ids(expired, dropped=False))
    left = [
        replace(one, restore_point=None if one.id in merged else one.restore_point)
        for one in points
        if one.id not in gone
    ]
    assert bool(left) is bool(points)
    assert any(one.manifest_id for one in left) is any(one.manifest_id for one in points)
    assert all(one.manifest_id for one in left if one.id in merged)
    assert plan(*left, most_instant=most_instant) == ()


@given(POINTS)
def test_plan_goes_from_old_to_new_and_takes_only_what_is_there(points: list[RecoveryPoint]) -> None:
    expired = plan(*points)
    times = [one.point.time for one in expired]
    assert times == sorted(times)
    assert all(one.dropped or one.point.restore_point for one in expired)
