"""What a backup promises."""

import threading
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest

from tests.fakes.fabric import BLOCK
from tests.fakes.repository import StoreUnreachable
from tests.workflows.world import PATIENCE_S, World, block
from vmkeep.base.clock import FakeClock
from vmkeep.base.errors import VmkeepError
from vmkeep.catalog.errors import JobNotInProgress, OperationInProgress
from vmkeep.model.job import Job, JobStatus, TaskName, TaskStatus
from vmkeep.model.machine import Consistency, DiskFormat
from vmkeep.model.protection import ProtectedItem, ProtectionState, RecoveryPoint, Tier
from vmkeep.model.restore_point import Warned


def content(world: World, item: ProtectedItem, point: RecoveryPoint) -> bytes:
    """Return what the vault has of a point's first disk."""
    folder = world.root / "read-back" / point.id
    folder.mkdir(parents=True)
    path = folder / "vda"
    with world.fabric.create_disk(path, size_bytes=16 * BLOCK, format=DiskFormat.RAW) as target:
        world.repository(item).restore_disk(point.manifest_id, "vda", target, on_progress=None)
    return path.read_bytes()


def statuses(job: Job) -> list[TaskStatus]:
    return [task.status for task in job.tasks]


def wait_for(event: threading.Event) -> None:
    assert event.wait(PATIENCE_S)


def cancel_at(world: World, phase: str) -> Job:
    """Run a backup of a new VM that the user cancels at a phase; returns the job as it ended."""
    item = world.protect()
    job_id: list[str] = []
    started = threading.Event()

    def cancel() -> None:
        wait_for(started)
        world.engine.stop(job_id[0])

    world.hook.at(phase, cancel)
    job = world.engine.start_backup(item, reason="test")
    job_id.append(job.id)
    started.set()
    return world.ended(job)


def test_backup_makes_a_recovery_point_in_both_tiers(world: World) -> None:
    item = world.protect()
    job = world.back_up(item)
    assert job.status is JobStatus.COMPLETED
    assert statuses(job) == [TaskStatus.COMPLETED, TaskStatus.COMPLETED]
    [point] = world.points(item)
    assert point.tiers == {Tier.INSTANT, Tier.VAULT}
    assert point.consistency is Consistency.FILE_SYSTEM
    assert content(world, item, point) == world.fabric.disk_content(item.vm_uuid, "vda")
    assert world.catalog.get_item(item.id).state is ProtectionState.PROTECTED
    assert world.catalog.get_item(item.id).last_backup_status == "Completed"


def test_job_tells_what_it_measured(world: World) -> None:
    item = world.protect()
    job = world.back_up(item)
    assert job.properties == {
        "Recovery Point": world.points(item)[0].id,
        "Consistency": "file-system",
        "Frozen Seconds": "0.25",
        "Seconds To Restore Point": "0.0",
        "Bytes Read": str(BLOCK),
        "Bytes Stored": str(BLOCK),
        "Bytes Total": str(16 * BLOCK),
    }
    assert job.reason == "test"


def test_second_backup_reads_and_uploads_only_what_changed(world: World) -> None:
    item = world.protect()
    world.back_up(item)
    world.write(item, 3, "b")
    second = world.back_up(item)
    assert second.properties["Bytes Read"] == str(BLOCK)
    newest, _ = world.points(item)
    assert content(world, item, newest) == world.fabric.disk_content(item.vm_uuid, "vda")
    uploads = world.repository(item).uploads
    assert len(uploads) == len(set(uploads)) == 2


def test_recovery_point_is_there_before_the_transfer(world: World) -> None:
    item = world.protect()
    tiers: list[frozenset[Tier]] = []
    world.hook.at("sources: open", lambda: tiers.append(world.points(item)[0].tiers))
    world.back_up(item)
    assert tiers == [{Tier.INSTANT}]


def test_second_backup_is_refused_while_one_runs(world: World) -> None:
    item = world.protect()
    go_on = threading.Event()
    world.hook.at("ingest: chunk", lambda: wait_for(go_on))
    job = world.engine.start_backup(item, reason="test")
    with pytest.raises(OperationInProgress):
        world.engine.start_backup(item, reason="again")
    go_on.set()
    assert world.ended(job).status is JobStatus.COMPLETED


def test_failed_capture_leaves_no_point_no_layers_and_a_thawed_guest(world: World) -> None:
    item = world.protect()
    world.hook.raising("capture: frozen", StoreUnreachable())
    job = world.back_up(item)
    assert job.status is JobStatus.FAILED
    assert job.error
    assert (job.error.code, job.error.message) == ("StoreUnreachable", "the object store does not answer")
    assert statuses(job) == [TaskStatus.FAILED, TaskStatus.NOT_STARTED]
    assert world.points(item) == []
    assert world.fabric.layers(item.vm_uuid) == [None]
    assert not world.fabric.is_frozen(item.vm_uuid)
    assert world.catalog.get_item(item.id).last_backup_status == "Failed"


