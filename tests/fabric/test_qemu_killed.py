"""QEMU killed in a capture or a merge: the VM starts again with what it wrote, and chain and journal agree."""

import itertools
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.fabric.idle_vm import IdleVm, idle_vm
from tests.fabric.on_guests import apply, boot, capture, layers_in, merge, new_fabric, qemu_img, reads_as
from tests.fabric.strikes import CAPTURE_MOMENTS, MERGE_MOMENTS, strike_at
from tests.lab.guest import Guest
from tests.lab.lab import Lab
from vmkeep.base.errors import VmkeepError
from vmkeep.fabric.fabric import Fabric

pytestmark = pytest.mark.qemu


@pytest.fixture
def fabric(tmp_path: Path) -> Fabric:
    return new_fabric(tmp_path / "state")


@pytest.fixture
def vm(lab: Lab) -> Iterator[IdleVm]:
    with idle_vm(lab, running=True) as found:
        yield found


def check_goes_on(fabric: Fabric, vm: IdleVm, folder: Path) -> None:
    """Promise that the next backup is right, and that nothing is left when all points have gone."""
    vm.write("-P 8 4M 64k")
    point = capture(fabric, vm.uuid, "next")
    with fabric.sources(point, since=None) as disks:
        for source, disk in zip(disks.disks, point.disks, strict=True):
            apply(source, folder / disk.name)
            assert reads_as(disk, folder / disk.name)
    now = vm.content(folder / "now")
    for held in fabric.list_points():
        merge(fabric, held)
    assert layers_in(vm.folder) == []
    assert fabric.check() == []
    qemu_img("compare", "-f", "raw", "-F", "raw", now, vm.content(folder / "later"))


@pytest.mark.parametrize("moment", CAPTURE_MOMENTS)
def test_vm_starts_again_after_a_capture_and_is_captured_again(
    fabric: Fabric, vm: IdleVm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    vm.write("-P 1 1M 1M")
    written = vm.content(tmp_path / "written")
    with monkeypatch.context() as patch:
        strike_at(moment, vm.kill_qemu, patch)
        with suppress(VmkeepError):
            capture(fabric, vm.uuid, "p1")
    vm.domain.create()
    qemu_img("compare", "-f", "raw", "-F", "raw", written, vm.content(tmp_path / "after"))
    check_goes_on(fabric, vm, tmp_path)


def test_restore_point_is_read_to_its_end_when_qemu_dies_meanwhile(
    fabric: Fabric, vm: IdleVm, tmp_path: Path
) -> None:
    vm.write("-P 1 1M 1M")
    written = vm.content(tmp_path / "written")
    point = capture(fabric, vm.uuid, "p1")
    with fabric.sources(point, since=None) as disks:
        assert all(list(source.extents()) for source in disks.disks)  # reading has begun
        vm.kill_qemu()
        for source, disk in zip(disks.disks, point.disks, strict=True):
            apply(source, tmp_path / disk.name)
            assert reads_as(disk, tmp_path / disk.name)
    vm.domain.create()
    qemu_img("compare", "-f", "raw", "-F", "raw", written, vm.content(tmp_path / "after"))
    check_goes_on(fabric, vm, tmp_path)


@pytest.mark.parametrize(("layer", "moment"), list(itertools.product(("active", "inner"), MERGE_MOMENTS)))
def test_vm_starts_again_after_a_merge_and_the_merge_is_finished(
    vm: IdleVm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layer: str, moment: str
) -> None:
    fabric = new_fabric(tmp_path / "state")
    point = capture(fabric, vm.uuid, "p1")
    vm.write("-P 1 1M 1M")
    if layer == "inner":
        newer = capture(fabric, vm.uuid, "p2")
        with fabric.sources(newer, since=None) as disks:
            apply(disks.disks[-1], tmp_path / "newer")
        vm.write("-P 2 2M 1M")
    written = vm.content(tmp_path / "written")
    with monkeypatch.context() as patch:
        strike_at(moment, vm.kill_qemu, patch)
        with suppress(VmkeepError):
            merge(fabric, point)
    vm.domain.create()
    qemu_img("compare", "-f", "raw", "-F", "raw", written, vm.content(tmp_path / "after"))
    merge(fabric, point)
    if layer == "inner":
        left = fabric.find_point(vm.uuid, "p2")
        assert left is not None
        assert reads_as(left.disks[-1], tmp_path / "newer")
    check_goes_on(fabric, vm, tmp_path)


def test_guest_boots_with_its_data_after_qemu_was_killed_in_a_merge(
    fabric: Fabric, guest: Guest, monkeypatch: pytest.MonkeyPatch
) -> None:
    guest.write_file("/data/proof", b"one" * 100_000)
    point = capture(fabric, guest.uuid, "p1")
    guest.write_file("/data/proof", b"two" * 100_000)
    digest, before = guest.digest("/data/proof"), guest.disks
    with monkeypatch.context() as patch:
        strike_at("after job", guest.power_off, patch)
        with pytest.raises(VmkeepError):
            merge(fabric, point)
    boot(guest)
    assert guest.digest("/data/proof") == digest
    merge(fabric, point)
    assert guest.disks.keys() == before.keys()
    assert fabric.check() == []
    assert capture(fabric, guest.uuid, "p2").warnings == ()
