"""Removing what no manifest needs, while others ingest. docs/formats/repository.md, "Prune" and why it is safe."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Final

import numpy as np
import structlog
from numpy.typing import NDArray

from vmkeep.base.clock import Clock
from vmkeep.repository.condemned import Condemned, list_condemned, put_condemned
from vmkeep.repository.config import Config
from vmkeep.repository.errors import ObjectMissing, RepositoryDamaged
from vmkeep.repository.index import Index, Mask
from vmkeep.repository.index_object import (
    MAX_INDEX_SIZE,
    Entries,
    PackInfo,
    concatenate,
    decode_index,
    ids_of,
    no_entries,
    split_ids,
)
from vmkeep.repository.layout import (
    FOLDERS,
    MAX_INDEX_ENTRIES,
    ZERO_ID,
    ObjectKind,
    RecordKind,
    id_in_name,
    object_name,
)
from vmkeep.repository.lease import PruneLease
from vmkeep.repository.manifest import Manifest, list_manifests
from vmkeep.repository.pack import PACK_TARGET, RECORDS_OF
from vmkeep.repository.pack_writer import PackWriter
from vmkeep.repository.record_reader import RecordReader
from vmkeep.repository.sealed_objects import SealedObjects
from vmkeep.repository.sealing import Compressed
from vmkeep.repository.tree import chunk_count, root_level
from vmkeep.repository.workers import Meter, Task, run_all

_log = structlog.get_logger()
_UNNAMED_GRACE: Final = timedelta(hours=1)
"""A running ingest names its packs well within this time."""
_THIN: Final = 0.5
"""A pack is written anew when less than this share of its records is live."""
_MANY_SMALL: Final = 64
_SMALL_INDEX_PACKS: Final = 256


@dataclass(frozen=True, slots=True)
class PruneReport:
    """What one prune did. Bytes are of objects in the store."""

    condemned_packs: int
    condemned_bytes: int
    """What a prune after the grace period will free."""
    repacked_bytes: int
    """Size of the packs written for records taken out of thin ones."""
    deleted_packs: int
    deleted_bytes: int
    pardoned_packs: int
    """Condemned packs whose time had come, and which a manifest needs again."""


@dataclass(frozen=True, slots=True, eq=False)
class _Survey:
    """What the repository held when we looked."""

    listed: dict[bytes, int]
    """Size of every pack in the store, by id."""
    index: Index
    condemned: list[Condemned]
    live: Mask
    """Which index entries a manifest needs, by position."""

    def weigh(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the bytes of live records, and of all records, in each pack, by number."""
        count, base = len(self.index.packs), 0
        live, total = np.zeros(count), np.zeros(count)
        for segment in self.index.segments():
            needed = self.live[base : base + len(segment)]
            live += np.bincount(segment.pack, segment.length * needed, count)
            total += np.bincount(segment.pack, segment.length, count)
            base += len(segment)
        return live, total

    def needed_packs(self) -> Iterator[PackInfo]:
        """Yield the packs with a live record."""
        live, _ = self.weigh()
        return (self.index.packs[number] for number in np.flatnonzero(live))

    def live_in(self, packs: Mask) -> Iterator[Entries]:
        """Yield the live entries that lie in the masked packs."""
        base = 0
        for segment in self.index.segments():
            yield segment.take(packs[segment.pack] & self.live[base : base + len(segment)])
            base += len(segment)


