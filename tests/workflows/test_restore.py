"""What restores promise."""

import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from tests.fakes.fabric import BLOCK
from tests.fakes.repository import StoreUnreachable
from tests.workflows.world import World, block
from vmkeep.base.errors import InvalidValue
from vmkeep.fabric.errors import DiskVanished
from vmkeep.model.job import Job, JobStatus, TaskStatus
from vmkeep.model.machine import DiskFormat
from vmkeep.model.protection import ProtectedItem, RecoveryPoint, Tier


def backed_up(world: World, disks: dict[str, int] | None = None) -> tuple[ProtectedItem, RecoveryPoint]:
    item = world.protect(disks=disks)
    world.write(item, 5, "b")
    world.back_up(item)
    return item, world.points(item)[0]


def in_vault_only(world: World, point: RecoveryPoint) -> RecoveryPoint:
    vault_only = replace(point, restore_point=None)
    world.catalog.put_recovery_point(vault_only)
    return vault_only


def instant_only(world: World, point: RecoveryPoint) -> RecoveryPoint:
    without = replace(point, manifest_id="")
    world.catalog.put_recovery_point(without)
    return without


def restore_vm(world: World, item: ProtectedItem, point: RecoveryPoint, name: str) -> Job:
    return world.ended(world.engine.start_restore_vm(item, point, new_name=name, reason="test"))


def restore_disks(
    world: World,
    item: ProtectedItem,
    point: RecoveryPoint,
    folder: Path,
    *,
    names: tuple[str, ...] | None = None,
    tier: Tier | None = None,
) -> Job:
    job = world.engine.start_restore_disks(
        item, point, folder=folder, disk_format=DiskFormat.RAW, disk_names=names, tier=tier, reason="test"
    )
    return world.ended(job)


@pytest.mark.parametrize("from_tier", [instant_only, in_vault_only])
def test_restored_vm_has_the_disks_of_its_recovery_point(
    world: World, from_tier: Callable[[World, RecoveryPoint], RecoveryPoint]
) -> None:
    item, point = backed_up(world)
    then = world.fabric.disk_content(item.vm_uuid, "vda")
    world.write(item, 6, "c")
    name = f"{item.vm_name}-copy"
    job = restore_vm(world, item, from_tier(world, point), name)
    assert job.status is JobStatus.COMPLETED
    assert [task.status for task in job.tasks] == [TaskStatus.COMPLETED, TaskStatus.COMPLETED]
    [disk] = world.fabric.get_machine(name).disks
    assert Path(disk.path).read_bytes() == then
    assert job.properties["Restored VM"] == name
    assert job.properties["Target Folder"] == str(Path(disk.path).parent)
    assert job.properties["Transfer Seconds"] == "0.0"


def test_layers_that_are_gone_are_replaced_by_the_vault(world: World) -> None:
    item, point = backed_up(world)
    assert point.restore_point
    world.fabric.lose_layers(item.vm_uuid, point.restore_point.id)
    job = restore_vm(world, item, point, f"{item.vm_name}-copy")
    assert job.status is JobStatus.COMPLETED
    assert "restore: chunk" in world.hook.seen


def test_layers_whose_files_are_lost_are_replaced_by_the_vault(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_point: object, **_since: object) -> None:
        raise DiskVanished("/gone.qcow2")

    item, point = backed_up(world)
    monkeypatch.setattr(world.fabric, "sources", refuse)
    assert restore_vm(world, item, point, f"{item.vm_name}-copy").status is JobStatus.COMPLETED
    without_vault = restore_vm(world, item, instant_only(world, point), "other")
    assert without_vault.error
    assert without_vault.error.code == "DiskVanished"


def test_a_tier_asked_for_by_name_is_the_one_that_is_read(world: World, tmp_path: Path) -> None:
    item, point = backed_up(world)
    for tier in Tier:
        job = restore_disks(world, item, point, tmp_path / tier, tier=tier)
        assert job.properties["Restored From"] == f"{tier} tier"
        assert ("restore: chunk" in world.hook.seen) == (tier is Tier.VAULT)
    vault_only = in_vault_only(world, point)
    error = restore_disks(world, item, vault_only, tmp_path / "none", tier=Tier.INSTANT).error
    assert error
    assert error.code == "UserErrorInstantRpNotFound"
    assert error.message == "Restore failed because the snapshot of the VM was not found"


def test_instant_tier_is_read_without_opening_the_repository(world: World, tmp_path: Path) -> None:
    item, point = backed_up(world)
    world.hook.clear()
    assert restore_disks(world, item, point, tmp_path).status is JobStatus.COMPLETED
    assert "repository: opened" not in world.hook.seen


def test_point_in_no_tier_is_refused(world: World) -> None:
    item, point = backed_up(world)
    job = restore_vm(world, item, in_vault_only(world, replace(point, manifest_id="")), "copy")
    assert job.error
    assert job.error.code == "RecoveryPointUnusable"


