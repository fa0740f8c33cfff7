"""What the scheduler promises."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.workflows.world import LIMITS, World
from vmkeep.base.clock import FakeClock
from vmkeep.catalog.errors import JobNotFound
from vmkeep.model.job import Job, JobStatus
from vmkeep.model.protection import Policy, ProtectionState
from vmkeep.workflows.scheduler import run_id

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def daily_at(hour: int, days: int = 30) -> dict[str, Any]:  # JSON
    duration = {"count": days, "durationType": "Days"}
    return {
        "policyType": "V1",
        "schedulePolicy": {
            "schedulePolicyType": "SimpleSchedulePolicy",
            "scheduleRunFrequency": "Daily",
            "scheduleRunTimes": [f"2026-01-01T{hour:02}:00:00Z"],
        },
        "retentionPolicy": {"dailySchedule": {"retentionDuration": duration}},
    }


class Days:
    """A world whose clock stands at 01:00 and whose first look has happened; one item is due daily at 02:00."""

    def __init__(self, world: World) -> None:
        self.world = world
        assert isinstance(world.clock, FakeClock)
        self.clock = world.clock
        midnight = self.clock.now().replace(hour=0, minute=0, second=0, microsecond=0)
        self.today = midnight + DAY
        self.at(self.today + HOUR)
        self.item = world.protect()
        self.set_policy(2)
        self.look()

    @property
    def due(self) -> datetime:
        return self.today + 2 * HOUR

    def set_policy(self, hour: int) -> None:
        policy = Policy(self.item.vault_id, self.item.policy_name, daily_at(hour))
        self.world.catalog.put_policy(policy)

    def at(self, moment: datetime) -> None:
        self.clock.advance((moment - self.clock.now()).total_seconds())

    def look(self) -> None:
        self.world.engine.scheduler.look()

    def look_at(self, moment: datetime) -> None:
        self.at(moment)
        self.look()

    def ran(self, due: datetime) -> Job:
        job_id = run_id(self.item.id, due)
        self.world.wait_until(lambda: self.world.is_done(job_id))
        return self.world.catalog.get_job(job_id)

    def jobs(self) -> list[Job]:
        return self.world.catalog.list_jobs(item_id=self.item.id)


@pytest.fixture
def days(world: World) -> Iterator[Days]:
    days = Days(world)
    yield days
    world.catalog.update_item(days.item.id, state=ProtectionState.PROTECTION_STOPPED)


def test_due_backup_runs_once_and_says_why(days: Days) -> None:
    assert days.jobs() == []
    days.look_at(days.due)
    job = days.ran(days.due)
    assert (job.status, job.reason) == (JobStatus.COMPLETED, "Scheduled: policy DefaultPolicy")
    days.look()
    days.look_at(days.due + HOUR)
    assert len(days.jobs()) == 1
    assert len(days.world.points(days.item)) == 1
    assert days.world.catalog.find_due_run(days.item.id) is None


def test_missed_backups_run_once_the_latest_only(days: Days) -> None:
    days.look_at(days.due + 5 * DAY + HOUR)
    assert days.ran(days.due + 5 * DAY).status is JobStatus.COMPLETED
    assert len(days.jobs()) == 1


def test_clock_that_went_back_repeats_no_run_and_loses_none(days: Days) -> None:
    days.look_at(days.due + 3 * DAY)
    days.ran(days.due + 3 * DAY)
    days.look_at(days.due - timedelta(minutes=30))
    days.look_at(days.due)
    days.ran(days.due)
    days.look_at(days.due + 3 * DAY + HOUR)
    assert days.world.catalog.find_due_run(days.item.id) is None
    assert {job.id for job in days.jobs()} == {
        run_id(days.item.id, days.due),
        run_id(days.item.id, days.due + 3 * DAY),
    }


def test_run_whose_workflow_is_forgotten_is_not_repeated(days: Days) -> None:
    days.look_at(days.due)
    job = days.ran(days.due)
    begin = {"item": days.item.id, "due": days.due.isoformat()}
    days.world.catalog.note_due_runs({days.item.id: days.due}, looked_until=days.clock.now())
    assert days.world.engine.scheduler._begin(job.id, begin) is None
    assert days.world.catalog.find_due_run(days.item.id) is None


def test_changed_schedule_makes_nothing_due_in_the_past(days: Days) -> None:
    days.look_at(days.due)
    days.ran(days.due)
    days.look_at(days.due + 8 * HOUR)
    days.set_policy(4)
    days.look_at(days.due + 9 * HOUR)
    assert len(days.jobs()) == 1
    days.look_at(days.today + DAY + 4 * HOUR)
    days.ran(days.today + DAY + 4 * HOUR)


def test_stopped_item_is_not_backed_up(days: Days) -> None:
    days.world.catalog.update_item(days.item.id, state=ProtectionState.BACKUPS_SUSPENDED)
    days.look_at(days.due)
    assert days.jobs() == []
    days.world.catalog.update_item(days.item.id, state=ProtectionState.PROTECTED)
    days.look_at(days.due + HOUR)
    assert days.jobs() == []


def test_item_protected_after_its_due_time_waits_for_the_next(days: Days) -> None:
    days.at(days.due + HOUR)
    late = days.world.protect()
    days.world.catalog.put_policy(Policy(late.vault_id, late.policy_name, daily_at(2)))
    days.look()
    assert days.world.catalog.list_jobs(item_id=late.id) == []
    days.world.catalog.update_item(late.id, state=ProtectionState.PROTECTION_STOPPED)


def test_run_waits_for_the_items_running_job(days: Days) -> None:
    days.world.hook.at("ingest: begun", lambda: days.look_at(days.due))
    first = days.world.engine.start_backup(days.item, reason="test")
    days.world.ended(first)
    days.world.hook.clear()
    assert days.world.catalog.find_due_run(days.item.id) == days.due
    days.look()
    days.ran(days.due)
    assert len(days.jobs()) == 2


@pytest.mark.slow
def test_many_due_at_once_run_a_few_at_a_time(days: Days) -> None:
    others = [days.world.protect() for _ in range(8)]
    for item in others:
        days.world.catalog.put_policy(Policy(item.vault_id, item.policy_name, daily_at(2)))
    most = 0

    def count() -> None:
        nonlocal most
        running = [job for job in days.world.catalog.list_jobs() if job.status.running]
        most = max(most, len(running))

    days.world.hook.at("ingest: begun", count)
    days.look_at(days.due)
    for item in [days.item, *others]:
        job_id = run_id(item.id, days.due)
        days.world.wait_until(lambda job_id=job_id: days.world.is_done(job_id))  # type: ignore[misc] # bound now
        assert days.world.catalog.get_job(job_id).status is JobStatus.COMPLETED
        days.world.catalog.update_item(item.id, state=ProtectionState.PROTECTION_STOPPED)
    assert 1 < most <= LIMITS.scheduled_at_once


def test_deleted_items_run_is_forgotten(days: Days) -> None:
    days.world.catalog.note_due_runs({days.item.id: days.due}, looked_until=days.clock.now())
    days.world.catalog.delete_item(days.item.id)
    assert days.world.catalog.find_due_run(days.item.id) is None
    days.world.catalog.note_due_runs({days.item.id: days.due}, looked_until=days.clock.now())
    assert days.world.catalog.find_due_run(days.item.id) is None
    days.world.catalog.put_item(days.item)


def test_points_age_and_old_jobs_go_each_day_though_no_backup_runs(days: Days) -> None:
    first = days.world.back_up(days.item)
    days.world.write(days.item, 1, "b")
    days.world.back_up(days.item)
    days.world.catalog.update_item(days.item.id, state=ProtectionState.BACKUPS_SUSPENDED)
    later = days.today + 200 * DAY
    days.look_at(later)
    days.world.wait_until(lambda: days.world.is_done(f"{later.date()}-clean"))
    assert len(days.world.points(days.item)) == 1
    with pytest.raises(JobNotFound):
        days.world.catalog.get_job(first.id)
