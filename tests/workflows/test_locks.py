"""What locks do to clean-up, what that does to backups, and how it ends."""

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.fakes.repository import StoreUnreachable
from tests.workflows.world import PLACE, World
from vmkeep.base.clock import FakeClock
from vmkeep.base.errors import VmkeepError
from vmkeep.model.job import Job, JobStatus
from vmkeep.model.lock import Lock, LockLevel
from vmkeep.model.outlook import OutlookLine, Weight
from vmkeep.model.protection import ProtectedItem, Tier
from vmkeep.workflows.errors import OnlyCopyInCollection

BOTH, VAULT = {Tier.INSTANT, Tier.VAULT}, {Tier.VAULT}
LIMIT = 18


@pytest.fixture
def item(world: World) -> ProtectedItem:
    return world.protect()


def lock(world: World, item: ProtectedItem) -> Lock:
    placed = Lock(PLACE.collection_id(item.vm_name), "keep", LockLevel.CAN_NOT_DELETE, world.clock.now(), "")
    world.catalog.put_lock(placed)
    return placed


def unlock(world: World, placed: Lock) -> None:
    world.catalog.delete_lock(placed.scope, placed.name)


def pass_time(world: World, **time: float) -> None:
    assert isinstance(world.clock, FakeClock)
    world.clock.advance(timedelta(**time).total_seconds())


def back_up(world: World, item: ProtectedItem, times: int, *, every: timedelta) -> list[Job]:
    jobs = []
    for number in range(times):
        world.write(item, number % 16, "bcdefgh"[number % 7])
        jobs.append(world.back_up(item))
        world.expired(jobs[-1])
        pass_time(world, seconds=every.total_seconds())
    return jobs


def held(world: World, item: ProtectedItem) -> int:
    return sum(point.restore_point is not None for point in world.points(item))


def failure(job: Job) -> tuple[str, str, str]:
    assert job.error
    return job.error.code, job.error.message, job.error.advice


LIMIT_REACHED = ("UserErrorRpCollectionLimitReached", "The Restore Point collection max limit has reached.")


@pytest.mark.slow
def test_under_a_lock_points_pile_up_until_backups_fail_and_after_it_all_is_well(
    world: World, item: ProtectedItem
) -> None:
    placed = lock(world, item)
    jobs = back_up(world, item, LIMIT, every=timedelta(days=1))
    assert {job.status for job in jobs} == {JobStatus.COMPLETED}
    assert [point.tiers for point in world.points(item)] == [BOTH] * LIMIT
    for _ in range(2):
        [job] = back_up(world, item, 1, every=timedelta(days=1))
        code, message, advice = failure(job)
        assert (code, message) == LIMIT_REACHED
        assert f"CanNotDelete lock 'keep' on {placed.scope}" in advice
        assert job.error
        assert job.error.facts["cause"] == "lock"
    assert held(world, item) == LIMIT

    unlock(world, placed)
    [first] = back_up(world, item, 1, every=timedelta(days=1))
    assert failure(first)[:2] == LIMIT_REACHED
    assert "Clean-up has been started" in failure(first)[2]
    assert held(world, item) < LIMIT
    [second] = back_up(world, item, 1, every=timedelta(days=1))
    assert second.status is JobStatus.COMPLETED
    assert len(world.fabric.layers(item.vm_uuid)) == held(world, item) + 1


@pytest.mark.slow
def test_several_backups_a_day_reach_the_limit_without_a_lock(world: World, item: ProtectedItem) -> None:
    jobs = back_up(world, item, LIMIT, every=timedelta(hours=1))
    assert {job.status for job in jobs} == {JobStatus.COMPLETED}
    [failed] = back_up(world, item, 1, every=timedelta(hours=1))
    assert failure(failed)[:2] == LIMIT_REACHED
    assert "Several backups a day are made" in failure(failed)[2]
    assert held(world, item) < LIMIT
    found = world.engine.diagnose(item.vm_uuid)
    assert "R2" in {cause.id for cause in found.supposed}
    [next_one] = back_up(world, item, 1, every=timedelta(hours=1))
    assert next_one.status is JobStatus.COMPLETED


@pytest.mark.slow
def test_a_policy_of_several_backups_a_day_never_reaches_the_limit(world: World, item: ProtectedItem) -> None:
    policy = world.catalog.get_policy(item.vault_id, item.policy_name)
    hourly = {"schedulePolicy": {"scheduleRunFrequency": "Hourly"}}
    world.catalog.put_policy(replace(policy, properties=hourly))
    jobs = back_up(world, item, LIMIT + 2, every=timedelta(hours=1))
    assert {job.status for job in jobs} == {JobStatus.COMPLETED}
    assert held(world, item) == LIMIT - 1


def test_locked_restore_points_are_not_deleted_with_their_item(world: World, item: ProtectedItem) -> None:
    back_up(world, item, 2, every=timedelta(days=1))
    lock(world, item)
    job = world.ended(world.engine.start_delete_item_data(item, reason="test"))
    assert failure(job)[0] == "ScopeLocked"
    assert [point.tiers for point in world.points(item)] == [BOTH, BOTH]


