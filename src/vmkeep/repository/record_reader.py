"""From ids to the content of chunks and nodes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from vmkeep.base.units import KIB, MIB
from vmkeep.repository.errors import ObjectDamaged, ObjectMissing, RecordMissing
from vmkeep.repository.index import Index, Location
from vmkeep.repository.index_object import ids_of
from vmkeep.repository.layout import NODE_SIZE, RecordKind, encode_header, object_name
from vmkeep.repository.pack import RECORDS_OF
from vmkeep.repository.sealed_objects import SealedObjects

_GAP: Final = 128 * KIB
"""Bytes between two wanted records that are read along, rather than asking the store twice."""
_MAX_FETCH: Final = 8 * MIB


@dataclass(frozen=True, slots=True)
class Fetch:
    """One range of one pack, and the rows of the request whose records lie in it."""

    rows: tuple[int, ...]
    locations: tuple[Location, ...]

    @property
    def offset(self) -> int:
        """Start of the range in the pack."""
        return self.locations[0].offset

    @property
    def length(self) -> int:
        """Length of the range."""
        return self.locations[-1].offset + self.locations[-1].length - self.offset


class RecordReader:
    """Reads and proves records wherever the index says they lie. Safe from several threads."""

    def __init__(
        self, objects: SealedObjects, index: Index, chunk_size: int, *, follows_index: bool = True
    ) -> None:
        """Read what `index` knows; unless `follows_index` is false, refresh it when something is not where it says."""
        self._objects = objects
        self._follows_index = follows_index
        self._index = index
        self._sizes = {RecordKind.CHUNK: chunk_size, RecordKind.NODE: NODE_SIZE}

    def read(self, kind: RecordKind, record_id: bytes) -> bytes:
        """Return a chunk's or node's content; RecordMissing, ObjectMissing or ObjectDamaged."""
        return next(self.read_many(kind, [record_id]))[1]

    def read_many(self, kind: RecordKind, ids: Sequence[bytes]) -> Iterator[tuple[int, bytes]]:
        """Yield row and content of each id, in the order in which they lie in packs; errors as `read`."""
        for fetch in self.plan(kind, ids):
            try:
                yield from self._fetch(kind, ids, fetch)
            except ObjectMissing:  # a prune may have moved the records since we read the index
                if not self._follows_index:
                    raise
                self._index.refresh()
                rows = fetch.rows
                for again in self.plan(kind, [ids[row] for row in rows]):
                    for row, content in self._fetch(kind, [ids[row] for row in rows], again):
                        yield rows[row], content

    def plan(self, kind: RecordKind, ids: Sequence[bytes]) -> list[Fetch]:
        """Return the ranges to read for these ids; RecordMissing when the index does not know one."""
        found = self._index.find(ids_of(ids))
        if self._follows_index and not found.known.all():
            self._index.refresh()
            found = self._index.find(ids_of(ids))
        if not found.known.all():
            missing = ids[int(np.flatnonzero(~found.known)[0])]
            raise RecordMissing(kind.name.lower(), missing.hex())
        fetches: list[Fetch] = []
        for row in np.lexsort((found.offset, found.pack)):
            pack = self._index.packs[found.pack[row]]
            location = Location(pack, int(found.offset[row]), int(found.length[row]))
            if fetches and _fits(fetches[-1], location):
                last = fetches[-1]
                fetches[-1] = Fetch((*last.rows, int(row)), (*last.locations, location))
            else:
                fetches.append(Fetch((int(row),), (location,)))
        return fetches

    def _fetch(self, kind: RecordKind, ids: Sequence[bytes], fetch: Fetch) -> Iterator[tuple[int, bytes]]:
        pack = fetch.locations[0].pack
        name = object_name(pack.kind, pack.pack_id)
        data = memoryview(self._objects.store.get_range(name, fetch.offset, fetch.length))
        for row, location in zip(fetch.rows, fetch.locations, strict=True):
            start = location.offset - fetch.offset
            yield row, self.open_record(kind, ids[row], location, data[start : start + location.length])

    def open_record(
        self, kind: RecordKind, record_id: bytes, location: Location, record: memoryview
    ) -> bytes:
        """Return the content of a record's bytes, proven to be what its id says, or raise ObjectDamaged."""
        pack = location.pack
        name = object_name(pack.kind, pack.pack_id)
        if RECORDS_OF[pack.kind] is not kind:
            raise ObjectDamaged(name, f"a {kind.name.lower()} is said to lie in it")
        seal = self._objects.sealer.seal_of(name, encode_header(pack.kind, pack.pack_id))
        content = seal.open(record, location.offset, kind, record_id, limit=self._sizes[kind])
        if len(content) != self._sizes[kind] or self._objects.sealer.content_id(kind, content) != record_id:
            raise ObjectDamaged(name, f"the record at {location.offset} is not the content its id names")
        return content


def _fits(fetch: Fetch, location: Location) -> bool:
    last = fetch.locations[-1]
    end = location.offset + location.length
    return (
        last.pack is location.pack
        and location.offset - (last.offset + last.length) <= _GAP
        and end - fetch.offset <= _MAX_FETCH
    )
