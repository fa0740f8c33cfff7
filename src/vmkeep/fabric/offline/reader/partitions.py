"""Partition tables: GPT (UEFI 2.10, §5.3) and MBR with logical partitions."""

import struct
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

from vmkeep.fabric.offline.reader.ranges import Part, Range

SECTOR = 512
MOST = 128
"""How many partitions of a disk are looked at."""
_GPT_HEADER = struct.Struct("<72xQII")
_GPT_ENTRY = struct.Struct("<16s16sQQ")
_MBR_ENTRY = struct.Struct("<4xB3xII")
_MBR_TABLE, _MBR_SIGN = 446, 510
_EXTENDED = {0x05, 0x0F, 0x85}
_PROTECTIVE = 0xEE


@dataclass(frozen=True, slots=True)
class Partition:
    """One partition. `uuid` is GPT's, or empty."""

    number: int
    area: Part
    uuid: str = ""


def list_partitions(disk: Range) -> list[Partition]:
    """Return the partitions of a disk; none when it has no table."""
    if disk.read_at(SECTOR, 8) == b"EFI PART":
        return list(_gpt(disk))[:MOST]
    return list(_mbr(disk))[:MOST]


def _gpt(disk: Range) -> Iterator[Partition]:
    header = disk.read_at(SECTOR, _GPT_HEADER.size)
    if len(header) < _GPT_HEADER.size:
        return
    table, count, size = _GPT_HEADER.unpack(header)
    if size < _GPT_ENTRY.size:
        return
    for number in range(min(count, MOST)):
        entry = disk.read_at(table * SECTOR + number * size, _GPT_ENTRY.size)
        if len(entry) < _GPT_ENTRY.size:
            return
        kind, guid, first, last = _GPT_ENTRY.unpack(entry)
        if any(kind) and last >= first:
            area = Part(disk, first * SECTOR, (last - first + 1) * SECTOR)
            yield Partition(number + 1, area, str(uuid.UUID(bytes_le=guid)))


def _mbr(disk: Range) -> Iterator[Partition]:
    for number, (kind, first, count) in enumerate(_mbr_entries(disk, 0), 1):
        if kind in _EXTENDED:
            yield from _logical(disk, first)
        elif kind not in {0, _PROTECTIVE} and count:
            yield Partition(number, Part(disk, first * SECTOR, count * SECTOR))


def _logical(disk: Range, extended: int) -> Iterator[Partition]:
    at = extended
    for number in range(5, 5 + MOST):
        entries = _mbr_entries(disk, at)
        if len(entries) < 2:  # noqa: PLR2004 - the partition, and where the next table is
            return
        (kind, first, count), (_, following, _) = entries[:2]
        if kind and count:
            yield Partition(number, Part(disk, (at + first) * SECTOR, count * SECTOR))
        if not following:
            return
        at = extended + following


def _mbr_entries(disk: Range, sector: int) -> list[tuple[int, int, int]]:
    table = disk.read_at(sector * SECTOR, SECTOR)
    if len(table) < SECTOR or table[_MBR_SIGN:] != b"\x55\xaa":
        return []
    return list(_MBR_ENTRY.iter_unpack(table[_MBR_TABLE:_MBR_SIGN]))
