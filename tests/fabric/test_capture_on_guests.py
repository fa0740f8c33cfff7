"""Capture, read and merge, proven on a running guest."""

from pathlib import Path

import libvirt
import pytest

from tests.fabric.on_guests import (
    apply,
    boot,
    capture,
    copy_by_qemu,
    layers_in,
    merge,
    new_fabric,
    qemu_img,
    reads_as,
)
from tests.lab.guest import Guest
from tests.lab.machine import disk_files
from vmkeep.fabric.errors import VmNotInDesirableState
from vmkeep.fabric.fabric import Fabric
from vmkeep.model.machine import Consistency, MachineState

pytestmark = pytest.mark.qemu


@pytest.fixture
def fabric(tmp_path: Path) -> Fabric:
    return new_fabric(tmp_path)


def test_running_guest_is_captured_frozen_and_reads_as_qemu_reads_it(
    fabric: Fabric, guest: Guest, tmp_path: Path
) -> None:
    guest.write_file("/data/proof", b"one" * 1000)
    with guest.writer() as writes:
        point = capture(fabric, guest.uuid, "p1")
    assert point.consistency is Consistency.FILE_SYSTEM
    assert not point.warnings
    assert [disk.lun for disk in point.disks] == [-1, 0]
    assert writes.longest_gap_s < 2
    with fabric.sources(point, since=None) as disks:
        for source, disk in zip(disks.disks, point.disks, strict=True):
            copy = tmp_path / disk.name
            apply(source, copy)
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
    "order", [(0, 1, 2), (1, 0, 2), (2, 1, 0)], ids=["oldest first", "middle first", "newest first"]
)
@pytest.mark.parametrize("state", ["running", "off"])
def test_points_are_merged_in_any_order_and_the_rest_stays_right(
    fabric: Fabric, guest: Guest, tmp_path: Path, order: tuple[int, ...], state: str
) -> None:
    before, points, copies = dict(guest.disks), [], {}
    for number in range(3):
        guest.write_file("/data/proof", bytes([number]) * 200_000)
        points.append(capture(fabric, guest.uuid, f"p{number}"))
        assert disks_at_next_start(guest) == guest.disks
        copies[f"p{number}"] = copy_by_qemu(points[-1].disks[-1], tmp_path / f"p{number}")
    guest.write_file("/data/proof", b"last" * 50_000)
    last = guest.digest("/data/proof")
    if state == "off":
        guest.power_off()
    for number in order:
        merge(fabric, points[number])
        del copies[f"p{number}"]
        assert all(reads_right(fabric, guest.uuid, point_id, copy) for point_id, copy in copies.items())
    assert guest.disks == before == disks_at_next_start(guest)
    assert all(not layers_in(path.parent) for path in before.values())
    assert fabric.check() == []
    if state == "off":
        boot(guest)
    assert guest.digest("/data/proof") == last


def disks_at_next_start(guest: Guest) -> dict[str, Path]:
    return disk_files(guest.domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))


def reads_right(fabric: Fabric, vm_uuid: str, point_id: str, copy: Path) -> bool:
    """Whether the last disk of a point still reads as its copy."""
    point = fabric.find_point(vm_uuid, point_id)
    assert point is not None
    with fabric.sources(point, since=None) as disks:
        ours = copy.with_suffix(".ours")
        apply(disks.disks[-1], ours)
    qemu_img("compare", "-f", "raw", "-F", "raw", copy, ours)
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
    boot(guest)


def test_paused_guest_is_refused(fabric: Fabric, guest: Guest) -> None:
    guest.pause()
    with pytest.raises(VmNotInDesirableState):
        capture(fabric, guest.uuid, "p1")
    assert fabric.get_machine("alpha").state is MachineState.PAUSED


def test_inventory_tells_what_the_guest_is(fabric: Fabric, guest: Guest) -> None:
    [vm] = fabric.list_machines()
    assert (vm.name, vm.uuid, vm.guest_agent) == ("alpha", guest.uuid, True)
    assert [(disk.name, disk.lun, disk.size_bytes > 0) for disk in vm.disks] == [
        ("vda", -1, True),
        ("vdb", 0, True),
    ]
    assert vm.nics[0].ip == guest.ip