def test_name_of_an_existing_vm_is_refused_before_anything_is_written(world: World) -> None:
    item, point = backed_up(world)
    job = restore_vm(world, item, point, item.vm_name)
    assert job.error
    assert job.error.code == "VmNameTaken"
    assert "disk: created" not in world.hook.seen


def test_existing_folder_is_refused_and_left_alone(world: World) -> None:
    item, point = backed_up(world)
    folder = world.root / "restored" / f"{item.vm_name}-copy"
    folder.mkdir(parents=True)
    job = restore_vm(world, item, point, folder.name)
    assert job.error
    assert job.error.code == "TargetTaken"
    assert folder.exists()


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "x" * 129])
def test_name_that_is_no_file_name_is_refused(world: World, name: str) -> None:
    item, point = backed_up(world)
    with pytest.raises(InvalidValue):
        world.engine.start_restore_vm(item, point, new_name=name, reason="test")


@pytest.mark.parametrize(
    "phase", ["disk: created", "disk: written", "Put in place: done", "machine: begun", "machine: created"]
)
@pytest.mark.parametrize("how", ["fails", "is cancelled"])
def test_restore_that_does_not_end_well_leaves_nothing(world: World, phase: str, how: str) -> None:
    item, point = backed_up(world)
    name = f"{item.vm_name}-copy"
    started = threading.Event()
    jobs: list[Job] = []

    def cancel_and_fail() -> None:
        assert started.wait(10)
        if how == "is cancelled":
            world.engine.stop(jobs[0].id)
        raise StoreUnreachable

    world.hook.at(phase, cancel_and_fail)
    jobs.append(world.engine.start_restore_vm(item, point, new_name=name, reason="test"))
    started.set()
    job = world.ended(jobs[0])
    assert job.status is (JobStatus.CANCELLED if how == "is cancelled" else JobStatus.FAILED)
    assert [path for path in (world.root / "restored").iterdir() if item.vm_name in path.name] == []
    assert list((world.root / "restored").glob(".vmkeep-*")) == []
    assert name not in {machine.name for machine in world.fabric.list_machines()}
    assert item.vm_name in {machine.name for machine in world.fabric.list_machines()}


def test_restored_disks_are_files_named_for_disk_and_format(world: World, tmp_path: Path) -> None:
    item, point = backed_up(world, {"vda": 16 * BLOCK, "vdb": 4 * BLOCK})
    job = restore_disks(world, item, point, tmp_path / "new" / "folder")
    assert job.status is JobStatus.COMPLETED
    folder = Path(job.properties["Target Folder"])
    assert sorted(path.name for path in folder.iterdir()) == ["vda.raw", "vdb.raw"]
    assert (folder / "vda.raw").read_bytes()[5 * BLOCK :][:BLOCK] == block("b")
    task = job.tasks[0]
    assert (task.done_bytes, task.total_bytes) == (20 * BLOCK, 20 * BLOCK)


def test_only_the_disks_asked_for_are_restored(world: World, tmp_path: Path) -> None:
    item, point = backed_up(world, {"vda": 16 * BLOCK, "vdb": 4 * BLOCK})
    restore_disks(world, item, point, tmp_path, names=("vdb",))
    assert [path.name for path in tmp_path.iterdir()] == ["vdb.raw"]


def test_disk_that_the_point_does_not_have_is_said_by_name(world: World, tmp_path: Path) -> None:
    item, point = backed_up(world)
    error = restore_disks(world, item, point, tmp_path, names=("vdz",)).error
    assert error
    assert "no disk 'vdz', only vda" in error.message


def test_existing_files_are_never_overwritten(world: World, tmp_path: Path) -> None:
    item, point = backed_up(world)
    (tmp_path / "vda.raw").write_text("precious")
    job = restore_disks(world, item, point, tmp_path)
    assert job.error
    assert job.error.code == "TargetTaken"
    assert (tmp_path / "vda.raw").read_text() == "precious"


def test_file_that_appears_during_the_restore_is_not_overwritten_either(world: World, tmp_path: Path) -> None:
    item, point = backed_up(world, {"vda": 16 * BLOCK, "vdb": 4 * BLOCK})
    world.hook.at("Put in place: begun", partial((tmp_path / "vdb.raw").write_text, "precious"))
    job = restore_disks(world, item, point, tmp_path)
    assert job.error
    assert job.error.code == "TargetTaken"
    assert [path.name for path in tmp_path.iterdir()] == ["vdb.raw"]
    assert (tmp_path / "vdb.raw").read_text() == "precious"


def test_folder_made_for_a_failed_restore_is_removed(world: World, tmp_path: Path) -> None:
    item, point = backed_up(world)
    world.hook.raising("disk: created", StoreUnreachable())
    restore_disks(world, item, point, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_folder_that_cannot_be_written_is_said_in_words(world: World, tmp_path: Path) -> None:
    item, point = backed_up(world)
    (tmp_path / "file").touch()
    job = restore_disks(world, item, point, tmp_path / "file" / "below")
    assert job.error
    assert job.error.code == "TargetUnusable"