class Prune:
    """One run: make it, call `run` once."""

    def __init__(
        self, objects: SealedObjects, config: Config, clock: Clock, grace: timedelta, meter: Meter
    ) -> None:
        self._objects = objects
        self._chunk_size = config.chunk_size
        self._clock = clock
        self._grace = grace
        self._meter = meter
        self._lease = PruneLease(objects, clock)

    def run(self) -> PruneReport:
        """Condemn what is garbage now; delete what was condemned long enough ago and still is."""
        with self._lease:
            condemned = self._condemn()
            deleted = self._delete()
        report = PruneReport(*condemned, *deleted)
        _log.info("repository.pruned", condemned=report.condemned_packs, deleted=report.deleted_packs)
        return report

    def _condemn(self) -> tuple[int, int, int]:
        """Condemn garbage; return packs and bytes condemned, and bytes written anew."""
        survey = self._survey(avoid=None)
        already = {pack for mark in survey.condemned for pack in mark.packs}
        named = survey.index.named_packs()
        thin = [pack for pack in _thin_packs(survey) if pack not in already]
        repacked = self._repack(survey, survey.index.mask(thin), survey.index.mask([*already, *thin]))
        unnamed = survey.listed.keys() - named - already
        now = self._clock.now()
        self._put_condemned(thin, now + self._grace)
        self._put_condemned(sorted(unnamed), now + max(self._grace, _UNNAMED_GRACE))
        condemned = [*thin, *unnamed]
        return len(condemned), sum(survey.listed.get(pack, 0) for pack in condemned), repacked

    def _put_condemned(self, packs: Sequence[bytes], delete_after: datetime) -> None:
        if packs:
            put_condemned(self._objects, packs, delete_after)

    def _repack(self, survey: _Survey, thin: Mask, avoid: Mask) -> int:
        """Write the live records of thin packs anew; return the bytes written."""
        writer = PackWriter(self._objects, survey.index, avoid, self._clock)
        records = RecordReader(self._objects, survey.index, self._chunk_size)
        live = concatenate([no_entries(), *survey.live_in(thin)])
        kinds = np.array([RECORDS_OF[pack.kind] for pack in survey.index.packs], np.uint8)
        try:
            for kind in (RecordKind.CHUNK, RecordKind.NODE):
                ids = split_ids(live.take(kinds[live.pack] == kind).ids.tobytes())
                for row, content in records.read_many(kind, ids):
                    self._lease.keep()
                    if writer.claim([ids[row]])[0]:
                        writer.add(kind, ids[row], Compressed(content))
            writer.finish()
        except BaseException:
            writer.abandon()
            raise
        return writer.stored_bytes

    def _delete(self) -> tuple[int, int, int]:
        """Delete what is due; return packs and bytes deleted, and packs pardoned."""
        now = self._clock.now()
        due = [mark for mark in list_condemned(self._objects) if mark.delete_after <= now]
        if not due:
            return 0, 0, 0
        packs = {pack for mark in due for pack in mark.packs}
        survey = self._survey(avoid=packs)
        pardoned = {pack.pack_id for pack in survey.needed_packs()} & packs
        victims = packs - pardoned
        self._lease.renew()
        self._unname(survey.index, victims)
        run_all(self._deletions(victims & survey.listed.keys()), self._lease.keep)
        survey.index.refresh()
        self._unname(survey.index, victims)  # an ingest may have named one since
        for mark in due:
            self._objects.delete(ObjectKind.CONDEMNED, mark.id)
        sizes = [survey.listed[pack] for pack in victims if pack in survey.listed]
        return len(sizes), sum(sizes), len(pardoned)

    def _deletions(self, packs: Iterable[bytes]) -> Iterator[Task]:
        for pack_id in packs:
            name = object_name(ObjectKind.CHUNK_PACK, pack_id)
            yield partial(self._objects.store.delete, name)

    def _unname(self, index: Index, victims: Collection[bytes]) -> None:
        """Replace the index objects that name victims, and small ones when there are many, by new ones."""
        numbers = set(np.flatnonzero(index.mask(victims)))
        naming = [index_id for index_id, packs in index.named_by.items() if numbers.intersection(packs)]
        small = [index_id for index_id, packs in index.named_by.items() if len(packs) < _SMALL_INDEX_PACKS]
        if len(small) > _MANY_SMALL:
            naming = list({*naming, *small})
        merged = _MergedIndex(index)
        for index_id in naming:
            name = object_name(ObjectKind.INDEX, index_id)
            payload = self._objects.get(ObjectKind.INDEX, index_id, limit=MAX_INDEX_SIZE)
            merged.add(*decode_index(name, payload), victims)
        merged.flush()
        for index_id in naming:
            self._objects.delete(ObjectKind.INDEX, index_id)

    def _survey(self, avoid: Collection[bytes] | None) -> _Survey:
        """Look at everything; live records are counted in packs outside `avoid` (None: all condemned) if they can be."""
        infos = self._objects.store.list(FOLDERS[ObjectKind.CHUNK_PACK])
        listed = {pack_id: info.size for info in infos if (pack_id := id_in_name(info.name))}
        index = Index(self._objects)
        index.refresh()
        condemned = list_condemned(self._objects)
        if avoid is None:
            avoid = {pack for mark in condemned for pack in mark.packs}
        manifests = list_manifests(self._objects)
        index.refresh()  # a manifest listed just now may be newer than the index read before
        live = np.zeros(len(index), np.bool_)
        missing = 0
        for ids in self._references(index, manifests):
            found = index.find(ids_of(ids), index.mask(avoid))
            live[found.position[found.known]] = True
            missing += int(np.count_nonzero(~found.known))
        survey = _Survey(listed, index, condemned, live)
        missing += sum(self._is_missing(pack) for pack in survey.needed_packs() if pack.pack_id not in listed)
        if missing:
            raise RepositoryDamaged(self._objects.store.place, missing)
        return survey

    def _is_missing(self, pack: PackInfo) -> bool:
        """Whether a pack is not in the store; one that was not listed may have been written since."""
        try:
            self._objects.store.size(object_name(pack.kind, pack.pack_id))
        except ObjectMissing:
            return True
        return False

    def _references(self, index: Index, manifests: Sequence[Manifest]) -> Iterator[list[bytes]]:
        """Yield the ids of all nodes and chunks that manifests need; each node is read once."""
        records = RecordReader(self._objects, index, self._chunk_size, follows_index=False)
        seen: set[bytes] = set()

        def below(ids: list[bytes], level: int) -> Iterator[list[bytes]]:
            ids = [node_id for node_id in dict.fromkeys(ids) if node_id != ZERO_ID and node_id not in seen]
            seen.update(ids)
            yield ids
            for _, node in records.read_many(RecordKind.NODE, ids):
                children = split_ids(node)
                if level:
                    yield from below(children, level - 1)
                else:
                    yield [chunk_id for chunk_id in children if chunk_id != ZERO_ID]

        disks = [disk for manifest in manifests for disk in manifest.disks]
        self._meter.total_bytes += sum(disk.size_bytes for disk in disks)
        for disk in disks:
            yield from below([disk.root], root_level(chunk_count(disk.size_bytes, self._chunk_size)))
            self._lease.keep()
            self._meter.add(done=disk.size_bytes, read=0)
            self._meter.tick()


