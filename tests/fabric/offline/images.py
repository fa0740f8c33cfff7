"""Guests' disks for the reader, made without a guest."""

import os
import struct
import subprocess
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from vmkeep.model.disk_io import Extent

MIB = 1 << 20
FILE_SYSTEMS = ("ext4", "xfs")
ROOT_UUID = "11111111-1111-4111-8111-111111111111"
VAR_UUID = "22222222-2222-4222-8222-222222222222"
SIZE = {"ext4": 64 * MIB, "xfs": 320 * MIB}

Content = Mapping[str, str | Path]
"""Path in the guest → text of the file, or where the symlink there points to."""

SYSTEM: Content = {
    "etc/os-release": 'ID=debian\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n',
    "etc/fstab": f"UUID={ROOT_UUID} / auto defaults 0 1\nUUID={VAR_UUID.upper()} /var auto defaults 0 2\n",
}


class RawDisk:
    """A raw image as the fabric's readers want a disk."""

    incremental = False

    def __init__(self, path: Path, name: str = "vda") -> None:
        self.name = name
        self.size_bytes = path.stat().st_size
        self._path = path

    def extents(self) -> Iterator[Extent]:
        return iter(())

    def read(self, offset: int, length: int) -> bytes:
        with self._path.open("rb") as image:
            return os.pread(image.fileno(), length, offset)


def make_file_system(kind: str, image: Path, content: Content, *, uuid: str = ROOT_UUID) -> Path:
    """Make an image that holds one file system with that content."""
    root = image.with_suffix(".d")
    root.mkdir()
    for path, given in content.items():
        place = root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(given, Path):
            place.symlink_to(given)
        else:
            place.write_text(given)
    with image.open("wb") as file:
        file.truncate(SIZE[kind])
    if kind == "ext4":
        run("mkfs.ext4", "-q", "-F", "-U", uuid, "-d", root, image)
    else:
        listing = image.with_suffix(".proto")
        listing.write_text("\n".join(["/dev/null", "0 0", "d--755 0 0", *_proto(root), "$", ""]))
        run("mkfs.xfs", "-q", "-f", "-m", f"uuid={uuid}", "-p", listing, image)
    return image


def _proto(folder: Path) -> Iterator[str]:
    for path in sorted(folder.iterdir()):
        if path.is_symlink():
            yield f"{path.name} l--777 0 0 {path.readlink()}"
        elif path.is_dir():
            yield f"{path.name} d--755 0 0"
            yield from _proto(path)
            yield "$"
        else:
            yield f"{path.name} ---644 0 0 {path}"


def in_partitions(disk: Path, parts: list[Path], *, table: str) -> Path:
    """Make a disk with one partition for each image."""
    size = sum(part.stat().st_size for part in parts) + 16 * MIB
    with disk.open("wb") as file:
        file.truncate(size)
    lines, start = [f"label: {table}"], MIB
    for part in parts:
        lines.append(f"start={start // 512}, size={part.stat().st_size // 512}, type=linux")
        start += part.stat().st_size + MIB
    run("sfdisk", "-q", disk, text="\n".join(lines))
    at = MIB
    for part in parts:
        run(
            "dd",
            f"if={part}",
            f"of={disk}",
            "bs=1M",
            f"seek={at // MIB}",
            "conv=notrunc,sparse",
            "status=none",
        )
        at += part.stat().st_size + MIB
    return disk


LVM_METADATA = """vg {{
id = "aaaaaa-aaaa-aaaa-aaaa-aaaa-aaaa-aaaaaa"
seqno = 1
format = "lvm2"
status = ["RESIZEABLE", "READ", "WRITE"]
flags = []
extent_size = 2048
max_lv = 0
max_pv = 0
metadata_copies = 0
physical_volumes {{
pv0 {{
id = "bbbbbb-bbbb-bbbb-bbbb-bbbb-bbbb-bbbbbb"
device = "/dev/vda2"
status = ["ALLOCATABLE"]
flags = []
dev_size = {sectors}
pe_start = 2048
pe_count = {extents}
}}
}}
logical_volumes {{
root {{
id = "cccccc-cccc-cccc-cccc-cccc-cccc-cccccc"
status = ["READ", "WRITE", "VISIBLE"]
flags = []
creation_time = 1767225600
creation_host = "web01"
segment_count = 1
segment1 {{
start_extent = 0
extent_count = {extents}
type = "striped"
stripe_count = 1
stripes = [
"pv0", 0
]
}}
}}
}}
}}
contents = "Text Format Volume Group"
version = 1
description = ""
creation_host = "web01"
creation_time = 1767225600
"""


def in_lvm(disk: Path, part: Path) -> Path:
    """Make a physical volume whose only logical volume, vg/root, holds an image of whole MiB."""
    extents = part.stat().st_size // MIB
    text = LVM_METADATA.format(sectors=(extents + 1) * 2048, extents=extents).encode() + b"\0"
    locations = struct.pack("<QQII", 512, len(text), _lvm_checksum(text), 0).ljust(512 - 40, b"\0")
    header = struct.pack("<16sIQQ", b" LVM2 x[5A%r0N*>", 1, 4096, MIB - 4096) + locations
    metadata = struct.pack("<I", _lvm_checksum(header)) + header + text
    areas = struct.pack("<10Q", MIB, 0, 0, 0, 4096, MIB - 4096, 0, 0, 0, 0)
    volume = struct.pack("<I8s", 32, b"LVM2 001") + b"b" * 32 + struct.pack("<Q", (extents + 1) * MIB) + areas
    label = volume.ljust(512 - 20, b"\0")
    with disk.open("wb") as file:
        file.truncate((extents + 1) * MIB)
        file.seek(512)
        file.write(struct.pack("<8sQI", b"LABELONE", 1, _lvm_checksum(label)) + label)
        file.seek(4096)
        file.write(metadata)
    run("dd", f"if={part}", f"of={disk}", "bs=1M", "seek=1", "conv=notrunc,sparse", "status=none")
    return disk


def _lvm_checksum(data: bytes) -> int:
    """LVM begins its CRC32 with a number of its own and does not invert it."""
    return zlib.crc32(data, 0xF597A6CF ^ 0xFFFFFFFF) ^ 0xFFFFFFFF


def run(*command: str | Path, text: str = "") -> str:
    done = subprocess.run(
        [*map(str, command)],
        input=text,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"},
    )
    return done.stdout
