"""What selecting disks promises: the chosen ones at one instant, each whole once, and restores that say what is missing."""

from dataclasses import replace
from pathlib import Path

from tests.fakes.fabric import BLOCK
from tests.workflows.world import World, block
from vmkeep.model.disk_selection import DiskSelection
from vmkeep.model.job import Job, JobStatus
from vmkeep.model.protection import ProtectedItem, RecoveryPoint

WITHOUT_DATA = DiskSelection(included=False, luns=(0,), names=("vdb",))


def protect(world: World, selection: DiskSelection | None = None) -> ProtectedItem:
    """Protect a VM with two disks, one block on each."""
    item = world.protect(disks={"vda": 16 * BLOCK, "vdb": 8 * BLOCK})
    write(world, item, "vdb", 0, "d")
    return select(world, item, selection)


def select(world: World, item: ProtectedItem, selection: DiskSelection | None) -> ProtectedItem:
    world.catalog.update_item(item.id, disk_selection=selection)
    return world.catalog.get_item(item.id)


def write(world: World, item: ProtectedItem, disk: str, number: int, letter: str) -> None:
    world.fabric.guest_writes(item.vm_uuid, disk, number * BLOCK, block(letter))


def restore(world: World, item: ProtectedItem, point: RecoveryPoint, name: str) -> tuple[Job, dict[str, str]]:
    """Restore a point as a new VM; return the job, and the first letter of each block of each disk."""
    job = world.ended(world.engine.start_restore_vm(item, point, new_name=name, reason="test"))
    contents = {
        disk.name: Path(disk.path).read_bytes()[::BLOCK].decode().replace("\0", ".")
        for disk in world.fabric.get_machine(name).disks
    }
    return job, contents


def test_only_selected_disks_get_layers_and_are_read(world: World) -> None:
    item = protect(world, WITHOUT_DATA)
    job = world.back_up(item)
    assert (job.status, job.properties["Bytes Read"]) == (JobStatus.COMPLETED, str(BLOCK))
    assert len(world.fabric.layers(item.vm_uuid, "vda")) == 2
    assert world.fabric.layers(item.vm_uuid, "vdb") == [None]
    [point] = world.points(item)
    assert [(disk.name, disk.included) for disk in point.disks] == [("vda", True), ("vdb", False)]
    assert point.size_bytes == 16 * BLOCK


def test_disk_that_is_included_again_is_read_whole_once(world: World) -> None:
    item = protect(world)
    world.back_up(item)
    write(world, item, "vdb", 1, "e")
    item = select(world, item, WITHOUT_DATA)
    world.back_up(item)
    write(world, item, "vdb", 2, "f")
    item = select(world, item, None)
    again = world.back_up(item)
    assert again.properties["Bytes Read"] == str(3 * BLOCK)
    assert again.properties["Bytes Stored"] == str(2 * BLOCK)
    write(world, item, "vdb", 3, "g")
    assert world.back_up(item).properties["Bytes Read"] == str(BLOCK)


def test_every_point_is_restored_with_the_disks_it_has(world: World) -> None:
    item = protect(world, WITHOUT_DATA)
    world.back_up(item)
    write(world, item, "vdb", 1, "e")
    item = select(world, item, None)
    world.back_up(item)
    newest, oldest = world.points(item)
    job, contents = restore(world, item, newest, f"{item.vm_name}-all")
    assert contents == {"vda": "a" + "." * 15, "vdb": "de" + "." * 6}
    assert "Detached Disks" not in job.properties
    job, contents = restore(world, item, oldest, f"{item.vm_name}-os")
    assert contents == {"vda": "a" + "." * 15}
    assert job.properties["Detached Disks"] == "vdb (LUN 0): not in the recovery point"


def test_point_that_is_in_the_vault_only_still_knows_which_disk_it_has_not(world: World) -> None:
    item = protect(world, WITHOUT_DATA)
    world.back_up(item)
    [point] = world.points(item)
    assert point.restore_point
    world.fabric.lose_layers(item.vm_uuid, point.restore_point.id)
    world.catalog.put_recovery_point(replace(point, restore_point=None))
    [point] = world.points(item)
    job, contents = restore(world, item, point, f"{item.vm_name}-vault")
    assert contents == {"vda": "a" + "." * 15}
    assert job.properties["Detached Disks"] == "vdb (LUN 0): not in the recovery point"


def test_point_without_a_disk_is_merged_away_between_points_that_have_it(world: World) -> None:
    item = protect(world)
    points = []
    for number, selection in enumerate((None, WITHOUT_DATA, None), start=1):
        item = select(world, item, selection)
        world.back_up(item)
        points.append(world.points(item)[0])
        write(world, item, "vdb", number, "efg"[number - 1])
    assert points[1].restore_point
    world.fabric.merge(points[1].restore_point, on_progress=lambda *_: None, cancelled=lambda: False)
    assert restore(world, item, points[2], f"{item.vm_name}-copy")[1]["vdb"] == "def" + "." * 5
    assert restore(world, item, points[0], f"{item.vm_name}-first")[1]["vdb"] == "d" + "." * 7


def test_new_disk_is_backed_up_unless_disks_are_included_by_name() -> None:
    excluding = DiskSelection(included=False, luns=(0,), names=("vdb",))
    including = DiskSelection(included=True, luns=(0,), names=("vdb",))
    assert [excluding.selects(*disk) for disk in (("vda", -1), ("vdb", 0), ("vdc", 1))] == [True, False, True]
    assert [including.selects(*disk) for disk in (("vda", -1), ("vdb", 0), ("vdc", 1))] == [True, True, False]


def test_selection_follows_the_disk_when_luns_move_up() -> None:
    excluding_vdc = DiskSelection(included=False, luns=(1,), names=("vdc",))
    assert not excluding_vdc.selects("vdc", 0)
    assert excluding_vdc.selects("vdd", 1)
