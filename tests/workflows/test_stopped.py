"""What stopping protection promises, and what a job that died must not do: block for ever."""

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.catalog.records import POINT
from tests.workflows.world import LIMITS, World
from vmkeep.base.clock import FakeClock
from vmkeep.base.ids import new_guid
from vmkeep.catalog.errors import OperationInProgress
from vmkeep.model.job import Job, JobOperation, JobStatus, JobTask, TaskName
from vmkeep.model.protection import ProtectedItem, ProtectionState, Tier


def set_state(world: World, item: ProtectedItem, state: ProtectionState) -> ProtectedItem:
    world.catalog.update_item(item.id, state=state)
    return world.catalog.get_item(item.id)


def advance(world: World, time: timedelta) -> None:
    assert isinstance(world.clock, FakeClock)
    world.clock.advance(time.total_seconds())


def expire(world: World, item: ProtectedItem) -> None:
    """Have the clean-up run that follows any job of an item."""
    point = world.points(item)[0]
    name = f"copy-{new_guid()[:8]}"
    world.expired(world.ended(world.engine.start_restore_vm(item, point, new_name=name, reason="test")))


def three_points(world: World) -> ProtectedItem:
    item = world.protect()
    for letter in "bcd":
        world.expired(world.back_up(item))
        world.write(item, 1, letter)
    return item


def test_points_of_a_stopped_item_stay_for_ever_but_leave_the_host_when_the_vault_has_them(
    world: World,
) -> None:
    item = set_state(world, three_points(world), ProtectionState.PROTECTION_STOPPED)
    advance(world, timedelta(days=4000))
    expire(world, item)
    assert [point.tiers for point in world.points(item)] == [
        {Tier.INSTANT, Tier.VAULT},
        {Tier.VAULT},
        {Tier.VAULT},
    ]


def test_points_of_a_suspended_item_age_as_the_policy_says_but_for_the_last(world: World) -> None:
    item = set_state(world, three_points(world), ProtectionState.BACKUPS_SUSPENDED)
    advance(world, timedelta(days=4000))
    expire(world, item)
    assert len(world.points(item)) == 1


def test_resumed_item_goes_on_from_where_it_stopped(world: World) -> None:
    item = set_state(world, three_points(world), ProtectionState.PROTECTION_STOPPED)
    item = set_state(world, item, ProtectionState.PROTECTED)
    job = world.back_up(item)
    assert (job.status, job.properties["Bytes Read"]) == (JobStatus.COMPLETED, "4096")


def test_points_in_an_old_vault_leave_the_new_one_less_room_on_the_host(world: World) -> None:
    old, other = world.protect(), world.protect()
    world.expired(world.back_up(old))
    for number in range(15):
        point = replace(POINT, id=f"{old.id}-{number}", item_id=old.id, manifest_id="m")
        world.catalog.put_recovery_point(point)
    set_state(world, old, ProtectionState.PROTECTION_STOPPED)
    new = replace(old, id=new_guid(), vault_id=other.vault_id)
    world.catalog.put_item(new)
    for _ in range(3):
        job = world.back_up(new)
        assert job.status is JobStatus.COMPLETED
        world.expired(job)
    held = [point for point in world.points(new) if point.restore_point]
    assert (len(held), len(world.points(new))) == (1, 3)


def left_behind(world: World, item: ProtectedItem) -> Job:
    """Leave a job as a worker does that died before its workflow began."""
    job = Job(
        id=new_guid(),
        vault_id=item.vault_id,
        operation=JobOperation.BACKUP,
        status=JobStatus.IN_PROGRESS,
        reason="test",
        started=world.clock.now(),
        item_id=item.id,
        item_name=item.vm_name,
        tasks=(JobTask(TaskName.TAKE_SNAPSHOT),),
    )
    world.catalog.create_job(job)
    return job


def test_dead_workers_claim_blocks_for_a_minute_only(world: World) -> None:
    item = world.protect()
    dead = left_behind(world, item)
    with pytest.raises(OperationInProgress):
        world.engine.start_backup(item, reason="too soon")
    advance(world, timedelta(seconds=LIMITS.claim_s))
    assert world.back_up(item).status is JobStatus.COMPLETED
    ended = world.catalog.get_job(dead.id)
    assert ended.error
    assert (ended.status, ended.error.code) == (JobStatus.FAILED, "JobInterrupted")


def test_dead_workers_claim_can_be_ended_before_anybody_is_refused(world: World) -> None:
    dead = left_behind(world, world.protect())
    world.engine.end_dead_jobs()
    assert world.catalog.get_job(dead.id).status is JobStatus.IN_PROGRESS
    advance(world, timedelta(seconds=LIMITS.claim_s))
    world.engine.end_dead_jobs()
    assert world.catalog.get_job(dead.id).status is JobStatus.FAILED


def test_job_that_runs_blocks_however_long_it_takes(world: World) -> None:
    item = world.protect()
    refused: list[OperationInProgress] = []

    def start_another() -> None:
        advance(world, timedelta(days=2))
        with pytest.raises(OperationInProgress) as error:
            world.engine.start_backup(item, reason="again")
        refused.append(error.value)

    world.hook.at("sources: open", start_another)
    assert world.back_up(item).status is JobStatus.COMPLETED
    assert str(refused[0]) == (
        "Unable to initiate backup as another backup operation is currently in progress"
    )


def test_job_of_the_old_vault_refuses_a_backup_in_the_new_one_and_is_named(world: World) -> None:
    old, other = world.protect(), world.protect()
    world.back_up(old)
    old = set_state(world, old, ProtectionState.PROTECTION_STOPPED)
    new = replace(old, id=new_guid(), vault_id=other.vault_id, state=ProtectionState.IR_PENDING)
    world.catalog.put_item(new)
    refused: list[OperationInProgress] = []

    def start_in_the_new_vault() -> None:
        with pytest.raises(OperationInProgress) as error:
            world.engine.start_backup(new, reason="test")
        refused.append(error.value)

    world.hook.at("disk: created", start_in_the_new_vault)
    restore = world.engine.start_restore_vm(old, world.points(old)[0], new_name=new_guid(), reason="test")
    assert world.ended(restore).status is JobStatus.COMPLETED
    assert refused[0].code == "UserErrorBackupOperationInProgress"
    assert f"job {restore.id} of '{old.vm_name}' in vault '{old.vm_name}'" in refused[0].advice
    assert world.back_up(new).status is JobStatus.COMPLETED
    assert len(world.points(old)) == len(world.points(new)) == 1
