"""What others do to a VM between two backups: the next one is right, says what it found, older points stay right."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import libvirt
import pytest

from tests.fabric.idle_vm import IdleVm, idle_vm
from tests.fabric.on_guests import apply, capture, chain_of, layers_in, merge, new_fabric, qemu_img, reads_as
from tests.fabric.strikes import strike_at
from tests.lab.lab import Lab
from vmkeep.fabric.errors import FrozenLayerWritten, LayerInUse
from vmkeep.fabric.fabric import Fabric
from vmkeep.model.restore_point import RestorePoint

pytestmark = pytest.mark.qemu

OTHER_UUID = "2d1e0000-77cc-4c6b-9d52-0a7700000012"


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


def copies(fabric: Fabric, point: RestorePoint, folder: Path) -> dict[str, Path]:
    """Return raw copies of a point's disks, read as a restore reads them."""
    made = {}
    with fabric.sources(point, since=None) as disks:
        for source in disks.disks:
            made[source.name] = folder / f"{point.id}-{source.name}"
            apply(source, made[source.name])
    return made


def next_backup(
    fabric: Fabric, vm: IdleVm, since: RestorePoint, base: dict[str, Path]
) -> tuple[RestorePoint, list[str]]:
    """Capture the VM, bring copies of `since` up to date, compare; return the point and what it warned of."""
    vm.write("-P 9 5M 64k")
    point = capture(fabric, vm.uuid, f"after-{since.id}")
    with fabric.sources(point, since=since) as disks:
        for source, disk in zip(disks.disks, point.disks, strict=True):
            copy = base.setdefault(source.name, base["vda"].with_name(source.name))
            apply(source, copy)
            assert reads_as(disk, copy)
        return point, [warned.message for warned in disks.healed]


def held(fabric: Fabric, vm: IdleVm, point: RestorePoint) -> RestorePoint:
    found = fabric.find_point(vm.uuid, point.id)
    assert found is not None
    return found


def all_merged(fabric: Fabric, vm: IdleVm, folder: Path) -> bool:
    """Let all points go; the VM has what it had."""
    before = {name: vm.content(folder / f"before-{name}", name) for name in vm.disks()}
    for point in fabric.list_points():
        merge(fabric, point)
    for name, copy in before.items():
        qemu_img("compare", "-f", "raw", "-F", "raw", copy, vm.content(folder / f"then-{name}", name))
    return True


def test_layer_committed_by_hand_damages_the_older_point_and_not_the_next_one(
    fabric: Fabric, vm: IdleVm, tmp_path: Path
) -> None:
    first = capture(fabric, vm.uuid, "p1")
    base = copies(fabric, first, tmp_path)
    vm.write("-P 1 1M 1M")
    for disk in vm.disks():
        command = ["virsh", "blockcommit", "idle", disk, "--active", "--pivot", "--wait"]
        subprocess.run(command, check=True, capture_output=True)
    assert "FrozenLayerWritten" in {found.code for found in fabric.check()}
    with pytest.raises(FrozenLayerWritten):
        copies(fabric, first, tmp_path)
    _next, said = next_backup(fabric, vm, first, base)
    assert ["written to after it was frozen" in message for message in said] == [True, True]
    assert all_merged(fabric, vm, tmp_path)


@pytest.mark.parametrize("running", [False, True], ids=["off", "running"])
@pytest.mark.parametrize("size", ["24M", "12M"], ids=["grown", "shrunk"])
def test_disk_resized_while_off_is_read_whole_and_keeps_its_size(
    vm_off: IdleVm, tmp_path: Path, size: str, *, running: bool
) -> None:
    fabric = new_fabric(tmp_path / "state")
    vm_off.write("-P 1 10M 4M")
    first = capture(fabric, vm_off.uuid, "p1")
    base = copies(fabric, first, tmp_path)
    for path, _format in vm_off.disks().values():
        qemu_img("resize", "-q", "--shrink", "-f", "qcow2", path, size)
    if running:
        vm_off.domain.create()
    _next, said = next_backup(fabric, vm_off, first, base)
    assert ["size changed" in message for message in said] == [True, True]
    older = copies(fabric, first, tmp_path)
    assert all(reads_as(disk, older[disk.name]) for disk in first.disks)
    assert all_merged(fabric, vm_off, tmp_path)


def test_disk_is_added_another_removed(fabric: Fabric, vm_off: IdleVm, lab: Lab, tmp_path: Path) -> None:
    first = capture(fabric, vm_off.uuid, "p1")
    base, new = copies(fabric, first, tmp_path), vm_off.folder / "new.qcow2"
    qemu_img("create", "-q", "-f", "qcow2", new, "16M")
    (removed, _format) = vm_off.disks()["sda"]
    vm_off.redefine(lab.connection, change=lambda xml: xml.replace(removed, str(new)).replace("sda", "sdd"))
    vm_off.domain = lab.connection.defineXML(vm_off.domain.XMLDesc().replace("type='raw'", "type='qcow2'"))
    second, said = next_backup(fabric, vm_off, first, base)
    assert [disk.name for disk in second.disks] == ["vda", "sdd"]
    assert said == ["disk sdd is read as a whole: the previous restore point does not have it"]
    older = copies(fabric, held(fabric, vm_off, first), tmp_path)
    assert older.keys() == {"vda", "sda"}
    for point in (first, second):
        merge(fabric, point)
    assert chain_of(removed) == [
        str(vm_off.folder / "data.raw"),
        removed,
    ]  # somebody may want the removed disk


