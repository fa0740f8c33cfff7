"""From the changed ranges of disks to a manifest. docs/formats/repository.md, "Ingest".

Workers each take a run of chunks: read it, name its chunks, seal those that are new into packs. The worker that
completes a leaf stores it. The calling thread plans ahead of them, and reports progress.
"""

import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import Final

import numpy as np

from vmkeep.base.clock import Clock
from vmkeep.base.errors import VmkeepError
from vmkeep.base.units import MIB
from vmkeep.model.disk_io import DiskSource, ExtentKind
from vmkeep.repository.condemned import list_condemned
from vmkeep.repository.config import Config
from vmkeep.repository.errors import ManifestMissing, ParentMissesDisk, RepositoryChanged
from vmkeep.repository.index import Index
from vmkeep.repository.layout import FAN_OUT, ZERO_ID, ObjectKind, RecordKind, new_object_id
from vmkeep.repository.manifest import DiskManifest, Manifest, delete_manifest, encode_manifest, read_manifest
from vmkeep.repository.pack_writer import PackWriter
from vmkeep.repository.plan import Span, plan_runs, plan_spans
from vmkeep.repository.sealed_objects import SealedObjects
from vmkeep.repository.sealing import Compressed
from vmkeep.repository.tree import NodeReader, Tree, TreeUpdate, chunk_count
from vmkeep.repository.workers import Meter, Task, run_all

_RUN_BYTES: Final = 4 * MIB
_CLOCK_SKEW: Final = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What one ingest did. Bytes of chunks are before compression, `stored_bytes` after."""

    manifest_id: str
    read_bytes: int
    new_bytes: int
    known_bytes: int
    """Bytes read that the repository had already."""
    zero_bytes: int
    """Bytes read that turned out to be zeros."""
    stored_bytes: int
    """Bytes of packs put into the store."""


class _Leaf:
    """Changes to one leaf, gathered from several workers."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.changes: dict[int, bytes] = {}
        self.outstanding = 1  # the planner's own hold, until it has passed the leaf


class _DiskIngest:
    """One disk on its way into a tree."""

    def __init__(self, source: DiskSource, update: TreeUpdate, *, reread_last: bool) -> None:
        self.source = source
        self.update = update
        self.reread_last = reread_last
        self._lock = threading.Lock()

    def spans(self, chunk_size: int) -> Iterator[Span]:
        """Yield what to read and clear; clearing is left out where everything began as zeros."""
        spans = plan_spans(
            self.source.extents(), self.source.size_bytes, chunk_size, reread_last=self.reread_last
        )
        return (span for span in spans if span.kind is ExtentKind.DATA or self.source.incremental)

    def hold(self, leaf: _Leaf) -> None:
        """Keep a leaf open for one more change."""
        with self._lock:
            leaf.outstanding += 1

    def put(self, leaf: _Leaf, run: Span, ids: bytes) -> None:
        """Set a run's ids in its leaf and let go of it."""
        with self._lock:
            leaf.changes[run.first % FAN_OUT] = ids
        self.release(leaf)

    def release(self, leaf: _Leaf) -> None:
        """Let go of a leaf; whoever does so last stores it."""
        with self._lock:
            leaf.outstanding -= 1
            complete = leaf.outstanding == 0
        if complete:
            self.update.put_leaf(leaf.number, leaf.changes)


