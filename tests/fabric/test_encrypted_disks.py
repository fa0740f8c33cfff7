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
from vmkeep.fabric.errors import DiskKeyMissing, DiskKeyWrong
from vmkeep.fabric.fabric import Fabric
from vmkeep.model.disk_key import DiskKeys, KeyReference
from vmkeep.model.restore_point import RestorePoint

pytestmark = pytest.mark.qemu


@pytest.fixture
def fabric(tmp_path: Path) -> Fabric:
    return new_fabric(tmp_path)


@pytest.fixture
def vm(lab: Lab) -> Iterator[EncryptedVm]:
    with encrypted_vm(lab, running=True) as found:
        yield found


def capture(fabric: Fabric, vm: EncryptedVm, point_id: str, keys: DiskKeys = KEYS) -> RestorePoint:
    return fabric.capture(
        vm.uuid, point_id=point_id, on_phase=lambda _: None, cancelled=lambda: False, keys=keys
    )


def merge(fabric: Fabric, point: RestorePoint, keys: DiskKeys) -> None:
    fabric.merge(point, on_progress=lambda _done, _all: None, cancelled=lambda: False, keys=keys)


def holds_nowhere(folder: Path, text: bytes) -> bool:
    return all(text not in path.read_bytes() for path in folder.iterdir())


def test_points_read_as_the_guest_wrote_and_no_file_of_the_host_holds_plaintext(
    fabric: Fabric, vm: EncryptedVm, tmp_path: Path
) -> None:
    fabric.set_disk_keys(vm.uuid, {"vda": KeyReference("kv1", "os-key")})
    machine = fabric.get_machine(vm.uuid)
    assert {disk.name: disk.key for disk in machine.disks if disk.encrypted} == {
        "vda": KeyReference("kv1", "os-key"),
        "sda": None,
    }
    vm.write("-P 0xa7 1M 64k")
    first = capture(fabric, vm, "p1")
    vm.write("-P 0xb8 5M 64k")
    second = capture(fabric, vm, "p2")
    vm.write("-P 0xc9 9M 64k")
    copies = {name: tmp_path / name for name in KEYS}
    read = {}
    for point, since in ((first, None), (second, first)):
        with fabric.sources(point, since=since, keys=KEYS) as disks:
            assert not disks.healed
            read = {source.name: apply(source, copies[source.name]) for source in disks.disks}
    assert set(read.values()) == {64 << 10}
    for copy in copies.values():
        content = copy.read_bytes()
        assert content[1 << 20 :][: 64 << 10] == b"\xa7" * (64 << 10)
        assert content[5 << 20 :][: 64 << 10] == b"\xb8" * (64 << 10)
        assert b"\xc9" * 4096 not in content
    assert all(holds_nowhere(vm.folder, bytes([value]) * 512) for value in (0xA7, 0xB8, 0xC9))


def test_layers_made_on_or_off_merge_on_or_off_and_the_vm_starts_with_all_that_was_written(
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
        content = plain_copy(path, tmp_path / name).read_bytes()
        for megabyte, value in ((1, 0xA7), (5, 0xB8), (9, 0xC9)):
            assert content[megabyte << 20 :][: 64 << 10] == bytes([value]) * (64 << 10)


def test_passphrase_that_was_changed_in_all_files_opens_the_next_point(
    fabric: Fabric, vm: EncryptedVm, lab: Lab
) -> None:
    vm.write("-P 0xa7 1M 64k")
    capture(fabric, vm, "p1")
    vm.domain.destroy()
    for image in vm.folder.glob("os*"):
        change_passphrase(str(image), PASSPHRASE, "battery staple")
    for image in vm.folder.glob("data*"):
        change_passphrase(str(image), PASSPHRASE, "battery staple")
    define_secret(lab.connection, "battery staple")
    vm.domain.create()
    vm.write("-P 0xb8 5M 64k")
    with pytest.raises(DiskKeyWrong):
        capture(fabric, vm, "p2")
    keys = dict.fromkeys(KEYS, "battery staple")
    point = capture(fabric, vm, "p2", keys)
    with fabric.sources(point, since=None, keys=keys) as disks:
        for source in disks.disks:
            assert source.read(1 << 20, 4096) == b"\xa7" * 4096
            assert source.read(5 << 20, 4096) == b"\xb8" * 4096


def test_capture_without_the_right_key_leaves_the_vm_as_it_was(fabric: Fabric, vm: EncryptedVm) -> None:
    before = vm.domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
    for keys, refusal in (({}, DiskKeyMissing), ({**KEYS, "vda": "wrong"}, DiskKeyWrong)):
        with pytest.raises(refusal):
            capture(fabric, vm, "p1", keys)
    assert layers_in(vm.folder) == []
    assert vm.domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE) == before
    assert fabric.list_points(vm.uuid) == []
