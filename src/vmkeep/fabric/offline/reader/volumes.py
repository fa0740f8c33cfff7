"""What is on a guest's disks: file systems in partitions, on whole disks and in LVM, each with a library that reads it."""

import struct
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyfsext
import pyfsxfs
import pyvslvm

from vmkeep.fabric.offline.reader.journal import Journal, JournalUnknown, Replayed
from vmkeep.fabric.offline.reader.partitions import list_partitions
from vmkeep.fabric.offline.reader.ranges import Range, Stream

MOST_LOGICAL_VOLUMES = 256
_HEAD = 68 << 10
_LVM_SECTORS = 4
_LVM_LABEL = b"LABELONE"
_EXT_SUPERBLOCK, _EXT_RECOVER, _EXT_64BIT = 1024, 0x4, 0x80
_EXT_JOURNAL_INODE = 8
_OTHERS = {
    "luks": (0, b"LUKS\xba\xbe"),
    "btrfs": (0x10040, b"_BHRfS_M"),
    "swap": (4086, b"SWAPSPACE2"),
    "ntfs": (3, b"NTFS    "),
    "vfat": (82, b"FAT32   "),
}
FAILURES = (OSError, RuntimeError, ValueError, MemoryError, OverflowError, TypeError, struct.error)
"""What the libraries raise on damaged file systems."""


@dataclass(slots=True)
class Volume:
    """One file system, or what else is there; `names` are what a guest's fstab may call it by."""

    name: str
    kind: str
    size_bytes: int
    names: tuple[str, ...] = ()
    uuid: str = ""
    label: str = ""
    free_bytes: int | None = None
    journal: str = ""
    root: Any = None  # the library's entry of the top folder
    mounted_at: str = ""
    library: Any = None  # the library's volume
    below: Any = None  # what must live as long as the volume

    def to_json(self) -> dict[str, object]:
        """Return what the host is told."""
        told = ("name", "kind", "size_bytes", "uuid", "label", "free_bytes", "journal", "mounted_at")
        return {key: getattr(self, key) for key in told} | {"readable": self.root is not None}


def list_volumes(disks: Sequence[tuple[str, Range]]) -> list[Volume]:
    """Return all that is on the disks; what cannot be read has no `root`."""
    areas = [area for name, disk in disks for area in _areas(name, disk)]
    found = [_open(name, area, names) for name, area, names in areas if not _is_lvm(area)]
    return found + _logical_volumes([area for _, area, _ in areas if _is_lvm(area)])


def _areas(name: str, disk: Range) -> Iterator[tuple[str, Range, tuple[str, ...]]]:
    partitions = list_partitions(disk)
    if _kind(disk) in {"ext4", "xfs"} or _is_lvm(disk) or not partitions:
        yield name, disk, ()
        return
    for partition in partitions:
        names = (f"PARTUUID={partition.uuid}",) if partition.uuid else ()
        yield f"{name}{partition.number}", partition.area, names


def _kind(area: Range) -> str:
    head = area.read_at(0, _HEAD)
    if head[1080:1082] == b"\x53\xef":
        return "ext4"
    if head[:4] == b"XFSB":
        return "xfs"
    return next(
        (kind for kind, (at, magic) in _OTHERS.items() if head[at : at + len(magic)] == magic), "unknown"
    )


def _is_lvm(area: Range) -> bool:
    return any(area.read_at(sector * 512, 8) == _LVM_LABEL for sector in range(_LVM_SECTORS))


def _open(name: str, area: Range, names: tuple[str, ...]) -> Volume:
    kind = _kind(area)
    opener = {"ext4": _open_ext, "xfs": _open_xfs}.get(kind)
    volume = Volume(name, kind, area.size, names)
    if opener is not None:
        try:
            opener(volume, area)
        except (*FAILURES, JournalUnknown) as error:
            volume.root, volume.journal = None, f"damaged: {error}"[:300]
        volume.names += (f"UUID={volume.uuid}", f"LABEL={volume.label}")
    return volume


def _open_ext(volume: Volume, area: Range) -> None:
    head = area.read_at(_EXT_SUPERBLOCK, 1024)
    low = struct.unpack_from("<I", head, 0x0C)[0]
    features = struct.unpack_from("<I", head, 0x60)[0]
    high = struct.unpack_from("<I", head, 0x158)[0] if features & _EXT_64BIT else 0
    volume.free_bytes = (low | high << 32) * (1024 << (struct.unpack_from("<I", head, 0x18)[0] & 0xF))
    volume.uuid, volume.label = str(uuid.UUID(bytes=head[0x68:0x78])), _text(head[0x78:0x88])
    library = pyfsext.volume()
    library.open_file_object(Stream(area))
    volume.journal = "clean"
    if features & _EXT_RECOVER:
        journal = Journal(_EntryRange(library.get_file_entry_by_inode(_EXT_JOURNAL_INODE)))
        library = pyfsext.volume()
        library.open_file_object(Stream(Replayed(area, journal)))
        volume.journal = f"replayed ({len(journal.blocks)} blocks)"
    volume.library, volume.root = library, library.get_root_directory()


def _open_xfs(volume: Volume, area: Range) -> None:
    head = area.read_at(0, 512)
    block_size = struct.unpack_from(">I", head, 4)[0]
    volume.free_bytes = struct.unpack_from(">Q", head, 144)[0] * block_size
    volume.uuid, volume.label = str(uuid.UUID(bytes=head[32:48])), _text(head[108:120])
    library = pyfsxfs.volume()
    library.open_file_object(Stream(area))
    volume.journal = "not replayed"
    volume.library, volume.root = library, library.get_root_directory()


class _EntryRange:
    """A file of a file system as a range."""

    def __init__(self, entry: Any) -> None:  # the library's entry
        self._entry = entry
        self.size: int = entry.size

    def read_at(self, offset: int, length: int) -> bytes:
        """Return the bytes there are between `offset` and `offset + length`."""
        if offset >= self.size:
            return b""
        data: bytes = self._entry.read_buffer_at_offset(min(length, self.size - offset), offset)
        return data


def _logical_volumes(areas: Sequence[Range]) -> list[Volume]:
    """Return the file systems in LVM; each group's physical volumes must all be among the areas."""
    found: list[Volume] = []
    for area in areas:
        try:
            handle = pyvslvm.handle()
            handle.open_file_object(Stream(area))
            handle.open_physical_volume_files_as_file_objects([Stream(area)])
            group = handle.get_volume_group()
            for number in range(min(group.number_of_logical_volumes, MOST_LOGICAL_VOLUMES)):
                logical = group.get_logical_volume(number)
                found.append(_open_logical(handle, group.name, logical))
        except FAILURES as error:
            found.append(Volume("lvm", "lvm", area.size, journal=f"damaged: {error}"[:300]))
    return found


def _open_logical(handle: Any, group: str, logical: Any) -> Volume:  # the library's objects
    name = logical.name
    mapped = f"/dev/mapper/{group.replace('-', '--')}-{name.replace('-', '--')}"
    volume = _open(f"{group}/{name}", _EntryRange(logical), (mapped, f"/dev/{group}/{name}"))
    volume.below = (handle, logical)
    return volume


def _text(field: bytes) -> str:
    return field.split(b"\0")[0].decode("utf-8", "replace")
