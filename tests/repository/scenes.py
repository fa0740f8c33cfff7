"""Disks in memory, and repositories to put them in."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from vmkeep.base.clock import Clock, FakeClock
from vmkeep.model.disk_io import Extent, ExtentKind
from vmkeep.repository import ObjectStore, Repository, RepositoryKey
from vmkeep.repository.store.memory import MemoryStore

KEY = RepositoryKey(bytes(range(32)))
CHUNK = 4096


@dataclass
class MemoryDisk:
    """A disk whose whole content is known; `changes` None means: read all of it."""

    content: bytes
    changes: Sequence[Extent] | None = None
    name: str = "vda"
    reads: list[tuple[int, int]] = field(default_factory=list)

    @property
    def size_bytes(self) -> int:
        return len(self.content)

    @property
    def incremental(self) -> bool:
        return self.changes is not None

    def extents(self) -> Iterator[Extent]:
        if self.changes is not None:
            yield from self.changes
        elif self.content:
            yield Extent(0, len(self.content), ExtentKind.DATA)

    def read(self, offset: int, length: int) -> bytes:
        assert offset >= 0
        assert offset + length <= len(self.content)
        self.reads.append((offset, length))
        return self.content[offset : offset + length]


class MemoryTarget:
    """A disk to restore to; remembers how much was written and that it was flushed."""

    def __init__(self, size_bytes: int) -> None:
        self.size_bytes = size_bytes
        self.content = bytearray(size_bytes)
        self.written = 0
        self.flushed = False

    def write(self, offset: int, data: bytes | memoryview) -> None:
        assert offset + len(data) <= self.size_bytes
        self.content[offset : offset + len(data)] = data
        self.written += len(data)

    def flush(self) -> None:
        self.flushed = True


def noise(seed: int, size: int) -> bytes:
    """Bytes that do not compress, the same for the same seed."""
    return KEY.derive(f"test noise {seed}", size)


def prose(seed: int, size: int) -> bytes:
    """Bytes that compress well, different for each seed."""
    line = f"line of text number {seed}\n".encode()
    return (line * (size // len(line) + 1))[:size]


def data(offset: int, length: int) -> Extent:
    return Extent(offset, length, ExtentKind.DATA)


def zeros(offset: int, length: int) -> Extent:
    return Extent(offset, length, ExtentKind.ZERO)


def new_repository(
    store: ObjectStore | None = None, clock: Clock | None = None, chunk_size: int = CHUNK
) -> Repository:
    return Repository.create(store or MemoryStore(), KEY, clock=clock or FakeClock(), chunk_size=chunk_size)


def open_repository(store: ObjectStore, clock: Clock | None = None) -> Repository:
    return Repository.open(store, KEY, clock=clock or FakeClock())


def restored(repository: Repository, manifest_id: str, name: str = "vda") -> bytes:
    size = repository.manifest(manifest_id).disk(name).size_bytes
    target = MemoryTarget(size)
    repository.restore_disk(manifest_id, name, target)
    assert target.flushed
    return bytes(target.content)