def test_a_cancelled_backup_leaves_its_point_when_it_is_locked(world: World, item: ProtectedItem) -> None:
    lock(world, item)
    job = world.engine.start_backup(item, reason="test")
    world.hook.at("ingest: begun", lambda: world.engine.stop(job.id))
    assert world.ended(job).status is JobStatus.CANCELLED
    assert held(world, item) == 1


def delete(world: World, item: ProtectedItem, *, force: bool = False) -> Job:
    points = [point.restore_point for point in world.points(item)]
    ids = tuple(point.id for point in points if point)
    job = world.engine.start_delete_restore_points(item, ids, force=force, reason="test")
    return world.ended(job)


def test_a_deleted_collection_leaves_the_vault_tier_and_the_guests_data(
    world: World, item: ProtectedItem
) -> None:
    back_up(world, item, 3, every=timedelta(hours=1))
    before = world.fabric.disk_content(item.vm_uuid, "vda")
    job = delete(world, item)
    assert job.status is JobStatus.COMPLETED
    assert job.properties["Restore Points Deleted"] == "3"
    assert [point.tiers for point in world.points(item)] == [VAULT] * 3
    assert world.fabric.layers(item.vm_uuid) == [None]
    assert world.fabric.disk_content(item.vm_uuid, "vda") == before
    assert back_up(world, item, 1, every=timedelta(0))[0].status is JobStatus.COMPLETED


def test_a_deletion_that_times_out_keeps_its_progress_and_ends_on_a_later_try(
    world: World, item: ProtectedItem
) -> None:
    back_up(world, item, 5, every=timedelta(hours=1))
    world.hook.at("merge: done", lambda: pass_time(world, minutes=6))
    first, second, third = (delete(world, item) for _ in range(3))
    assert failure(first)[0] == failure(second)[0] == "CollectionDeletionTimedOut"
    assert "2 restore point(s)" in failure(first)[1]
    assert "3 are left" in failure(first)[1]
    assert third.status is JobStatus.COMPLETED
    assert held(world, item) == 0


@pytest.mark.slow
def test_a_merge_slower_than_the_deadline_still_gets_on(world: World, item: ProtectedItem) -> None:
    back_up(world, item, 2, every=timedelta(hours=1))
    world.hook.at("merge: done", lambda: pass_time(world, hours=2))
    assert failure(delete(world, item))[0] == "CollectionDeletionTimedOut"
    assert delete(world, item).status is JobStatus.COMPLETED


def test_a_deletion_that_fails_in_a_merge_can_be_done_again(world: World, item: ProtectedItem) -> None:
    back_up(world, item, 2, every=timedelta(hours=1))
    world.hook.raising("merge: begun", StoreUnreachable())
    assert failure(delete(world, item))[0] == "StoreUnreachable"
    assert held(world, item) == 2
    world.hook.clear()
    assert delete(world, item).status is JobStatus.COMPLETED
    assert world.fabric.layers(item.vm_uuid) == [None]


def test_a_lock_that_comes_during_a_deletion_stops_it(world: World, item: ProtectedItem) -> None:
    back_up(world, item, 2, every=timedelta(hours=1))
    world.hook.at("merge: done", lambda: lock(world, item))
    assert failure(delete(world, item))[0] == "ScopeLocked"
    assert held(world, item) == 1


def test_the_only_copy_goes_only_by_force(world: World, item: ProtectedItem) -> None:
    world.hook.raising("ingest: begun", StoreUnreachable())
    world.back_up(item)
    with pytest.raises(OnlyCopyInCollection):
        delete(world, item)
    assert held(world, item) == 1
    assert delete(world, item, force=True).status is JobStatus.COMPLETED
    assert world.points(item) == []


def test_a_deletion_never_runs_beside_a_backup(world: World, item: ProtectedItem) -> None:
    back_up(world, item, 1, every=timedelta(hours=1))
    refused: list[str] = []

    def try_it() -> None:
        try:
            delete(world, item, force=True)
        except VmkeepError as error:
            refused.append(error.code)

    world.hook.at("ingest: begun", try_it)
    back_up(world, item, 1, every=timedelta(0))
    assert refused == ["UserErrorBackupOperationInProgress"]


@pytest.mark.slow
def test_young_points_that_are_the_only_copy_make_no_room(world: World, item: ProtectedItem) -> None:
    world.hook.raising("ingest: begun", StoreUnreachable())
    jobs = back_up(world, item, LIMIT + 2, every=timedelta(minutes=10))
    assert [failure(job)[0] for job in jobs[LIMIT:]] == [LIMIT_REACHED[0]] * 2
    assert [point.tiers for point in world.points(item)] == [{Tier.INSTANT}] * LIMIT


def test_the_outlook_warns_of_a_lock_before_the_limit_is_met(world: World, item: ProtectedItem) -> None:
    def lines() -> list[OutlookLine]:
        found = world.engine.outlook(item.vm_uuid).lines
        return [line for line in found if line.subject == "Restore points"]

    assert [line.weight for line in lines()] == [Weight.GOOD]
    placed = lock(world, item)
    [_, warning] = lines()
    assert warning.weight is Weight.WARNING
    assert placed.scope in warning.advice
