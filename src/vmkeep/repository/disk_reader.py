"""Random access to one disk of a manifest."""

import threading
from collections import OrderedDict
from collections.abc import Iterator
from typing import Final

from vmkeep.base.units import MIB
from vmkeep.model.disk_io import Extent, ExtentKind
from vmkeep.repository.index_object import split_ids
from vmkeep.repository.layout import FAN_OUT, ID_SIZE, ZERO_ID, RecordKind
from vmkeep.repository.manifest import DiskManifest
from vmkeep.repository.record_reader import RecordReader
from vmkeep.repository.tree import NodeReader, Tree, chunk_count

_CACHE_BYTES: Final = 64 * MIB


class DiskReader:
    """A disk as it was: a DiskSource of its own, so that it can be ingested again elsewhere.

    Nothing is read before it is asked for; the chunks read last (64 MiB) are kept. Safe from several threads.
    """

    incremental = False

    def __init__(self, records: RecordReader, nodes: NodeReader, disk: DiskManifest, chunk_size: int) -> None:
        self.name = disk.name
        self.size_bytes = disk.size_bytes
        self._tree = Tree(nodes, disk.root, chunk_count(disk.size_bytes, chunk_size))
        self._records = records
        self._chunk_size = chunk_size
        self._cache: OrderedDict[bytes, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def extents(self) -> Iterator[Extent]:
        """Yield the ranges that may hold data, ascending, in whole chunks; the rest reads as zeros."""
        start = end = 0
        for chunk, _ in self.data_chunks():
            offset = chunk * self._chunk_size
            if offset != end:
                if end > start:
                    yield Extent(start, end - start, ExtentKind.DATA)
                start = offset
            end = offset + self._chunk_size
        if end > start:
            yield Extent(start, min(end, self.size_bytes) - start, ExtentKind.DATA)

    def data_chunks(self) -> Iterator[tuple[int, bytes]]:
        """Yield number and id of each chunk that is not zero, ascending."""
        for number, leaf in self._tree.leaves():
            for slot, chunk_id in enumerate(split_ids(leaf)):
                if chunk_id != ZERO_ID:
                    yield number * FAN_OUT + slot, chunk_id

    def read(self, offset: int, length: int) -> bytes:
        """Return exactly `length` bytes at `offset`; ValueError outside the disk; the errors of RecordReader.read."""
        if offset < 0 or length < 0 or offset + length > self.size_bytes:
            raise ValueError(f"{length} bytes at {offset} are outside a disk of {self.size_bytes} bytes")
        if length == 0:
            return b""
        size = self._chunk_size
        first, last = offset // size, (offset + length - 1) // size
        contents = self._contents([self._chunk_id(number) for number in range(first, last + 1)])
        start = offset - first * size
        return b"".join(contents)[start : start + length]

    def _chunk_id(self, number: int) -> bytes:
        start = number % FAN_OUT * ID_SIZE
        return self._tree.node(0, number // FAN_OUT)[start : start + ID_SIZE]

    def _contents(self, ids: list[bytes]) -> list[bytes]:
        """Return the content of chunks, from the cache where it is there."""
        contents = {ZERO_ID: bytes(self._chunk_size) if ZERO_ID in ids else b""}
        with self._lock:
            for chunk_id in ids:
                if chunk_id in self._cache:
                    self._cache.move_to_end(chunk_id)
                    contents[chunk_id] = self._cache[chunk_id]
        wanted = [chunk_id for chunk_id in dict.fromkeys(ids) if chunk_id not in contents]
        for row, content in self._records.read_many(RecordKind.CHUNK, wanted):
            contents[wanted[row]] = content
        with self._lock:
            self._cache.update((chunk_id, contents[chunk_id]) for chunk_id in wanted)
            while len(self._cache) * self._chunk_size > _CACHE_BYTES:
                self._cache.popitem(last=False)
        return [contents[chunk_id] for chunk_id in ids]
