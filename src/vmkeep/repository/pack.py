"""Packs: many records in one object, and a table of them. docs/formats/repository.md, "Packs"."""

import struct
from dataclasses import dataclass
from typing import Final

import numpy as np

from vmkeep.base.units import MIB
from vmkeep.repository.errors import ObjectDamaged
from vmkeep.repository.index_object import Entries, PackInfo, ids_of
from vmkeep.repository.layout import (
    HEADER_SIZE,
    ID_SIZE,
    ObjectKind,
    RecordKind,
    check_header,
    encode_header,
    new_object_id,
    object_name,
)
from vmkeep.repository.sealing import Compressed, Sealer

PACK_TARGET: Final = 32 * MIB
_MAX_RECORDS = 1 << 15
_ROW = struct.Struct(f"<{ID_SIZE}sI")
_FOOTER = struct.Struct("<I4s")
_FOOTER_MAGIC = b"KEEP"
PACK_OF: Final = {RecordKind.CHUNK: ObjectKind.CHUNK_PACK, RecordKind.NODE: ObjectKind.NODE_PACK}
RECORDS_OF: Final = {pack: record for record, pack in PACK_OF.items()}


@dataclass(frozen=True, slots=True)
class FinishedPack:
    """What an index says of a whole pack (pack number 0 throughout), and the memory it begins."""

    info: PackInfo
    entries: Entries
    memory: bytearray

    @property
    def data(self) -> memoryview:
        """The pack's bytes."""
        return memoryview(self.memory)[: self.info.size]


class PackBuilder:
    """A pack being filled. For one thread at a time.

    `memory` is overwritten, and grows as needed: that of an earlier pack spares the kernel to find it anew.
    """

    def __init__(self, sealer: Sealer, kind: RecordKind, target: int, memory: bytearray) -> None:
        self.kind = kind
        self._pack_id = new_object_id()
        self._pack_kind = PACK_OF[kind]
        header = encode_header(self._pack_kind, self._pack_id)
        self._seal = sealer.seal_of(object_name(self._pack_kind, self._pack_id), header)
        self._target = target
        self._memory = memory
        self._length = 0
        self._append_bytes(header)
        self._rows: list[tuple[bytes, int]] = []

    @property
    def full(self) -> bool:
        """Whether it is time to close the pack."""
        return self._length >= self._target or len(self._rows) >= _MAX_RECORDS

    def add(self, record_id: bytes, packed: Compressed) -> None:
        """Append a record; the pack must not be full."""
        self._rows.append((record_id, self._append(self.kind, record_id, packed)))

    def finish(self) -> FinishedPack:
        """Close the pack and return it."""
        lengths = np.array([length for _, length in self._rows], np.uint32)
        offsets = HEADER_SIZE + np.concatenate(([0], np.cumsum(lengths[:-1]))).astype(np.uint32)
        table = Compressed(b"".join(_ROW.pack(*row) for row in self._rows))
        table_length = self._append(RecordKind.TABLE, self._pack_id, table)
        self._append_bytes(_FOOTER.pack(table_length, _FOOTER_MAGIC))
        ids = ids_of([record_id for record_id, _ in self._rows])
        nowhere = np.zeros(len(ids), np.uint32)
        return FinishedPack(
            PackInfo(self._pack_id, self._length, self._pack_kind),
            Entries(ids[:, 0], ids[:, 1], offsets, lengths, nowhere),
            self._memory,
        )

    def _append(self, kind: RecordKind, record_id: bytes, packed: Compressed) -> int:
        record = self._seal.seal(self._length, kind, record_id, packed)
        self._append_bytes(record)
        return len(record)

    def _append_bytes(self, data: bytes) -> None:
        end = self._length + len(data)
        self._memory[self._length : end] = data
        self._length = end


def read_table(sealer: Sealer, info: PackInfo, data: bytes) -> list[tuple[bytes, int, int]]:
    """Return id, offset and length of each record of a whole pack, in order, or raise ObjectDamaged.

    Header, table and footer are proven; that the records fill all the room between is, too.
    """
    name = object_name(info.kind, info.pack_id)
    header = check_header(name, info.kind, data, info.pack_id)
    footer_at = len(data) - _FOOTER.size
    if footer_at < HEADER_SIZE:
        raise ObjectDamaged(name, "it is too short for a pack")
    table_length, magic = _FOOTER.unpack_from(data, footer_at)
    table_at = footer_at - table_length
    if magic != _FOOTER_MAGIC or table_at < HEADER_SIZE:
        raise ObjectDamaged(name, "its footer is not a pack's")
    seal = sealer.seal_of(name, header)
    table = seal.open(
        data[table_at:footer_at], table_at, RecordKind.TABLE, info.pack_id, limit=_MAX_RECORDS * _ROW.size
    )
    rows, offset = [], HEADER_SIZE
    for record_id, length in _ROW.iter_unpack(table):
        rows.append((record_id, offset, length))
        offset += length
    if offset != table_at:
        raise ObjectDamaged(name, "its records do not fill it")
    return rows
