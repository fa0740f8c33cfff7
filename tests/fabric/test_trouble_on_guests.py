"""What goes wrong around a VM is named, and nothing is broken by it."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import libvirt
import pytest

from tests.fabric.idle_vm import IdleVm, idle_vm
from tests.fabric.on_guests import apply, capture, layers_in, merge, new_fabric, qemu_img, reads_as
from tests.fabric.strikes import CAPTURE_MOMENTS, MERGE_MOMENTS
from tests.lab.lab import Lab
from vmkeep.fabric.errors import (
    DiskBusy,
    DiskVanished,
    HypervisorRefused,
    LayerPathTaken,
    NoDiskToCapture,
    RestorePointInUse,
    VmNotFound,
    VmNotInDesirableState,
    VmSaved,
    VmVanished,
    WorkCancelled,
)
from vmkeep.fabric.fabric import Fabric
from vmkeep.model.restore_point import RestorePoint

pytestmark = pytest.mark.qemu


@pytest.fixture
def fabric(tmp_path: Path) -> Fabric:
    return new_fabric(tmp_path / "state")


@pytest.fixture
def vm(lab: Lab) -> Iterator[IdleVm]:
    with idle_vm(lab, running=True) as found:
        yield found


@pytest.fixture
def vm_off(lab: Lab) -> Iterator[IdleVm]:
    with idle_vm(lab, running=False) as found:
        yield found


def codes(fabric: Fabric, point: RestorePoint, since: RestorePoint) -> list[str]:
    with fabric.sources(point, since=since) as disks:
        return [warned.code for warned in disks.healed]


def test_unknown_name_brings_those_that_look_alike(fabric: Fabric, vm: IdleVm) -> None:
    assert fabric.get_machine(vm.uuid).name == "idle"
    with pytest.raises(VmNotFound, match="did you mean idle"):
        fabric.get_machine("idel")


def test_deleted_vm_is_told(fabric: Fabric) -> None:
    with pytest.raises(VmVanished):
        capture(fabric, "00000000-0000-4000-8000-000000000000", "p1")


def test_disks_that_cannot_be_captured_are_reported(fabric: Fabric, vm: IdleVm) -> None:
    assert fabric.get_machine("idle").excluded_disks == ("sdb (cdrom)",)
    assert [disk.name for disk in capture(fabric, vm.uuid, "p1").disks] == ["vda", "sda"]


def test_foreign_file_under_a_layers_name_is_kept(fabric: Fabric, vm: IdleVm) -> None:
    precious = vm.folder / "data.vmkeep-p1.qcow2"
    precious.write_text("precious")
    before = vm.disks()
    with pytest.raises(LayerPathTaken):
        capture(fabric, vm.uuid, "p1")
    assert precious.read_text() == "precious"
    assert vm.disks() == before
    assert [warned.code for warned in fabric.check()] == ["OrphanLayer"]


def test_block_job_of_somebody_else_is_respected(fabric: Fabric, vm: IdleVm) -> None:
    point, before = capture(fabric, vm.uuid, "p1"), vm.disks()
    copy = f"<disk type='file'><driver type='qcow2'/><source file='{vm.folder}/mirror'/></disk>"
    vm.domain.blockCopy("vda", copy, flags=libvirt.VIR_DOMAIN_BLOCK_COPY_TRANSIENT_JOB)
    with pytest.raises(HypervisorRefused, match="put new layers"):
        capture(fabric, vm.uuid, "p2")
    assert fabric.find_point(vm.uuid, "p2") is None
    with pytest.raises(DiskBusy, match="vda"):
        merge(fabric, point)
    assert vm.disks() == before
    vm.domain.blockJobAbort("vda")
    merge(fabric, point)
    assert layers_in(vm.folder) == []


def test_missing_disk_file_is_named(fabric: Fabric, vm_off: IdleVm) -> None:
    (vm_off.folder / "data.raw").unlink()
    with pytest.raises(DiskVanished, match="data"):
        capture(fabric, vm_off.uuid, "p1")


def test_vm_without_capturable_disks_is_told(fabric: Fabric, vm_off: IdleVm, lab: Lab) -> None:
    xml = (
        vm_off.domain.XMLDesc()
        .replace("device='disk'>", "device='disk'><readonly/>")
        .replace("bus='sata'", "bus='scsi'")
    )
    lab.connection.defineXML(xml)
    with pytest.raises(NoDiskToCapture, match="read-only"):
        capture(fabric, vm_off.uuid, "p1")


def test_foreign_layer_is_noticed_and_the_next_backup_heals(
    fabric: Fabric, vm: IdleVm, tmp_path: Path
) -> None:
    first = capture(fabric, vm.uuid, "p1")
    flags = libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY | libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA
    vm.domain.snapshotCreateXML("<domainsnapshot><name>foreign</name></domainsnapshot>", flags)
    vm.write("-P 3 1M 1M")
    second = capture(fabric, vm.uuid, "p2")
    assert codes(fabric, second, first) == []  # it lies between two points, so it counts as changed
    merge(fabric, first)
    merge(fabric, second)
    assert fabric.check() == []
    assert {Path(path).name for path, _format in vm.disks().values()} == {
        "os.vmkeep-p1.foreign",
        "data.vmkeep-p1.foreign",
    }
    third = capture(fabric, vm.uuid, "p3")
    with fabric.sources(third, since=second) as disks:
        assert [warned.code for warned in disks.healed] == ["WholeDiskRead"]
        for source, disk in zip(disks.disks, third.disks, strict=True):
            apply(source, tmp_path / disk.name)
            assert reads_as(disk, tmp_path / disk.name)


def test_resized_disk_is_read_whole(fabric: Fabric, vm: IdleVm, tmp_path: Path) -> None:
    first = capture(fabric, vm.uuid, "p1")
    vm.domain.blockResize("sda", 24 << 20, libvirt.VIR_DOMAIN_BLOCK_RESIZE_BYTES)
    second = capture(fabric, vm.uuid, "p2")
    with fabric.sources(second, since=first) as disks:
        assert [source.incremental for source in disks.disks] == [True, False]
        assert "size changed" in disks.healed[0].message
        apply(disks.disks[-1], tmp_path / "sda")
        assert reads_as(second.disks[-1], tmp_path / "sda")
    before = vm.content(tmp_path / "before")
    merge(fabric, first)
    merge(fabric, second)
    qemu_img("compare", "-f", "raw", "-F", "raw", before, vm.content(tmp_path / "after"))


def test_point_that_is_read_is_not_merged_away(fabric: Fabric, vm: IdleVm) -> None:
    point = capture(fabric, vm.uuid, "p1")
    with fabric.sources(point, since=None), pytest.raises(RestorePointInUse):
        merge(fabric, point)
    merge(fabric, point)


def test_cancelled_merge_can_be_done_later(fabric: Fabric, vm: IdleVm) -> None:
    before, point = vm.disks(), capture(fabric, vm.uuid, "p1")
    with pytest.raises(WorkCancelled):
        fabric.merge(point, on_progress=lambda _done, _all: None, cancelled=lambda: True)
    merge(fabric, point)
    assert vm.disks() == before
    assert layers_in(vm.folder) == []


def test_saved_vm_is_neither_captured_nor_merged(fabric: Fabric, vm: IdleVm) -> None:
    point = capture(fabric, vm.uuid, "p1")
    vm.domain.managedSave()
    with pytest.raises(VmNotInDesirableState, match="managed save"):
        capture(fabric, vm.uuid, "p2")
    with pytest.raises(VmSaved):
        merge(fabric, point)
    vm.domain.create()
    merge(fabric, point)
    assert layers_in(vm.folder) == []


def test_vm_put_back_on_an_old_file_is_noticed_and_nothing_is_lost(
    fabric: Fabric, vm_off: IdleVm, lab: Lab
) -> None:
    before = vm_off.domain.XMLDesc()
    first = capture(fabric, vm_off.uuid, "p1")
    vm_off.write("-P 1 1M 1M")
    second = capture(fabric, vm_off.uuid, "p2")
    lab.connection.defineXML(before)
    vm_off.write("-P 2 2M 1M")
    assert "FrozenLayerWritten" in {warned.code for warned in fabric.check()}
    for point in (first, second):
        merge(fabric, point)
    assert len(layers_in(vm_off.folder)) == 4  # somebody may still want them
    assert {warned.code for warned in fabric.check()} == {"OrphanLayer"}


def test_points_of_a_deleted_vm_can_be_let_go(
    fabric: Fabric, vm_off: IdleVm, lab: Lab, tmp_path: Path
) -> None:
    xml = vm_off.domain.XMLDesc()
    points = []
    for number in range(3):
        vm_off.write(f"-P {number} 1M 1M")
        points.append(capture(fabric, vm_off.uuid, f"p{number}"))
        with fabric.sources(points[-1], since=None) as disks:
            apply(disks.disks[-1], tmp_path / f"p{number}")
    vm_off.domain.undefine()
    merge(fabric, points[0])
    for number in (1, 2):
        left = fabric.find_point(vm_off.uuid, f"p{number}")
        assert left is not None
        assert reads_as(left.disks[-1], tmp_path / f"p{number}")
    merge(fabric, points[1])
    merge(fabric, points[2])
    assert len(layers_in(vm_off.folder)) == 2  # the newest layers hold the VM's last state
    lab.connection.defineXML(xml)


def test_restarted_libvirt_is_found_again() -> None:
    command = ["scripts/lab", "--bare", sys.executable, "-m", "tests.fabric.restarted_libvirt"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    said = [line for line in done.stdout.splitlines() if "fabric." not in line]
    assert said == ["0 machines", "unreachable", "0 machines"]


def test_libvirtd_killed_in_captures_and_merges_harms_nothing() -> None:
    command = ["scripts/lab", "--bare", sys.executable, "-m", "tests.fabric.killed_libvirtd"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    moments = len(CAPTURE_MOMENTS) + 2 * len(MERGE_MOMENTS)
    assert done.stdout.count(": right\n") == moments