def test_failed_transfer_keeps_the_instant_point_and_the_next_backup_catches_up(world: World) -> None:
    item = world.protect()
    world.back_up(item)
    world.write(item, 1, "b")
    world.hook.raising("ingest: chunk", StoreUnreachable())
    failed = world.back_up(item)
    assert statuses(failed) == [TaskStatus.COMPLETED, TaskStatus.FAILED]
    assert world.points(item)[0].tiers == {Tier.INSTANT}
    world.hook.clear()
    world.write(item, 2, "c")
    job = world.back_up(item)
    assert job.properties["Bytes Read"] == str(2 * BLOCK)
    assert content(world, item, world.points(item)[0]) == world.fabric.disk_content(item.vm_uuid, "vda")


def test_unforeseen_error_is_told_in_azures_words(world: World) -> None:
    item = world.protect()
    world.hook.raising("ingest: chunk", ValueError("boom"))
    error = world.back_up(item).error
    assert error
    assert error.code == "BackUpOperationFailed"
    assert error.message == (
        "Backup failed with an internal error - Please retry the operation in a few minutes"
    )
    assert error.facts["exception"] == "ValueError: boom"


@pytest.mark.parametrize("lost", ["layers", "manifest"])
def test_backup_without_its_base_reads_all_and_uploads_only_what_is_new(world: World, lost: str) -> None:
    item = world.protect()
    world.back_up(item)
    [first] = world.points(item)
    if lost == "manifest":
        world.repository(item).delete_manifest(first.manifest_id)
    elif first.restore_point:
        world.fabric.lose_layers(item.vm_uuid, first.restore_point.id)
    world.write(item, 5, "b")
    job = world.back_up(item)
    assert (job.properties["Bytes Read"], job.properties["Bytes Stored"]) == (str(2 * BLOCK), str(BLOCK))
    assert content(world, item, world.points(item)[0]) == world.fabric.disk_content(item.vm_uuid, "vda")


def test_fall_to_a_lower_rung_is_a_warning_of_job_and_point(world: World) -> None:
    item = world.protect()
    fall = Warned("UserErrorGuestAgentStatusUnavailable", "the agent was silent")
    world.fabric.warnings = (fall,)
    job = world.back_up(item)
    world.fabric.warnings = ()
    assert job.status is JobStatus.COMPLETED_WITH_WARNINGS
    assert [warning.code for warning in job.warnings] == [fall.code]
    assert world.points(item)[0].warnings == (fall,)
    assert world.catalog.get_item(item.id).last_backup_status == "Completed"


def test_disk_over_the_limit_is_refused_before_the_guest_is_touched(world: World) -> None:
    item = world.protect(disks={"vda": BLOCK, "vdb": 1025 * BLOCK})
    job = world.back_up(item)
    assert job.error
    assert job.error.code == "UserErrorUnsupportedDiskSize"
    assert job.error.facts["disks"] == {"vdb": 1025 * BLOCK}
    assert "capture: frozen" not in world.hook.seen


def test_nineteenth_restore_point_is_refused_in_azures_words(world: World) -> None:
    item = world.protect()
    world.back_up(item)
    [point] = world.points(item)
    for number in range(17):
        world.catalog.put_recovery_point(replace(point, id=str(number)))
    job = world.back_up(item)
    assert job.error
    assert (job.error.code, job.error.message) == (
        "UserErrorRpCollectionLimitReached",
        "The Restore Point collection max limit has reached.",
    )


@pytest.mark.parametrize(
    "phase",
    [
        "Take Snapshot: begun",
        "capture: frozen",
        "capture: thawed",
        "sources: open",
        "ingest: chunk",
        "ingest: manifest",
    ],
)
def test_cancelled_backup_leaves_nothing(world: World, phase: str) -> None:
    job = cancel_at(world, phase)
    item = world.catalog.get_item(job.item_id)
    assert job.status is JobStatus.CANCELLED
    assert job.error is None
    assert TaskStatus.IN_PROGRESS not in statuses(job)
    assert world.points(item) == []
    assert world.repository(item).list_manifests() == []
    assert world.fabric.layers(item.vm_uuid) == [None]
    assert not world.fabric.is_frozen(item.vm_uuid)
    assert world.fabric.disk_content(item.vm_uuid, "vda")[:BLOCK] == block("a")


