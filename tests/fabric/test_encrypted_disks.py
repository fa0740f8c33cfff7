"""Encrypted disks: captured, read, merged and restored without a byte of plaintext on the host."""

from collections.abc import Iterator
from pathlib import Path

import libvirt
import pytest

from tests.fabric.encrypted_vm import (
    KEYS,
    PASSPHRASE,
    EncryptedVm,
    change_passphrase,
    define_secret,
    encrypted_vm,
    plain_copy,
)
from tests.fabric.on_guests import apply, layers_in, new_fabric
from tests.lab.lab import Lab
from vmkeep.fabric.encryption_errors import DiskKeyMissing, DiskKeyWrong
from vmkeep.fabric.fabric import Fabric
from vmkeep.model.disk_key import DiskKeys, KeyReference
from vmkeep.model.disk_selection import DiskSelection
from vmkeep.model.restore_point import RestorePoint

pytestmark = pytest.mark.qemu

VALUES = (0xA7, 0xB8, 0xC9)
OS_DISK = DiskSelection(included=False, luns=(0,), names=("sda",))


@pytest.fixture
def fabric(tmp_path: Path) -> Fabric:
    return new_fabric(tmp_path)


@pytest.fixture
def vm(lab: Lab) -> Iterator[EncryptedVm]:
    with encrypted_vm(lab, running=True) as found:
        yield found


def capture(
    fabric: Fabric,
    vm: EncryptedVm,
    point_id: str,
    keys: DiskKeys = KEYS,
    selection: DiskSelection | None = None,
) -> RestorePoint:
    return fabric.capture(
        vm.uuid,
        point_id=point_id,
        on_phase=lambda _: None,
        cancelled=lambda: False,
        keys=keys,
        selection=selection,
    )


def merge(fabric: Fabric, point: RestorePoint, keys: DiskKeys) -> None:
    fabric.merge(point, on_progress=lambda _done, _all: None, cancelled=lambda: False, keys=keys)


def holds_nowhere(folder: Path, text: bytes) -> bool:
    return all(text not in path.read_bytes() for path in folder.iterdir())


def test_points_read_as_written_merge_on_or_off_and_leave_no_plaintext_on_the_host(
    fabric: Fabric, vm: EncryptedVm, tmp_path: Path
) -> None:
    vm.write("-P 0xa7 1M 64k")
    first = capture(fabric, vm, "p1")
    vm.write("-P 0xb8 5M 64k")
    vm.domain.destroy()
    second = capture(fabric, vm, "p2")
    vm.domain.create()
    vm.write("-P 0xc9 9M 64k")
    third = capture(fabric, vm, "p3")

    copies = {name: tmp_path / name for name in KEYS}
    for point, since in ((first, None), (second, first)):
        with fabric.sources(point, since=since, keys=KEYS) as disks:
            assert not disks.healed
            read = {source.name: apply(source, copies[source.name]) for source in disks.disks}
    assert set(read.values()) == {64 << 10}
    for copy in copies.values():
        assert written(copy)[:2] == [0xA7, 0xB8]
        assert written(copy)[2] != 0xC9
    assert all(holds_nowhere(vm.folder, bytes([value]) * 512) for value in VALUES)

    merge(fabric, second, keys={})
    vm.domain.destroy()
    with pytest.raises(DiskKeyMissing):
        merge(fabric, first, keys={})
    merge(fabric, first, KEYS)
    merge(fabric, third, KEYS)
    assert layers_in(vm.folder) == []
    vm.domain.create()
    vm.domain.destroy()
    for name, (path, _format) in vm.disks().items():
        assert written(plain_copy(path, tmp_path / f"{name}-merged")) == list(VALUES)


def written(plain: Path) -> list[int]:
    """What stands at the places that the test writes to; -1 for noise, which is what LUKS without qcow2 has for holes."""
    content = plain.read_bytes()
    parts = [set(content[megabyte << 20 :][: 64 << 10]) for megabyte in (1, 5, 9)]
    return [part.pop() if len(part) == 1 else -1 for part in parts]


def test_passphrase_that_was_changed_in_all_files_opens_the_next_point(
    fabric: Fabric, vm: EncryptedVm, lab: Lab
) -> None:
    vm.write("-P 0xa7 1M 64k")
    old = capture(fabric, vm, "p1", selection=OS_DISK)
    vm.domain.destroy()
    for image in vm.folder.iterdir():
        change_passphrase(str(image), PASSPHRASE, "battery staple")
    define_secret(lab.connection, "battery staple")
    vm.domain.create()
    vm.write("-P 0xb8 5M 64k")
    with pytest.raises(DiskKeyWrong):
        capture(fabric, vm, "p2", selection=OS_DISK)
    keys = {"vda": "battery staple"}
    point = capture(fabric, vm, "p2", keys, OS_DISK)
    with fabric.sources(point, since=old, keys=keys) as disks:
        [healed] = disks.healed
        assert (healed.code, "written to" in healed.message) == ("WholeDiskRead", True)
        [source] = disks.disks
        assert source.read(1 << 20, 4096) == b"\xa7" * 4096
        assert source.read(5 << 20, 4096) == b"\xb8" * 4096


def test_encrypted_disks_are_found_and_without_their_right_keys_left_as_they_were(
    fabric: Fabric, vm: EncryptedVm
) -> None:
    fabric.set_disk_keys(vm.uuid, {"vda": KeyReference("kv1", "os-key")})
    machine = fabric.get_machine(vm.uuid)
    assert {disk.name: disk.key for disk in machine.disks if disk.encrypted} == {
        "vda": KeyReference("kv1", "os-key"),
        "sda": None,
    }
    before = vm.domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
    for keys, refusal in (({}, DiskKeyMissing), ({**KEYS, "vda": "wrong"}, DiskKeyWrong)):
        with pytest.raises(refusal):
            capture(fabric, vm, "p1", keys)
    assert layers_in(vm.folder) == []
    assert vm.domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE) == before
    assert fabric.list_points(vm.uuid) == []
