"""Every workflow is killed (SIGKILL) at every phase, started again, and must end as if nothing had happened."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from tests.catalog.records import JOB
from tests.fakes.fabric import BLOCK
from tests.workflows.world import PATIENCE_S, World
from vmkeep.base.clock import FakeClock, SystemClock
from vmkeep.model.job import Job, JobOperation, JobStatus, TaskName
from vmkeep.model.machine import Consistency, DiskFormat
from vmkeep.model.protection import ProtectedItem, Tier
from vmkeep.workflows.scheduler import run_id

START = Callable[[World, ProtectedItem, Path], Job]

processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload(["tests.workflows.world"])

CAPTURE_PHASES = [
    "Take Snapshot: begun",
    "capture: frozen",
    "capture: layered",
    "capture: thawed",
    "capture: complete",
    "Take Snapshot: done",
    "Take Snapshot: journaled",
]
TRANSFER_PHASES = [
    "Transfer data to vault: begun",
    "repository: opened",
    "sources: open",
    "ingest: begun",
    "ingest: chunk",
    "ingest: stored",
    "ingest: manifest",
    "Transfer data to vault: done",
    "Transfer data to vault: journaled",
]
RESTORE_PHASES = [
    "Check target: journaled",
    "disk: created",
    "disk: written",
    "Transfer data from vault: done",
    "Transfer data from vault: journaled",
    "Put in place: begun",
    "Put in place: done",
    "Put in place: journaled",
]
CREATE_PHASES = [
    "machine: begun",
    "machine: created",
    "Create the restored virtual machine: done",
    "Create the restored virtual machine: journaled",
]


def start_backup(world: World, item: ProtectedItem, _folder: Path) -> Job:
    return world.engine.start_backup(item, reason="test")


def start_scheduled_backup(world: World, item: ProtectedItem, _folder: Path) -> Job:
    world.engine.scheduler.look()  # the day's upkeep prunes without grace: it would take what is being uploaded
    world.wait_until(lambda: world.is_done(f"{world.clock.now().date().isoformat()}-clean"))
    due = world.clock.now()
    world.catalog.note_due_runs({item.id: due}, looked_until=due)
    world.engine.scheduler.look()
    world.wait_until(lambda: world.catalog.find_job(run_id(item.id, due)) is not None)
    return world.catalog.get_job(run_id(item.id, due))


def start_cancelled_backup(world: World, item: ProtectedItem, _folder: Path) -> Job:
    started = threading.Event()
    jobs: list[Job] = []

    def cancel() -> None:
        assert started.wait(PATIENCE_S)
        world.engine.stop(jobs[0].id)

    world.hook.at("sources: open", cancel)
    jobs.append(world.engine.start_backup(item, reason="test"))
    started.set()
    return jobs[0]


def start_restore_vm(world: World, item: ProtectedItem, _folder: Path) -> Job:
    return world.engine.start_restore_vm(item, world.points(item)[0], new_name="copy", reason="test")


def start_restore_disks(world: World, item: ProtectedItem, folder: Path) -> Job:
    point = world.points(item)[0]
    return world.engine.start_restore_disks(
        item, point, folder=folder, disk_format=DiskFormat.RAW, reason="test"
    )


def start_deletion(world: World, item: ProtectedItem, _folder: Path) -> Job:
    return world.engine.start_delete_item_data(item, reason="test")


def start_collection_deletion(world: World, item: ProtectedItem, _folder: Path) -> Job:
    points = tuple(point.restore_point.id for point in world.points(item) if point.restore_point)
    return world.engine.start_delete_restore_points(item, points, reason="test")


def _work_until_killed(root: Path, start: START, phase: str) -> None:
    world = World.open(root, SystemClock())
    world.engine.launch()
    item = world.protect("web01", disks={"vda": 16 * BLOCK, "vdb": 2 * BLOCK})
    world.expired(world.back_up(item))
    world.write(item, 5, "b")
    world.write(item, 9, "c")
    world.hook.seen.clear()
    world.hook.at(phase, lambda: os.kill(os.getpid(), signal.SIGKILL))
    job = start(world, item, root / "folder")
    world.ended(job)
    world.expired(job)


def kill_at(root: Path, start: START, phase: str) -> None:
    """Run a job in a process of its own that is killed at a phase."""
    process = processes.Process(target=_work_until_killed, args=(root, start, phase))
    process.start()
    process.join(PATIENCE_S * 2)
    assert process.exitcode == -signal.SIGKILL, f"never came to {phase}"


@contextmanager
def started_again(root: Path) -> Iterator[tuple[World, ProtectedItem | None, Job]]:
    """Open the world again, and yield it when the job has ended."""
    world = World.open(root, SystemClock())
    items = world.catalog.list_items()
    job = world.catalog.list_jobs()[0]
    try:
        world.engine.launch()
        world.ended(job)
        yield world, items[0] if items else None, world.catalog.get_job(job.id)
    finally:
        world.close()


def assert_undamaged(world: World, item: ProtectedItem) -> None:
    """What must hold after any crash."""
    points = world.points(item)
    repository = world.repository(item)
    held = [point.restore_point.id for point in points if point.restore_point]
    assert world.fabric.layers(item.vm_uuid) == [*reversed(held), None]
    assert {manifest.id for manifest in repository.list_manifests()} == {
        point.manifest_id for point in points if point.manifest_id
    }
    assert len(repository.uploads) == len(set(repository.uploads)), "something was uploaded twice"
    assert not world.fabric.is_frozen(item.vm_uuid)
    assert world.catalog.find_running_job(item.id) is None


@pytest.mark.slow
@pytest.mark.parametrize("phase", CAPTURE_PHASES + TRANSFER_PHASES)
def test_killed_backup_completes_at_the_next_start(tmp_path: Path, phase: str) -> None:
    kill_at(tmp_path, start_backup, phase)
    with started_again(tmp_path) as (world, item, job):
        assert item
        cut_short = phase in {"capture: layered", "capture: thawed"}
        assert job.error is None
        assert job.status is (JobStatus.COMPLETED_WITH_WARNINGS if cut_short else JobStatus.COMPLETED)
        newest, _ = world.points(item)
        assert newest.tiers == {Tier.INSTANT, Tier.VAULT}
        assert newest.restore_point
        assert newest.restore_point.id == job.id
        assert newest.consistency is (Consistency.CRASH if cut_short else Consistency.FILE_SYSTEM)
        disk = world.repository(item).manifest(newest.manifest_id).disks[0]
        assert set(disk.chunks) == {"0", "5", "9"}
        assert_undamaged(world, item)


@pytest.mark.slow
@pytest.mark.parametrize("phase", ["Begin: done", "Begin: journaled", "capture: complete", "ingest: stored"])
def test_killed_scheduled_backup_completes_at_the_next_start_and_runs_once(
    tmp_path: Path, phase: str
) -> None:
    kill_at(tmp_path, start_scheduled_backup, phase)
    with started_again(tmp_path) as (world, item, job):
        assert item
        assert job.status is JobStatus.COMPLETED
        world.engine.scheduler.look()
        assert world.catalog.list_due_runs() == {}
        assert len(world.catalog.list_jobs(item_id=item.id)) == 2
        assert_undamaged(world, item)


@pytest.mark.slow
@pytest.mark.parametrize("phase", ["ingest: begun", "Undo: begun", "Undo: done", "Undo: journaled"])
def test_killed_cancellation_leaves_nothing(tmp_path: Path, phase: str) -> None:
    kill_at(tmp_path, start_cancelled_backup, phase)
    with started_again(tmp_path) as (world, item, job):
        assert item
        assert job.status is JobStatus.CANCELLED
        assert len(world.points(item)) == 1
        assert_undamaged(world, item)


@pytest.mark.slow
@pytest.mark.parametrize("phase", RESTORE_PHASES + CREATE_PHASES)
def test_killed_restore_of_a_vm_completes_at_the_next_start(tmp_path: Path, phase: str) -> None:
    kill_at(tmp_path, start_restore_vm, phase)
    with started_again(tmp_path) as (world, item, job):
        assert item
        assert job.error is None
        assert job.status is JobStatus.COMPLETED
        assert sorted(machine.name for machine in world.fabric.list_machines()) == ["copy", "web01"]
        disks = world.fabric.get_machine("copy").disks
        assert [Path(disk.path).stat().st_size for disk in disks] == [16 * BLOCK, 2 * BLOCK]
        assert Path(disks[0].path).read_bytes()[:1] == b"a"
        assert [path.name for path in (tmp_path / "restored").iterdir()] == ["copy"]
        assert_undamaged(world, item)


@pytest.mark.slow
@pytest.mark.parametrize("phase", RESTORE_PHASES)
def test_killed_restore_of_disks_completes_at_the_next_start(tmp_path: Path, phase: str) -> None:
    kill_at(tmp_path, start_restore_disks, phase)
    with started_again(tmp_path) as (world, item, job):
        assert item
        assert job.error is None
        assert job.status is JobStatus.COMPLETED
        assert sorted(path.name for path in (tmp_path / "folder").iterdir()) == ["vda.raw", "vdb.raw"]
        assert (tmp_path / "folder" / "vda.raw").read_bytes()[:1] == b"a"
        assert_undamaged(world, item)


@pytest.mark.slow
@pytest.mark.parametrize(
    "phase",
    [
        "Plan: done",
        "Plan: journaled",
        "manifest: deleted",
        "merge: begun",
        "merge: done",
        "Delete item: done",
        "Delete item: journaled",
    ],
)
def test_killed_deletion_completes_at_the_next_start(tmp_path: Path, phase: str) -> None:
    kill_at(tmp_path, start_deletion, phase)
    with started_again(tmp_path) as (world, _, job):
        assert job.error is None
        assert job.status is JobStatus.COMPLETED
        assert world.catalog.list_items() == []
        [machine] = world.fabric.list_machines()
        assert world.fabric.layers(machine.uuid) == [None]
        assert list((tmp_path / "vaults").glob("*/manifests/*.json")) == []


@pytest.mark.slow
@pytest.mark.parametrize("phase", ["merge: begun", "merge: done"])
def test_killed_deletion_of_restore_points_completes_at_the_next_start(tmp_path: Path, phase: str) -> None:
    kill_at(tmp_path, start_collection_deletion, phase)
    with started_again(tmp_path) as (world, item, job):
        assert item
        assert (job.status, job.error) == (JobStatus.COMPLETED, None)
        assert [point.tiers for point in world.points(item)] == [{Tier.VAULT}]
        assert_undamaged(world, item)


def _expire_until_killed(root: Path, phase: str) -> None:
    clock = FakeClock()
    world = World.open(root, clock)
    world.engine.launch()
    item = world.protect("web01")
    world.expired(world.back_up(item))
    clock.advance(timedelta(days=40).total_seconds())
    world.hook.at(phase, lambda: os.kill(os.getpid(), signal.SIGKILL))
    job = world.back_up(item)
    world.expired(job)
    world.wait_until(lambda: "prune: done" in world.hook.seen)


@pytest.mark.slow
@pytest.mark.parametrize(
    "phase",
    [
        "Plan: done",
        "Plan: journaled",
        "manifest: deleted",
        "merge: begun",
        "merge: done",
        "prune: begun",
        "prune: done",
        "Prune: done",
        "Prune: journaled",
    ],
)
def test_killed_expiry_completes_at_the_next_start(tmp_path: Path, phase: str) -> None:
    process = processes.Process(target=_expire_until_killed, args=(tmp_path, phase))
    process.start()
    process.join(PATIENCE_S * 2)
    assert process.exitcode == -signal.SIGKILL, f"never came to {phase}"
    with started_again(tmp_path) as (world, item, job):
        assert item
        assert job.status is JobStatus.COMPLETED
        world.expired(job)
        world.wait_until(lambda: world.is_done(f"{job.id}-expire-prune-{item.vault_id}"))
        assert len(world.points(item)) == 1
        assert_undamaged(world, item)


def test_job_whose_workflow_never_began_fails_clearly_at_the_next_start(tmp_path: Path) -> None:
    world = World.open(tmp_path, FakeClock())
    item = world.protect()
    orphan = Job(
        id=JOB.id,
        vault_id=item.vault_id,
        operation=JobOperation.BACKUP,
        status=JobStatus.IN_PROGRESS,
        reason="test",
        started=world.clock.now(),
        item_id=item.id,
    )
    world.catalog.create_job(orphan)
    world.engine.launch()
    job = world.catalog.get_job(orphan.id)
    assert job.status is JobStatus.FAILED
    assert job.error
    assert job.error.code == "JobInterrupted"
    assert world.back_up(item).status is JobStatus.COMPLETED
    world.close()


@pytest.mark.slow
def test_closing_during_a_transfer_leaves_the_job_to_the_next_start(tmp_path: Path) -> None:
    world = World.open(tmp_path, FakeClock())
    world.engine.launch()
    item = world.protect()
    world.write(item, 3, "b")
    transferring = threading.Event()

    def pause() -> None:
        transferring.set()
        world.wait_until(lambda: world.engine.closing)

    world.hook.at("ingest: chunk", pause)
    job = world.engine.start_backup(item, reason="test")
    assert transferring.wait(PATIENCE_S)
    world.close()
    with started_again(tmp_path) as (again, _, ended):
        assert ended.id == job.id
        assert ended.status is JobStatus.COMPLETED
        assert ended.tasks[0].name is TaskName.TAKE_SNAPSHOT
        assert_undamaged(again, item)