class Ingest:
    """One run: make it, call `run` once."""

    def __init__(
        self,
        *,
        objects: SealedObjects,
        index: Index,
        nodes: NodeReader,
        config: Config,
        clock: Clock,
        meter: Meter,
    ) -> None:
        self._objects = objects
        self._index = index
        self._nodes = nodes
        self._chunk_size = config.chunk_size
        self._clock = clock
        self._meter = meter
        self._lock = threading.Lock()
        self._chunks: Counter[str] = Counter()
        condemned = list_condemned(objects)
        index.refresh()
        avoid = index.mask(pack for mark in condemned for pack in mark.packs)
        self._writer = PackWriter(objects, index, avoid, clock)
        meter.stored_bytes = lambda: self._writer.stored_bytes

    def run(
        self, disks: Sequence[DiskSource], parent_id: str | None, attributes: Mapping[str, str]
    ) -> IngestReport:
        """Store the disks and their manifest; on any error only unreferenced objects remain."""
        parent = read_manifest(self._objects, parent_id) if parent_id else None
        manifest = Manifest(
            id=new_object_id().hex(),
            created=self._clock.now(),
            parent=parent_id,
            attributes=attributes,
            disks=tuple(DiskManifest(disk.name, disk.size_bytes, ZERO_ID) for disk in disks),
        )
        encode_manifest(manifest)  # refuses names that cannot be stored before anything is read
        try:
            roots = self._store_disks(disks, parent)
        except BaseException:
            self._writer.abandon()
            raise
        stored = tuple(replace(disk, root=root) for disk, root in zip(manifest.disks, roots, strict=True))
        self._commit(replace(manifest, disks=stored))
        return self._report(manifest.id)

    def _store_disks(self, disks: Sequence[DiskSource], parent: Manifest | None) -> list[bytes]:
        """Store what is new of all disks, durably; return the roots."""
        ingests = [self._begin(disk, parent) for disk in disks]
        self._meter.total_bytes = sum(
            self._size(ingest, span)
            for ingest in ingests
            for span in ingest.spans(self._chunk_size)
            if span.kind is ExtentKind.DATA
        )
        self._meter.tell()
        run_all((task for ingest in ingests for task in self._tasks(ingest)), self._meter.tick)
        roots = [ingest.update.finish() for ingest in ingests]
        self._writer.finish()
        self._meter.tell()
        return roots

    def _begin(self, source: DiskSource, parent: Manifest | None) -> _DiskIngest:
        count = chunk_count(source.size_bytes, self._chunk_size)
        before = parent.find_disk(source.name) if parent else None
        if not source.incremental:
            old, reread_last = Tree(self._nodes, ZERO_ID, count), False
        elif before is None:
            raise ParentMissesDisk(source.name, parent.id if parent else "(none)")
        else:
            old = Tree(self._nodes, before.root, chunk_count(before.size_bytes, self._chunk_size))
            reread_last = source.size_bytes < before.size_bytes  # what was cut off must read as zeros
        return _DiskIngest(source, TreeUpdate(old, count, self._put_node), reread_last=reread_last)

    def _tasks(self, ingest: _DiskIngest) -> Iterator[Task]:
        """Yield a task for each run to read; clear what is to be cleared."""
        leaf: _Leaf | None = None
        for run in plan_runs(ingest.spans(self._chunk_size), max(1, _RUN_BYTES // self._chunk_size)):
            number = run.first // FAN_OUT
            if leaf is None or leaf.number != number:
                if leaf:
                    ingest.release(leaf)
                leaf = _Leaf(number)
            ingest.hold(leaf)
            if run.kind is ExtentKind.DATA:
                yield partial(self._store_run, ingest, leaf, run)
            else:
                ingest.put(leaf, run, ZERO_ID * run.count)
        if leaf:
            ingest.release(leaf)

    def _store_run(self, ingest: _DiskIngest, leaf: _Leaf, run: Span) -> None:
        """Read a run, store its new chunks and put its ids into its leaf."""
        size = self._size(ingest, run)
        data = ingest.source.read(run.first * self._chunk_size, size)
        if len(data) != size:
            raise ValueError(f"disk '{ingest.source.name}' gave {len(data)} bytes where {size} were asked")
        chunks = self._split(data, run.count)
        sealer = self._objects.sealer
        ids = [sealer.chunk_id(chunk) if chunk else ZERO_ID for chunk in chunks]
        to_claim = [record_id for record_id in ids if record_id != ZERO_ID]
        mine = {i for i, is_mine in zip(to_claim, self._writer.claim(to_claim), strict=True) if is_mine}
        new = len(mine)
        for record_id, chunk in zip(ids, chunks, strict=True):
            if record_id in mine:
                mine.remove(record_id)
                self._writer.add(RecordKind.CHUNK, record_id, Compressed(chunk))
        with self._lock:
            self._chunks.update(new=new, known=len(to_claim) - new, zero=run.count - len(to_claim))
        ingest.put(leaf, run, b"".join(ids))
        self._meter.add(done=size, read=size)

    def _split(self, data: bytes, count: int) -> list[memoryview]:
        """Return a run's chunks, the last padded; an empty view for a zero chunk."""
        size = self._chunk_size
        if len(data) < count * size:
            data += bytes(count * size - len(data))
        peaks = np.frombuffer(data, np.uint64).reshape(count, -1).max(axis=1)
        view = memoryview(data)
        return [view[n * size : (n + 1) * size] if peak else view[:0] for n, peak in enumerate(peaks)]

    def _size(self, ingest: _DiskIngest, span: Span) -> int:
        """Return how many bytes of the disk a span covers."""
        return min(span.end * self._chunk_size, ingest.source.size_bytes) - span.first * self._chunk_size

    def _put_node(self, content: bytes) -> bytes:
        node_id = self._objects.sealer.node_id(content)
        if self._writer.claim([node_id])[0]:
            self._writer.add(RecordKind.NODE, node_id, Compressed(content))
        return node_id

    def _commit(self, manifest: Manifest) -> None:
        """Store the manifest, then look whether a prune took anything it relies on: see the format's "Ingest"."""
        try:
            self._objects.put(ObjectKind.MANIFEST, encode_manifest(manifest), bytes.fromhex(manifest.id))
            self._raise_if_changed(manifest.parent)
        except BaseException:
            with suppress(VmkeepError):
                delete_manifest(self._objects, manifest.id)
            raise

    def _raise_if_changed(self, parent_id: str | None) -> None:
        soon = self._clock.now() + _CLOCK_SKEW
        doomed = {p for mark in list_condemned(self._objects) if mark.delete_after < soon for p in mark.packs}
        self._index.refresh()
        if doomed & self._writer.relied_on:
            raise RepositoryChanged("a prune condemned packs that it relied on")
        if self._writer.relied_on - self._index.named_packs():
            raise RepositoryChanged("a prune deleted packs that it relied on")
        if parent_id:
            try:
                read_manifest(self._objects, parent_id)
            except ManifestMissing as error:
                raise RepositoryChanged(f"its parent {parent_id} was deleted") from error

    def _report(self, manifest_id: str) -> IngestReport:
        chunks, size = self._chunks, self._chunk_size
        return IngestReport(
            manifest_id=manifest_id,
            read_bytes=self._meter.read_bytes,
            new_bytes=chunks["new"] * size,
            known_bytes=chunks["known"] * size,
            zero_bytes=chunks["zero"] * size,
            stored_bytes=self._writer.stored_bytes,
        )
