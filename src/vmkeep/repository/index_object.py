"""The stored form of the index: columns. docs/formats/repository.md, "index"."""

import mmap
import struct
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vmkeep.repository.errors import ObjectDamaged
from vmkeep.repository.layout import ID_SIZE, MAX_INDEX_ENTRIES, ObjectKind

U64 = NDArray[np.uint64]
U32 = NDArray[np.uint32]
Ids = NDArray[np.uint64]
"""Shape (n, 2): first and second 8 bytes of each id, little-endian."""

ENTRY_SIZE: Final = 28
MAX_INDEX_SIZE: Final = (64 << 20) + MAX_INDEX_ENTRIES * ENTRY_SIZE
_COUNTS = struct.Struct("<II")
_PACK_SIZE = ID_SIZE + 4 + 1
_MAP_FROM = 1 << 15


@dataclass(frozen=True, slots=True)
class PackInfo:
    """A pack as the index knows it; `size` is that of the whole object."""

    pack_id: bytes
    size: int
    kind: ObjectKind


@dataclass(frozen=True, slots=True, eq=False)
class Entries:
    """Columns of one length; `pack` holds numbers whose meaning the owner knows. Sorted by `first` when stored."""

    first: U64
    second: U64
    offset: U32
    length: U32
    pack: U32

    def __len__(self) -> int:
        return len(self.first)

    @property
    def ids(self) -> Ids:
        """The ids as rows."""
        return np.stack((self.first, self.second), axis=1)

    def take(self, which: NDArray[np.intp] | NDArray[np.bool_]) -> "Entries":
        """Return the entries at these positions, or where this mask is true, in that order."""
        return Entries(
            self.first[which], self.second[which], self.offset[which], self.length[which], self.pack[which]
        )

    def in_pack(self, number: int) -> "Entries":
        """Return the same entries, all in the pack of this number."""
        return Entries(
            self.first, self.second, self.offset, self.length, np.full(len(self), number, np.uint32)
        )

    def sorted(self) -> "Entries":
        """Return the same entries in stored order."""
        return self.take(np.argsort(self.first, kind="stable"))

    def columns(self) -> tuple[U64, U64, U32, U32, U32]:
        """Return the columns in stored order."""
        return self.first, self.second, self.offset, self.length, self.pack


def split_ids(ids: bytes) -> list[bytes]:
    """Return the ids in a run of ids, such as a node."""
    return [ids[start : start + ID_SIZE] for start in range(0, len(ids), ID_SIZE)]


def ids_of(ids: Sequence[bytes]) -> Ids:
    """Return ids as rows."""
    return np.frombuffer(b"".join(ids), "<u8").reshape(-1, 2)


def concatenate(parts: Sequence[Entries]) -> Entries:
    """Return all entries, in the order of the parts."""
    return Entries(
        np.concatenate([part.first for part in parts]),
        np.concatenate([part.second for part in parts]),
        np.concatenate([part.offset for part in parts]),
        np.concatenate([part.length for part in parts]),
        np.concatenate([part.pack for part in parts]),
    )


def no_entries() -> Entries:
    """Return columns of length zero."""
    wide, narrow = np.empty(0, np.uint64), np.empty(0, np.uint32)
    return Entries(wide, wide, narrow, narrow, narrow)


def mapped(entries: Entries) -> Entries:
    """Return the same entries; many of them are moved to a nameless mapped file, whose pages the kernel may drop."""
    if len(entries) < _MAP_FROM:
        return entries
    with tempfile.TemporaryFile(prefix="vmkeep-index-") as file:
        for column in entries.columns():
            file.write(_stored(column))
        file.flush()
        return _columns_in(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), 0, len(entries))


def encode_index(packs: Sequence[PackInfo], entries: Entries) -> bytes:
    """Return an index object's payload; `entries` sorted, their pack numbers being positions in `packs`."""
    head = b"".join(
        (
            _COUNTS.pack(len(packs), len(entries)),
            b"".join(pack.pack_id for pack in packs),
            np.array([pack.size for pack in packs], "<u4").tobytes(),
            bytes(pack.kind for pack in packs),
        )
    )
    return b"".join((head, bytes(-len(head) % 8), *(_stored(column) for column in entries.columns())))


def decode_index(name: str, payload: bytes) -> tuple[list[PackInfo], Entries]:
    """Return what `encode_index` was given, or raise ObjectDamaged."""
    try:
        pack_count, count = _COUNTS.unpack_from(payload)
        start = _COUNTS.size + pack_count * _PACK_SIZE
        start += -start % 8
        if len(payload) == start + count * ENTRY_SIZE:
            packs, entries = _decode_packs(payload, pack_count), _columns_in(payload, start, count)
            if _is_sound(entries, pack_count):
                return packs, entries
    except (struct.error, ValueError) as error:
        raise ObjectDamaged(name, str(error)) from error
    raise ObjectDamaged(name, "its columns do not fit together")


def _is_sound(entries: Entries, pack_count: int) -> bool:
    if len(entries) == 0:
        return True
    in_order = bool(np.all(entries.first[1:] >= entries.first[:-1]))
    return in_order and int(entries.pack.max()) < pack_count and len(entries) <= MAX_INDEX_ENTRIES


def _stored(column: U64 | U32) -> bytes:
    return column.astype(column.dtype.newbyteorder("<")).tobytes()


def _decode_packs(payload: bytes, count: int) -> list[PackInfo]:
    ids = split_ids(payload[_COUNTS.size : _COUNTS.size + count * ID_SIZE])
    sizes_at = _COUNTS.size + count * ID_SIZE
    sizes = np.frombuffer(payload, "<u4", count, sizes_at).tolist()
    kinds = map(ObjectKind, payload[sizes_at + 4 * count :][:count])
    return [PackInfo(*pack) for pack in zip(ids, sizes, kinds, strict=True)]


def _columns_in(payload: bytes | mmap.mmap, start: int, count: int) -> Entries:
    narrow_at = start + 16 * count
    return Entries(
        np.frombuffer(payload, "<u8", count, start),
        np.frombuffer(payload, "<u8", count, start + 8 * count),
        np.frombuffer(payload, "<u4", count, narrow_at),
        np.frombuffer(payload, "<u4", count, narrow_at + 4 * count),
        np.frombuffer(payload, "<u4", count, narrow_at + 8 * count),
    )
