"""Reading a repository and comparing it with what it claims.

Every node and every pack is read at most once, however many manifests share it.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np

from vmkeep.repository.condemned import list_condemned
from vmkeep.repository.config import Config, read_config
from vmkeep.repository.errors import ManifestMissing, ObjectDamaged, ObjectMissing, RecordMissing
from vmkeep.repository.index import Index, Location
from vmkeep.repository.index_object import Entries, PackInfo, ids_of, split_ids
from vmkeep.repository.layout import FOLDERS, ZERO_ID, ObjectKind, RecordKind, id_in_name, object_name
from vmkeep.repository.manifest import DiskManifest, read_manifest
from vmkeep.repository.pack import RECORDS_OF, read_table
from vmkeep.repository.record_reader import RecordReader
from vmkeep.repository.sealed_objects import SealedObjects
from vmkeep.repository.tree import chunk_count, root_level
from vmkeep.repository.workers import Meter, Task, run_all

_PACKS_AT_ONCE: Final = 256
_DAMAGE = (ObjectMissing, ObjectDamaged, RecordMissing)
_Damage = ObjectMissing | ObjectDamaged | RecordMissing


@dataclass(frozen=True, slots=True)
class Problem:
    """An object that is not what it should be. `name` is its name in the store."""

    name: str
    why: str


@dataclass(frozen=True, slots=True)
class HurtDisk:
    """A disk that cannot be read whole. `disk` is empty when the manifest itself cannot be read."""

    manifest_id: str
    disk: str


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What a check found. `read_bytes` is what was read of packs."""

    manifests: int
    packs: int
    read_bytes: int
    problems: tuple[Problem, ...]
    hurt: tuple[HurtDisk, ...]

    @property
    def sound(self) -> bool:
        """Whether everything is as claimed."""
        return not self.problems and not self.hurt


