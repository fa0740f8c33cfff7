"""A disk that is left out of a capture keeps its chain right, for the points before and after."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fabric.idle_vm import IdleVm, idle_vm
from tests.fabric.on_guests import apply, copy_by_qemu, layers_in, merge, new_fabric, reads_as
from tests.lab.lab import Lab
from vmkeep.fabric.fabric import Fabric
from vmkeep.model.disk_selection import DiskSelection
from vmkeep.model.restore_point import PointDisk, RestorePoint

pytestmark = pytest.mark.qemu

WITHOUT_DATA = DiskSelection(included=False, luns=(0,), names=("sda",))
MIB = 1 << 20


@pytest.fixture(params=[False, True], ids=["off", "running"])
def vm(request: pytest.FixtureRequest, lab: Lab) -> Iterator[IdleVm]:
    with idle_vm(lab, running=request.param) as made:
        yield made


@pytest.fixture
def fabric(tmp_path: Path) -> Fabric:
    return new_fabric(tmp_path / "state")


def capture(fabric: Fabric, vm: IdleVm, point_id: str, selection: DiskSelection | None) -> RestorePoint:
    return fabric.capture(
        vm.uuid, point_id=point_id, on_phase=lambda _: None, cancelled=lambda: False, selection=selection
    )


def three_points(fabric: Fabric, vm: IdleVm) -> list[RestorePoint]:
    """Capture all disks, then the OS disk alone, then all; something is written before each and after."""
    points = []
    for number, selection in enumerate((None, WITHOUT_DATA, None), start=1):
        vm.write(f"-P {number} {number}M 64k")
        points.append(capture(fabric, vm, f"p{number}", selection))
    vm.write("-P 9 9M 64k")
    return points


def test_disk_that_comes_back_is_whole_since_the_point_without_it_and_incremental_since_the_one_before(
    fabric: Fabric, vm: IdleVm, tmp_path: Path
) -> None:
    first, without, last = three_points(fabric, vm)
    assert [disk.name for disk in without.disks] == ["vda"]
    assert without.left_out == (PointDisk("sda", 0, 16 * MIB, included=False),)
    assert "sda" in without.machine_xml
    data = next(disk for disk in last.disks if disk.name == "sda")
    for since, incremental in ((without, False), (first, True)):
        copy = tmp_path / f"since-{since.id}.raw"
        copy_by_qemu(next(disk for disk in first.disks if disk.name == "sda"), copy)
        with fabric.sources(last, since=since) as opened:
            sources = {source.name: source for source in opened.disks}
            assert (sources["vda"].incremental, sources["sda"].incremental) == (True, incremental)
            apply(sources["sda"], copy)
        assert reads_as(data, copy)


def test_points_with_and_without_a_disk_are_merged_in_any_order(
    fabric: Fabric, vm: IdleVm, tmp_path: Path
) -> None:
    for round_number, order in enumerate(itertools.permutations(range(3))):
        points = three_points(fabric, vm)
        now = vm.content(tmp_path / f"{round_number}.raw").read_bytes()
        for which in order:
            merge(fabric, points[which])
            assert vm.content(tmp_path / "after.raw").read_bytes() == now
        assert layers_in(vm.folder) == []
        assert fabric.check() == []