def test_disk_moved_elsewhere_is_read_whole(fabric: Fabric, vm_off: IdleVm, lab: Lab, tmp_path: Path) -> None:
    vm_off.write("-P 1 1M 1M")
    first = capture(fabric, vm_off.uuid, "p1")
    base, moved = copies(fabric, first, tmp_path), lab.new_folder("elsewhere") / "data.qcow2"
    (path, _format) = vm_off.disks()["sda"]
    qemu_img("convert", "-f", "qcow2", "-O", "qcow2", path, moved)
    vm_off.redefine(lab.connection, change=lambda xml: xml.replace(path, str(moved)))
    _next, said = next_backup(fabric, vm_off, first, base)
    assert ["was replaced" in message for message in said] == [True]
    assert all_merged(fabric, vm_off, tmp_path)


def test_vm_defined_again_goes_on(fabric: Fabric, vm_off: IdleVm, lab: Lab, tmp_path: Path) -> None:
    first = capture(fabric, vm_off.uuid, "p1")
    base = copies(fabric, first, tmp_path)
    vm_off.redefine(lab.connection)
    _next, said = next_backup(fabric, vm_off, first, base)
    assert said == []
    assert all_merged(fabric, vm_off, tmp_path)
    assert fabric.check() == []
    assert layers_in(vm_off.folder) == []


@pytest.mark.parametrize("running", [False, True], ids=["off", "running"])
def test_vm_defined_again_with_another_uuid_is_followed(
    fabric: Fabric, vm_off: IdleVm, lab: Lab, tmp_path: Path, *, running: bool
) -> None:
    before = vm_off.disks()
    points = [capture(fabric, vm_off.uuid, "p1")]
    vm_off.write("-P 1 1M 1M")
    points.append(capture(fabric, vm_off.uuid, "p2"))
    base, old = copies(fabric, points[1], tmp_path), vm_off.uuid
    vm_off.redefine(lab.connection, uuid=OTHER_UUID)
    if running:
        vm_off.domain.create()
    assert fabric.find_successor(old, ["p1", "p2"]) == OTHER_UUID
    for _ in range(2):
        fabric.take_over_points(old, OTHER_UUID)
    assert fabric.find_successor(old, ["p1", "p2"]) == OTHER_UUID
    _next, said = next_backup(fabric, vm_off, held(fabric, vm_off, points[1]), base)
    assert said == []
    assert all_merged(fabric, vm_off, tmp_path)
    assert fabric.check() == []
    assert vm_off.disks() == before


def test_points_of_a_vm_with_another_uuid_go_without_harm_to_it(
    fabric: Fabric, vm_off: IdleVm, lab: Lab, tmp_path: Path
) -> None:
    before = vm_off.disks()
    for number in range(3):
        vm_off.write(f"-P {number + 1} {number}M 1M")
        capture(fabric, vm_off.uuid, f"p{number}")
    vm_off.redefine(lab.connection, uuid=OTHER_UUID)
    assert all_merged(fabric, vm_off, tmp_path)
    assert vm_off.disks() == before
    assert fabric.check() == []


def test_layer_that_libvirt_forgot_is_kept_and_used_at_the_next_start(
    fabric: Fabric, vm: IdleVm, lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when libvirtd is killed between QEMU's switch to new layers and its own note of it."""
    definition = vm.domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
    before = vm.disks()
    with monkeypatch.context() as patch:
        strike_at("after layers", die, patch)
        patch.setattr("vmkeep.fabric.capture.Capturer.discard", lambda *_: None)
        with pytest.raises(Died):
            capture(fabric, vm.uuid, "p1")
    vm.write("-P 5 1M 1M")
    layers, written = vm.disks(), vm.content(tmp_path / "written")
    lab.connection.defineXML(definition)
    monkeypatch.setattr(
        "vmkeep.fabric.layer_use._named_files", lambda _host: {path for path, _ in before.values()}
    )
    with pytest.raises(LayerInUse, match="although libvirt does not name it"):
        capture(fabric, vm.uuid, "p2")
    monkeypatch.undo()
    vm.domain.destroy()
    vm.domain.create()
    assert vm.disks() == layers
    qemu_img("compare", "-f", "raw", "-F", "raw", written, vm.content(tmp_path / "after"))


class Died(Exception):
    """The service was killed."""


def die() -> None:
    raise Died
