"""A restored VM boots from what was captured, beside the original."""

from pathlib import Path

import pytest

from tests.fabric.on_guests import capture, new_fabric
from tests.lab.guest import Guest
from tests.lab.lab import Lab
from vmkeep.base.units import MIB
from vmkeep.fabric.errors import NameTaken, NotRestoredByUs
from vmkeep.fabric.fabric import Fabric
from vmkeep.model.disk_io import DiskSource, ExtentKind
from vmkeep.model.machine import DiskFormat
from vmkeep.model.restore_point import RestorePoint

pytestmark = pytest.mark.qemu


@pytest.fixture
def fabric(tmp_path: Path) -> Fabric:
    return new_fabric(tmp_path)


def restore_disks(fabric: Fabric, point: RestorePoint, folder: Path) -> dict[str, Path]:
    """Write the OS disk as qcow2 and the data disk as raw."""
    formats = {"vda": DiskFormat.QCOW2, "vdb": DiskFormat.RAW}
    paths = {name: folder / f"{name}.{image_format}" for name, image_format in formats.items()}
    with fabric.sources(point, since=None) as disks:
        for source in disks.disks:
            restore_disk(fabric, source, paths[source.name], formats[source.name])
    return paths


def restore_disk(fabric: Fabric, source: DiskSource, path: Path, image_format: DiskFormat) -> None:
    with fabric.create_disk(path, size_bytes=source.size_bytes, format=image_format) as target:
        for extent in source.extents():
            for at in range(extent.offset, extent.end if extent.kind is ExtentKind.DATA else 0, MIB):
                target.write(at, source.read(at, min(MIB, extent.end - at)))


def test_restored_guest_boots_with_the_captured_data_beside_the_original(
    fabric: Fabric, guest: Guest, lab: Lab
) -> None:
    guest.write_file("/data/proof", b"captured" * 10_000)
    captured = guest.digest("/data/proof")
    point = capture(fabric, guest.uuid, "p1")
    guest.write_file("/data/proof", b"later")
    paths = restore_disks(fabric, point, lab.new_folder("restored"))
    uuid = fabric.create_machine(point.machine_xml, name="alpha-restored", disk_paths=paths)
    restored = lab.get_guest("alpha-restored")
    assert restored.uuid == uuid != guest.uuid
    assert restored.disks == paths
    assert guest.mac not in restored.domain.XMLDesc()
    restored.boot()
    restored.run("mount", "-a")
    assert restored.digest("/data/proof") == captured
    assert guest.read_file("/data/proof") == b"later"
    with pytest.raises(NameTaken):
        fabric.create_machine(point.machine_xml, name="alpha", disk_paths=paths)
    fabric.delete_machine(uuid)
    fabric.delete_machine(uuid)
    assert not any(path.exists() for path in paths.values())
    with pytest.raises(NotRestoredByUs):
        fabric.delete_machine(guest.uuid)
