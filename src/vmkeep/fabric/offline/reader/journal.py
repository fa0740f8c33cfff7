"""The journal of ext4, replayed in memory: without it, what a running guest wrote last is not where it belongs yet.

The format is JBD2's (https://docs.kernel.org/filesystems/ext4/journal.html). Checksums are not verified: a layer is frozen
between two writes, so that a transaction with its commit block is whole.
"""

import struct
from collections.abc import Iterator

from vmkeep.fabric.offline.reader.ranges import Range

_HEADER = struct.Struct(">III")
_MAGIC = 0xC03B3998
_DESCRIPTOR, _COMMIT, _REVOKE = 1, 2, 5
_SUPERBLOCK = struct.Struct(">12xIIIII4xII")
_SUPERBLOCK_V2 = 4
_64BIT, _CSUM_V2, _CSUM_V3, _FAST_COMMIT = 0x2, 0x8, 0x10, 0x20
_KNOWN = 0x1 | _64BIT | 0x4 | _CSUM_V2 | _CSUM_V3 | _FAST_COMMIT
_ESCAPED, _SAME_UUID, _LAST = 1, 2, 8
_SMALLEST_BLOCK = 1024
_UUID = 16
_FAST_COMMIT_BLOCKS = 256
"""Where the superblock names no other number (JBD2_DEFAULT_FAST_COMMIT_BLOCKS)."""


class JournalUnknown(Exception):
    """The journal is damaged or of a kind that is not known here."""


class Journal:
    """What a journal holds and the file system does not yet. Raises JournalUnknown."""

    def __init__(self, journal: Range) -> None:
        self._journal = journal
        head = journal.read_at(0, _SMALLEST_BLOCK)
        if len(head) < _SMALLEST_BLOCK or _HEADER.unpack_from(head)[:2] != (_MAGIC, _SUPERBLOCK_V2):
            raise JournalUnknown("the journal has no superblock")
        self.block_size, count, self._first, sequence, start, _, self._features = _SUPERBLOCK.unpack_from(
            head
        )
        if self.block_size < _SMALLEST_BLOCK or count * self.block_size > journal.size:
            raise JournalUnknown("the journal's superblock is damaged")
        if self._features & ~_KNOWN:
            raise JournalUnknown(f"the journal has features {self._features:#x}")
        if self._features & _FAST_COMMIT:
            count -= struct.unpack_from(">I", head, 0x54)[0] or _FAST_COMMIT_BLOCKS
        self._end = count
        self.blocks: dict[int, tuple[int, bool]] = {}
        """Block of the file system → block of the journal that replaces it, and whether its magic was escaped."""
        if start:
            self._replay(start, sequence)

    def read(self, place: tuple[int, bool]) -> bytes:
        """Return a block that replaces one of the file system."""
        number, escaped = place
        data = self._block(number)
        return _MAGIC.to_bytes(4, "big") + data[4:] if escaped else data

    def _replay(self, start: int, sequence: int) -> None:
        """Take over the transactions that were committed, except for blocks revoked by the same or a later one."""
        revoked: dict[int, int] = {}
        written: list[tuple[int, int, tuple[int, bool]]] = []
        pending: list[tuple[int, int, tuple[int, bool]]] = []
        revoking: list[int] = []
        at = start
        for _ in range(self._end):
            block = self._block(at)
            magic, kind, number = _HEADER.unpack_from(block)
            if magic != _MAGIC or number != sequence:
                break
            if kind == _DESCRIPTOR:
                for target, escaped in self._tags(block):
                    at = self._after(at)
                    pending.append((sequence, target, (at, escaped)))
            elif kind == _REVOKE:
                revoking += self._revoked(block)
            elif kind == _COMMIT:
                written += pending
                revoked.update(dict.fromkeys(revoking, sequence))
                pending, revoking, sequence = [], [], (sequence + 1) & 0xFFFFFFFF
            else:
                break
            at = self._after(at)
        self.blocks = {target: place for when, target, place in written if revoked.get(target, -1) < when}

    def _tags(self, block: bytes) -> Iterator[tuple[int, bool]]:
        """Yield the targets of the data blocks that follow a descriptor block, and whether they are escaped."""
        at, end = _HEADER.size, len(block) - _UUID
        while at < end:
            if self._features & _CSUM_V3:
                low, flags, high = struct.unpack_from(">III", block, at)
                size = 16
            else:
                low, flags, high = struct.unpack_from(">I2xHI", block, at)
                size = (12 if self._features & _64BIT else 8) + (2 if self._features & _CSUM_V2 else 0)
            yield low | (high << 32 if self._features & _64BIT else 0), bool(flags & _ESCAPED)
            if flags & _LAST:
                return
            at += size + (0 if flags & _SAME_UUID else _UUID)

    def _revoked(self, block: bytes) -> list[int]:
        number = struct.Struct(">Q" if self._features & _64BIT else ">I")
        used = min(struct.unpack_from(">I", block, _HEADER.size)[0], len(block))
        listed = block[_HEADER.size + 4 : used]
        return [one for (one,) in number.iter_unpack(listed[: len(listed) // number.size * number.size])]

    def _after(self, number: int) -> int:
        return number + 1 if number + 1 < self._end else self._first

    def _block(self, number: int) -> bytes:
        block = self._journal.read_at(number * self.block_size, self.block_size)
        if len(block) < self.block_size:
            raise JournalUnknown("the journal points out of itself")
        return block


class Replayed:
    """A file system as it would be after its journal was replayed."""

    def __init__(self, under: Range, journal: Journal) -> None:
        self.size = under.size
        self._under = under
        self._journal = journal

    def read_at(self, offset: int, length: int) -> bytes:
        """Return the bytes there are between `offset` and `offset + length`."""
        data, size = bytearray(self._under.read_at(offset, length)), self._journal.block_size
        for number in range(offset // size, (offset + len(data) - 1) // size + 1) if data else ():
            place = self._journal.blocks.get(number)
            if place is not None:
                start = number * size - offset
                block = self._journal.read(place)[max(-start, 0) :]
                at = max(start, 0)
                part = block[: len(data) - at]
                data[at : at + len(part)] = part
        return bytes(data)
