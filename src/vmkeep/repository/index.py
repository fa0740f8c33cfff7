"""The index in memory: where every record lies.

Bounded: 28 bytes an entry, in sorted columns; all but small segments lie in mapped files, so they take page
cache that the kernel may drop, not memory of ours. Small segments are merged, so that a lookup meets few of them.
"""

import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vmkeep.repository.errors import ObjectMissing
from vmkeep.repository.index_object import (
    MAX_INDEX_SIZE,
    Entries,
    Ids,
    PackInfo,
    concatenate,
    decode_index,
    encode_index,
    ids_of,
    mapped,
    no_entries,
)
from vmkeep.repository.layout import MAX_INDEX_ENTRIES, ObjectKind, object_name
from vmkeep.repository.sealed_objects import SealedObjects

_MERGE_RATIO = 4
Rows = NDArray[np.intp] | np.intp
Mask = NDArray[np.bool_]
_ABSENT = -1


@dataclass(frozen=True, slots=True)
class Location:
    """Where one record lies."""

    pack: PackInfo
    offset: int
    length: int


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """Answers to a lookup, one row for each id asked. Where `position` is -1 the id is unknown and the rest void."""

    position: NDArray[np.int64]
    """Place among all entries; stands for the entry until the index is next changed."""
    pack: NDArray[np.uint32]
    offset: NDArray[np.uint32]
    length: NDArray[np.uint32]

    @property
    def known(self) -> Mask:
        """Which ids the index knows."""
        return np.not_equal(self.position, _ABSENT)


class Index:
    """Where every record lies, as far as the index objects read so far tell. Safe from several threads."""

    def __init__(self, objects: SealedObjects) -> None:
        self.packs: list[PackInfo] = []
        """Every pack an index object ever named, by number; numbers stay."""
        self.named_by: dict[bytes, list[int]] = {}
        """The index objects read, and the numbers of the packs each names."""
        self._objects = objects
        self._numbers: dict[bytes, int] = {}
        self._segments: list[Entries] = []
        self._lock = threading.RLock()

    def __len__(self) -> int:
        return sum(map(len, self._segments))

    def refresh(self) -> None:
        """Read the index objects that are new; begin anew when one that was read is gone."""
        with self._lock:
            present = set(self._objects.list_ids(ObjectKind.INDEX))
            if self.named_by.keys() - present:
                self._clear()
            for index_id in sorted(present - self.named_by.keys()):
                try:
                    self.read(index_id)
                except ObjectMissing:  # a prune took it away since it was listed, and wrote a newer one
                    return self.refresh()
            return None

    def read(self, index_id: bytes) -> None:
        """Learn one index object; ObjectMissing or ObjectDamaged."""
        payload = self._objects.get(ObjectKind.INDEX, index_id, limit=MAX_INDEX_SIZE)
        self.add(index_id, *decode_index(object_name(ObjectKind.INDEX, index_id), payload))

    def write(self, packs: Sequence[PackInfo], entries: Entries) -> bytes:
        """Store a new index object (its entries' pack numbers are positions in `packs`), learn it, return its id."""
        entries = entries.sorted()
        index_id = self._objects.put(ObjectKind.INDEX, encode_index(packs, entries))
        self.add(index_id, packs, entries)
        return index_id

    def add(self, index_id: bytes, packs: Sequence[PackInfo], entries: Entries) -> None:
        """Learn what an index object says."""
        with self._lock:
            numbers = [self._number(pack) for pack in packs]
            self.named_by[index_id] = numbers
            if not len(entries):
                return
            translated = np.array(numbers, np.uint32)[entries.pack]
            segment = Entries(entries.first, entries.second, entries.offset, entries.length, translated)
            self._segments.append(mapped(segment))
            self._merge_small()

    def find(self, ids: Ids, avoid: Mask | None = None) -> Found:
        """Look up ids; of an id in several packs, one whose pack number is not in the mask `avoid` is preferred."""
        count = len(ids)
        found = Found(np.full(count, _ABSENT, np.int64), *(np.zeros(count, np.uint32) for _ in range(3)))
        with self._lock:
            avoided = np.zeros(len(self.packs) + 1, np.bool_)
            if avoid is not None:
                avoided[: len(avoid)] = avoid
            base = 0
            for segment in self._segments:
                _look_up(segment, base, ids, found, avoided)
                base += len(segment)
        return found

    def find_one(self, record_id: bytes) -> Location | None:
        """Return where one record lies, or None."""
        found = self.find(ids_of([record_id]))
        if not found.known[0]:
            return None
        return Location(self.packs[found.pack[0]], int(found.offset[0]), int(found.length[0]))

    def named_packs(self) -> set[bytes]:
        """Return the ids of the packs that the index objects name now."""
        with self._lock:
            numbers = set().union(*self.named_by.values())
            return {self.packs[number].pack_id for number in numbers}

    def mask(self, pack_ids: Iterable[bytes]) -> Mask:
        """Return a mask over pack numbers that is true for these packs."""
        with self._lock:
            mask = np.zeros(len(self.packs), np.bool_)
            for pack_id in pack_ids:
                if (number := self._numbers.get(pack_id)) is not None:
                    mask[number] = True
            return mask

    def segments(self) -> Iterator[Entries]:
        """Yield all entries in parts, in the order of their positions."""
        with self._lock:
            yield from list(self._segments)

    def entries_in(self, packs: Mask) -> Entries:
        """Return the entries that lie in the masked packs."""
        return concatenate([no_entries(), *(s.take(packs[s.pack]) for s in self.segments())])

    def _number(self, pack: PackInfo) -> int:
        if pack.pack_id not in self._numbers:
            self._numbers[pack.pack_id] = len(self.packs)
            self.packs.append(pack)
        return self._numbers[pack.pack_id]

    def _merge_small(self) -> None:
        while len(self._segments) > 1:
            older, newer = self._segments[-2:]
            if len(older) > _MERGE_RATIO * len(newer) or len(older) + len(newer) > MAX_INDEX_ENTRIES:
                return
            self._segments[-2:] = [mapped(concatenate((older, newer)).sorted())]

    def _clear(self) -> None:
        self.named_by, self._segments = {}, []


def _look_up(segment: Entries, base: int, ids: Ids, found: Found, avoid: Mask) -> None:
    """Fill in `found` for the ids that this segment knows."""
    places = np.searchsorted(segment.first, ids[:, 0])
    places[places == len(segment)] = 0
    same_first = segment.first[places] == ids[:, 0]
    if not same_first.any():
        return
    wanted = same_first & (~found.known | avoid[found.pack])
    exact = wanted & (segment.second[places] == ids[:, 1]) & ~avoid[segment.pack[places]]
    _take(segment, base, found, np.flatnonzero(exact), places[exact])
    for row in np.flatnonzero(wanted & ~exact):  # duplicates, or another id with the same first half: rare
        first, second = ids[row]
        end = int(np.searchsorted(segment.first, first, "right"))
        same = np.flatnonzero(segment.second[places[row] : end] == second) + places[row]
        better = same[~avoid[segment.pack[same]]]
        if len(same):
            _take(segment, base, found, row, (better if len(better) else same)[0])


def _take(segment: Entries, base: int, found: Found, rows: Rows, places: Rows) -> None:
    found.position[rows] = places + base
    found.pack[rows] = segment.pack[places]
    found.offset[rows] = segment.offset[places]
    found.length[rows] = segment.length[places]