def test_vm_that_is_gone_fails_its_backup_by_name_and_keeps_its_points(world: World) -> None:
    item = world.protect()
    world.back_up(item)
    world.fabric.delete_machine(item.vm_uuid)
    job = world.back_up(item)
    assert job.error
    assert job.error.code == "UserErrorVmNotFoundV2"
    assert item.vm_name in job.error.advice
    assert len(world.points(item)) == 1


def test_cancel_of_an_ended_job_is_refused_in_azures_words(world: World) -> None:
    job = world.back_up(world.protect())
    with pytest.raises(JobNotInProgress, match="Backup can't cancel the job because it isn't in progress"):
        world.engine.stop(job.id)


def test_only_so_many_transfers_run_at_once_and_a_waiting_one_can_be_cancelled(world: World) -> None:
    go_on = threading.Event()
    running = threading.Semaphore(0)

    def transfer() -> None:
        running.release()
        wait_for(go_on)

    world.hook.at("ingest: begun", transfer)
    jobs = [world.engine.start_backup(world.protect(), reason="test") for _ in range(2)]
    for _ in jobs:
        running.acquire()
    third = world.engine.start_backup(world.protect(), reason="test")
    world.wait_until(lambda: "waiting" in world.catalog.get_job(third.id).tasks[1].details)
    world.engine.stop(third.id)
    assert world.ended(third).status is JobStatus.CANCELLED
    go_on.set()
    assert [world.ended(job).status for job in jobs] == [JobStatus.COMPLETED] * 2


def test_progress_is_on_the_job_while_it_runs(world: World) -> None:
    item = world.protect()
    world.write(item, 7, "b")
    seen: list[tuple[int, int]] = []

    def look() -> None:
        task = world.catalog.list_jobs(item_id=item.id)[0].tasks[1]
        assert task.name is TaskName.TRANSFER
        seen.append((task.done_bytes, task.total_bytes))

    world.hook.at("ingest: chunk", look)
    world.back_up(item)
    assert seen == [(BLOCK, 16 * BLOCK), (8 * BLOCK, 16 * BLOCK)]


def test_retention_asked_for_by_the_user_is_kept_on_the_point(world: World) -> None:
    item = world.protect()
    until = world.clock.now() + timedelta(days=400)
    world.ended(world.engine.start_backup(item, reason="user", retain_until=until))
    assert world.points(item)[0].retain_until == until


def test_seconds_to_restore_point_are_those_of_the_clock(world: World) -> None:
    item = world.protect()
    clock = world.clock
    assert isinstance(clock, FakeClock)
    world.hook.at("capture: frozen", lambda: clock.advance(4))
    assert world.back_up(item).properties["Seconds To Restore Point"] == "4.0"


@dataclass(eq=False)
class AgentSilent(VmkeepError):
    code = "UserErrorGuestAgentStatusUnavailable"
    text = "VM Agent unable to communicate with Azure Backup"
    remedy = "Restart the agent of {e.vm}."
    vm: str


def test_fall_to_a_lower_rung_is_a_warning_with_advice_and_facts(world: World) -> None:
    item = world.protect()
    world.fabric.why_not_better = AgentSilent("web01")
    job = world.back_up(item)
    assert job.status is JobStatus.COMPLETED_WITH_WARNINGS
    [warning] = job.warnings
    assert (warning.code, warning.message) == (AgentSilent.code, AgentSilent.text)
    assert (warning.advice, warning.facts) == ("Restart the agent of web01.", {"vm": "web01"})
    assert world.points(item)[0].consistency is Consistency.CRASH
    world.fabric.why_not_better = None


def test_least_consistency_makes_the_warning_an_error_and_leaves_nothing(world: World) -> None:
    item = world.protect()
    world.catalog.update_item(item.id, least_consistency=Consistency.FILE_SYSTEM)
    world.fabric.why_not_better = AgentSilent("web01")
    job = world.back_up(item)
    assert job.status is JobStatus.FAILED
    assert job.error
    assert (job.error.code, job.error.facts) == (AgentSilent.code, {"vm": "web01"})
    assert world.points(item) == []
    assert world.fabric.layers(item.vm_uuid) == [None]
    world.fabric.why_not_better = None
    assert world.back_up(item).status is JobStatus.COMPLETED


def test_mistake_of_ours_is_an_internal_error(world: World) -> None:
    item = world.protect()
    world.hook.raising("capture: frozen", RuntimeError("an assumption was wrong"))
    job = world.back_up(item)
    assert job.error
    assert (job.error.code, job.error.message) == (
        "BackUpOperationFailed",
        "Backup failed with an internal error - Please retry the operation in a few minutes",
    )
    assert "an assumption was wrong" in str(job.error.facts)
