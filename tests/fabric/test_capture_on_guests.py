"""Capture, read and merge, proven on a running guest."""

from pathlib import Path

import pytest
from tests.fabric.on_guests import apply, capture, copy_by_qemu, layers_in, merge, reads_as
from tests.lab.guest import Guest
from tests.lab.lab import Lab

from vmkeep.base.clock import SystemClock
from vmkeep.fabric.errors import VmNotInDesirableState
from vmkeep.fabric.fabric import Fabric
from vmkeep.model.machine import Consistency, MachineState

pytestmark = pytest.mark.qemu


@pytest.fixture
def fabric(tmp_path: Path) -> Fabric:
    return Fabric(state_dir=tmp_path, clock=SystemClock(), wire=None)


def test_running_guest_is_captured_frozen_and_reads_as_qemu_reads_it(
    fabric: Fabric, guest: Guest, tmp_path: Path
) -> None:
    guest.write_file("/data/proof", b"one" * 1000)
    with guest.writer() as writes:
        point = capture(fabric, guest.uuid, "p1")
    assert point.consistency is Consistency.FILE_SYSTEM
    assert not point.warnings
    assert [disk.lun for disk in point.disks] == [-1, 0]
    print("frozen", point.frozen_s, "gap", writes.longest_gap_s)
    with fabric.sources(point, since=None) as disks:
        for source, disk in zip(disks.disks, point.disks, strict=True):
            copy = tmp_path / disk.name
            read = apply(source, copy)
            print(disk.name, read, disk.size_bytes)
            assert reads_as(disk, copy)


def test_incremental_brings_the_previous_copy_up_to_date(
    fabric: Fabric, guest: Guest, tmp_path: Path
) -> None:
    previous = None
    for number in range(3):
        guest.write_file(f"/data/proof{number}", bytes([number]) * 300_000)
        guest.write_file("/root/proof", bytes([number]) * 100_000)
        point = capture(fabric, guest.uuid, f"p{number}")
        with fabric.sources(point, since=previous) as disks:
            assert not disks.healed
            for source, disk in zip(disks.disks, point.disks, strict=True):
                read = apply(source, tmp_path / disk.name)
                assert source.incremental == (previous is not None)
                if previous is not None:
                    assert 0 < read < disk.size_bytes / 20
                assert reads_as(disk, tmp_path / disk.name)
        previous = point


@pytest.mark.parametrize(
    "order", [(0, 1, 2), (2, 1, 0), (1, 0, 2)], ids=["oldest first", "newest first", "middle first"]
)
@pytest.mark.parametrize("running", [True, False], ids=["running", "off"])
def test_points_are_merged_in_any_order_and_the_rest_stays_right(
    fabric: Fabric, guest: Guest, tmp_path: Path, order: tuple[int, ...], running: bool
) -> None:
    original, points, copies = dict(guest.disks), [], {}
    for number in range(3):
        guest.write_file("/data/proof", bytes([number]) * 200_000)
        point = capture(fabric, guest.uuid, f"p{number}")
        points.append(point)
        copies[point.id] = [copy_by_qemu(disk, tmp_path / f"{point.id}-{disk.name}") for disk in point.disks]
    guest.write_file("/data/proof", b"last" * 50_000)
    last = guest.digest("/data/proof")
    if not running:
        guest.power_off()
    for number in order:
        merge(fabric, points[number])
        del copies[points[number].id]
        for point_id, expected in copies.items():
            assert reads_right(fabric, guest.uuid, point_id, expected)
    assert guest.disks == original
    assert all(not layers_in(path.parent) for path in original.values())
    assert fabric.check() == []
    if not running:
        guest.boot()
        guest.wait_for(lambda: guest.exec(["test", "-e", "/data/proof"]).rc == 0, "/data is mounted")
    assert guest.digest("/data/proof") == last


def reads_right(fabric: Fabric, vm_uuid: str, point_id: str, copies: list[Path]) -> bool:
    """Whether a point reads as its copies, through QEMU and through us."""
    point = fabric.find_point(vm_uuid, point_id)
    assert point is not None
    with fabric.sources(point, since=None) as disks:
        for source, disk, copy in zip(disks.disks, point.disks, copies, strict=True):
            ours = copy.with_suffix(".ours")
            apply(source, ours)
            assert reads_as(disk, copy)
            assert reads_as(disk, ours)
    return True


def test_guest_that_is_off_is_captured(fabric: Fabric, guest: Guest, tmp_path: Path) -> None:
    guest.power_off()
    point = capture(fabric, guest.uuid, "p1")
    assert point.consistency is Consistency.CRASH
    assert not point.warnings
    with fabric.sources(point, since=None) as disks:
        for source, disk in zip(disks.disks, point.disks, strict=True):
            apply(source, tmp_path / disk.name)
            assert reads_as(disk, tmp_path / disk.name)
    fabric.discard_capture(guest.uuid, "p1")
    assert fabric.check() == []
    assert fabric.find_point(guest.uuid, "p1") is None
    guest.boot()


def test_paused_guest_is_refused(fabric: Fabric, guest: Guest) -> None:
    guest.pause()
    with pytest.raises(VmNotInDesirableState):
        capture(fabric, guest.uuid, "p1")
    assert fabric.get_machine("alpha").state is MachineState.PAUSED


def test_inventory_tells_what_the_guest_is(fabric: Fabric, guest: Guest, lab: Lab) -> None:
    [vm] = fabric.list_machines()
    assert (vm.name, vm.uuid, vm.guest_agent) == ("alpha", guest.uuid, True)
    assert [(disk.name, disk.lun, disk.size_bytes > 0) for disk in vm.disks] == [
        ("vda", -1, True),
        ("vdb", 0, True),
    ]
    assert vm.nics[0].ip == guest.ip
