"""Encrypted disks in definitions and tools: every file names its secret, and no passphrase is on a command line."""

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.fabric.encrypted_vm import PASSPHRASE, plain_copy
from tests.fabric.on_guests import qemu_img
from vmkeep.base.units import MIB
from vmkeep.fabric.chain import Image
from vmkeep.fabric.definition import name_chain
from vmkeep.fabric.domain_xml import encryption_xml, list_disks, parse, unparse
from vmkeep.fabric.extents import image_spec
from vmkeep.fabric.key_references import read_references
from vmkeep.fabric.layer_use import is_empty_layer
from vmkeep.fabric.restore import new_machine_xml
from vmkeep.fabric.targets import new_disk
from vmkeep.fabric.tool_secret import tool_secret
from vmkeep.model.disk_key import KeyReference
from vmkeep.model.machine import DiskFormat

SECRET = "5ec00000-77cc-4c6b-9d52-0a7700000001"
DISK = """<disk type='file' device='disk'><driver name='qemu' type='raw'/>
<source file='/d/data.raw'><encryption format='luks'><secret type='passphrase' uuid='5ec00000-77cc-4c6b-9d52-0a7700000001'/>
</encryption></source><target dev='vda' bus='virtio'/></disk>"""
VM = f"""<domain type='kvm'><name>web</name><metadata>
<k:keys xmlns:k='https://vmkeep.dev/xml/disk-keys/1'><k:key disk='vda' key-vault='kv1' secret='os-key'/></k:keys></metadata>
<devices>{DISK}</devices></domain>"""
CHAIN = (
    Image("/d/data.raw", DiskFormat.LUKS, MIB, encrypted=True),
    Image("/d/data.vmkeep-p1.qcow2", DiskFormat.QCOW2, MIB, encrypted=True),
    Image("/d/data.vmkeep-p2.qcow2", DiskFormat.QCOW2, MIB, encrypted=True),
)


def test_raw_disk_with_encryption_is_known_as_luks_with_its_secret() -> None:
    [disk] = list_disks(parse(VM))
    assert (disk.format, disk.secret_uuid, disk.obstacle) == ("luks", SECRET, "")
    assert read_references(parse(VM)) == {"vda": KeyReference("kv1", "os-key")}


def test_definition_names_every_file_of_an_encrypted_chain_with_its_secret_and_engine() -> None:
    disk = parse(DISK)
    name_chain(disk, CHAIN)
    name_chain(disk, CHAIN)
    written = unparse(disk)
    assert written.count(f'uuid="{SECRET}"') == len(CHAIN)
    files = [source.get("file") for source in disk.iter("source")]
    assert sorted(file or "" for file in files) == sorted(image.path for image in CHAIN)
    assert [found.get("type") for found in disk.iter("format")] == ["qcow2", "raw"]
    assert all(found.get("engine") == "qemu" for found in disk.findall(".//backingStore/source/encryption"))
    assert disk.findall("backingStore/backingStore/backingStore") != []


def test_definition_of_a_plain_disk_leaves_the_chain_to_its_files() -> None:
    disk = parse(
        "<disk><driver type='raw'/><source file='/d/a.raw'/><backingStore type='file'><source file='/d/b'/></backingStore></disk>"
    )
    name_chain(disk, (Image("/d/a.raw", DiskFormat.RAW, MIB), Image("/d/a.p1.qcow2", DiskFormat.QCOW2, MIB)))
    assert unparse(disk) == '<disk><driver type="qcow2" /><source file="/d/a.p1.qcow2" /></disk>'


def test_restored_encrypted_disk_has_a_secret_of_its_own() -> None:
    mine = "99999999-0000-0000-0000-000000000000"
    xml = new_machine_xml(
        VM,
        name="web2",
        vm_uuid=mine,
        disk_images={"vda": (Path("/r/vda.qcow2"), DiskFormat.QCOW2)},
        network=None,
        secret_uuids={"vda": mine},
    )
    assert SECRET not in xml
    source = parse(xml).find("devices/disk/source")
    assert source is not None
    assert [ET.tostring(child) for child in source] == [ET.tostring(encryption_xml(mine))]


def test_images_are_opened_by_the_secret_the_tool_is_handed() -> None:
    spec = image_spec(CHAIN[:2], whole=True)
    assert spec["encrypt"] == {"format": "luks", "key-secret": "disk-key"}
    assert (spec["backing"]["driver"], spec["backing"]["key-secret"]) == ("luks", "disk-key")


def test_passphrase_is_on_no_command_line_and_in_no_file_of_a_disk() -> None:
    with tool_secret(PASSPHRASE) as secret:
        assert PASSPHRASE not in " ".join(secret.arguments)
        [descriptor] = secret.descriptors
        path = Path(f"/proc/self/fd/{descriptor}")
        assert path.read_bytes() == PASSPHRASE.encode()
        assert str(path.readlink()).startswith("/memfd:")
    with tool_secret(None) as secret:
        assert (secret.arguments, secret.descriptors) == ((), ())


@pytest.mark.slow  # a LUKS header takes seconds to make
@pytest.mark.parametrize("image_format", [DiskFormat.QCOW2, DiskFormat.RAW])
def test_disk_restored_with_a_key_is_encrypted_and_reads_as_written(
    image_format: DiskFormat, tmp_path: Path
) -> None:
    path = tmp_path / f"vda.{image_format}"
    with new_disk(path, size_bytes=4 * MIB, image_format=image_format, key=PASSPHRASE) as target:
        target.write(MIB, b"\xa7" * 4096)
    assert b"\xa7" * 512 not in path.read_bytes()
    plain = plain_copy(path, tmp_path / "plain").read_bytes()
    assert (len(plain), plain[MIB:][:4096]) == (4 * MIB, b"\xa7" * 4096)


def test_layer_without_tables_is_empty_whoever_can_open_it(tmp_path: Path) -> None:
    layer = tmp_path / "layer.qcow2"
    qemu_img("create", "-q", "-f", "qcow2", layer, "1M")
    assert is_empty_layer(str(layer))
    (tmp_path / "data").write_bytes(b"x" * MIB)
    qemu_img("convert", "-f", "raw", "-O", "qcow2", tmp_path / "data", layer)
    assert not is_empty_layer(str(layer))