class Check:
    """One run: make it, call `run` once."""

    def __init__(self, objects: SealedObjects, config: Config, meter: Meter) -> None:
        self._objects = objects
        self._chunk_size = config.chunk_size
        self._meter = meter
        self._index = Index(objects)
        self._records = RecordReader(objects, self._index, config.chunk_size, follows_index=False)
        self._problems: dict[str, str] = {}
        self._bad_ids: set[bytes] = set()
        self._bad_packs: set[bytes] = set()
        self._sound_nodes: dict[bytes, bool] = {}

    def run(self, *, read_data: bool) -> CheckReport:
        """Look at every object, and with `read_data` at every byte; StoreUnreachable and the like end it early."""
        with self._noting():
            read_config(self._objects.store, self._objects.sealer)
        with self._noting():
            list_condemned(self._objects)
        manifest_ids = [object_id.hex() for object_id in self._objects.list_ids(ObjectKind.MANIFEST)]
        for index_id in list(self._objects.list_ids(ObjectKind.INDEX)):
            with self._noting():
                self._index.read(index_id)
        self._check_sizes()
        if read_data:
            self._read_packs()
        hurt = [disk for manifest_id in manifest_ids for disk in self._hurt_in(manifest_id)]
        return CheckReport(
            manifests=len(manifest_ids),
            packs=len(self._index.packs),
            read_bytes=self._meter.read_bytes,
            problems=tuple(Problem(name, why) for name, why in sorted(self._problems.items())),
            hurt=tuple(hurt),
        )

    @contextmanager
    def _noting(self) -> Iterator[None]:
        """Write damage down and go on."""
        try:
            yield
        except _DAMAGE as error:
            self._note(error)

    def _note(self, error: _Damage) -> None:
        match error:
            case ObjectDamaged(name=name, why=why):
                self._problems.setdefault(name, why)
            case ObjectMissing(name=name):
                self._problems.setdefault(name, "it is missing")
            case RecordMissing(kind=kind, record=record):
                self._problems.setdefault(f"{kind} {record}", "no index names it")

    def _check_sizes(self) -> None:
        """Compare the packs that the index names with those in the store."""
        infos = self._objects.store.list(FOLDERS[ObjectKind.CHUNK_PACK])
        sizes = {pack_id: info.size for info in infos if (pack_id := id_in_name(info.name))}
        for pack in self._index.packs:
            size = sizes.get(pack.pack_id)
            if size != pack.size:
                why = "it is missing" if size is None else f"it has {size} bytes instead of {pack.size}"
                self._problems.setdefault(object_name(pack.kind, pack.pack_id), why)
                self._bad_packs.add(pack.pack_id)

    def _read_packs(self) -> None:
        """Read every byte of every pack that is there."""
        self._meter.total_bytes = sum(pack.size for pack in self._index.packs)
        self._meter.tell()
        run_all(self._pack_tasks(), self._meter.tick)

    def _pack_tasks(self) -> Iterator[Task]:
        packs = self._index.packs
        for start in range(0, len(packs), _PACKS_AT_ONCE):
            group = range(start, min(start + _PACKS_AT_ONCE, len(packs)))
            mask = np.zeros(len(packs), np.bool_)
            mask[group] = True
            entries = self._index.entries_in(mask)
            for number in group:
                if packs[number].pack_id not in self._bad_packs:
                    yield partial(self._read_pack, packs[number], entries.take(entries.pack == number))

    def _read_pack(self, pack: PackInfo, entries: Entries) -> None:
        """Read a whole pack; note what is wrong with it and which records that hurts."""
        name = object_name(pack.kind, pack.pack_id)
        ids = split_ids(entries.ids.tobytes())
        places = list(zip(entries.offset.tolist(), entries.length.tolist(), strict=True))
        try:
            data = self._objects.store.get(name)
        except (
            ObjectMissing
        ) as error:  # a prune took it since it was listed; the trees will tell if it is needed
            self._note(error)
            self._bad_packs.add(pack.pack_id)
            return
        for record_id, (offset, length) in zip(ids, places, strict=True):
            record = memoryview(data)[offset : offset + length]
            try:
                location = Location(pack, offset, length)
                self._records.open_record(RECORDS_OF[pack.kind], record_id, location, record)
            except ObjectDamaged as error:
                self._note(error)
                self._bad_ids.add(record_id)
        with self._noting():
            table = read_table(self._objects.sealer, pack, data)
            claimed = {(i, *place) for i, place in zip(ids, places, strict=True)}
            if claimed != set(table):
                raise ObjectDamaged(name, "its table and the index disagree")
        self._meter.add(done=len(data), read=len(data))

    def _hurt_in(self, manifest_id: str) -> Iterator[HurtDisk]:
        """Yield the disks of a manifest that cannot be read whole."""
        try:
            manifest = read_manifest(self._objects, manifest_id)
        except ManifestMissing:  # deleted since it was listed
            return
        except ObjectDamaged as error:
            self._note(error)
            yield HurtDisk(manifest_id, "")
            return
        for disk in manifest.disks:
            self._meter.tick()
            if not self._is_whole(disk):
                yield HurtDisk(manifest_id, disk.name)

    def _is_whole(self, disk: DiskManifest) -> bool:
        level = root_level(chunk_count(disk.size_bytes, self._chunk_size))
        return self._are_sound([disk.root], level)

    def _are_sound(self, node_ids: Sequence[bytes], level: int) -> bool:
        """Whether everything under these nodes can be read; looks at all of it, to find every problem."""
        unknown = [i for i in dict.fromkeys(node_ids) if i != ZERO_ID and i not in self._sound_nodes]
        for node_id, node in self._read_nodes(unknown):
            children = [child for child in split_ids(node) if child != ZERO_ID]
            below = self._are_sound(children, level - 1) if level else self._are_there(children)
            self._sound_nodes[node_id] = below and node_id not in self._bad_ids
        return all(self._sound_nodes[i] for i in node_ids if i != ZERO_ID)

    def _read_nodes(self, ids: Sequence[bytes]) -> Iterator[tuple[bytes, bytes]]:
        """Yield the nodes that can be read, and remember the others as not sound."""
        try:
            nodes = dict(self._records.read_many(RecordKind.NODE, ids))
        except _DAMAGE:
            nodes = {}
            for row, node_id in enumerate(ids):
                with self._noting():
                    nodes[row] = self._records.read(RecordKind.NODE, node_id)
        for row, node_id in enumerate(ids):
            if row in nodes:
                yield node_id, nodes[row]
            else:
                self._sound_nodes[node_id] = False

    def _are_there(self, chunk_ids: Sequence[bytes]) -> bool:
        """Whether chunks are in packs that are well, as far as is known."""
        bad_packs = self._index.mask(self._bad_packs)
        found = self._index.find(ids_of(chunk_ids), bad_packs)
        for row in np.flatnonzero(~found.known).tolist():
            self._note(RecordMissing("chunk", chunk_ids[row].hex()))
        lost = ~found.known
        lost[found.known] = bad_packs[found.pack[found.known]]
        return not lost.any() and self._bad_ids.isdisjoint(chunk_ids)