def _thin_packs(survey: _Survey) -> list[bytes]:
    """Return the packs that are better written anew: less than half live, or small ones when there are many."""
    live, total = survey.weigh()
    packs = survey.index.packs
    thin = live < _THIN * total
    for kind in RECORDS_OF:
        small = np.array([pack.kind is kind and pack.size < PACK_TARGET // 4 for pack in packs], np.bool_)
        if np.count_nonzero(small) > _MANY_SMALL:
            thin |= small
    return [packs[number].pack_id for number in np.flatnonzero(thin)]


class _MergedIndex:
    """Gathers entries of several index objects into few new ones."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self._packs: list[PackInfo] = []
        self._parts: list[Entries] = [no_entries()]

    def add(self, packs: Sequence[PackInfo], entries: Entries, without: Collection[bytes]) -> None:
        """Take over an index object's packs, but for some."""
        keep = np.array([pack.pack_id not in without for pack in packs], np.bool_)
        entries = entries.take(keep[entries.pack])
        if sum(map(len, self._parts)) + len(entries) > MAX_INDEX_ENTRIES:
            self.flush()
        numbers = (np.cumsum(keep) - 1 + len(self._packs)).astype(np.uint32)
        self._packs += [pack for pack, kept in zip(packs, keep, strict=True) if kept]
        self._parts.append(replace(entries, pack=numbers[entries.pack]))

    def flush(self) -> None:
        """Store what was gathered."""
        if self._packs:
            self._index.write(self._packs, concatenate(self._parts))
        self._packs, self._parts = [], [no_entries()]
