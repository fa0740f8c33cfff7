"""How disk bytes pass from the fabric to the repository and back.

The two pillars never import each other: both speak these protocols.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class ExtentKind(StrEnum):
    """What a range of a disk holds."""

    DATA = "data"
    ZERO = "zero"


@dataclass(frozen=True, slots=True)
class Extent:
    """A range of one disk: `offset` and `length` in bytes, and whether it reads as data or as zeros."""

    offset: int
    length: int
    kind: ExtentKind

    @property
    def end(self) -> int:
        """First byte after the range."""
        return self.offset + self.length


class DiskSource(Protocol):
    """One disk of a restore point, frozen: what to read and how.

    `extents()` yields ascending, non-overlapping ranges. When `incremental` is false the ranges not mentioned
    read as zeros; when it is true they are unchanged since the previous recovery point. `ZERO` ranges read as
    zeros now (they may have held data before). `read` may be called from several threads at once.
    """

    @property
    def name(self) -> str:
        """Stable name of the disk inside the VM, such as `vda`."""
        ...

    @property
    def size_bytes(self) -> int:
        """Virtual size."""
        ...

    @property
    def incremental(self) -> bool:
        """Whether the ranges not mentioned are unchanged, rather than zeros."""
        ...

    def extents(self) -> Iterator[Extent]:
        """Yield the ranges to look at, ascending; each call starts afresh."""
        ...

    def read(self, offset: int, length: int) -> bytes:
        """Return exactly `length` bytes at `offset`; ranges within the disk only."""
        ...


class DiskTarget(Protocol):
    """A new, empty disk that reads as zeros until written. `write` may be called from several threads at once."""

    @property
    def size_bytes(self) -> int:
        """Virtual size."""
        ...

    def write(self, offset: int, data: bytes | memoryview) -> None:
        """Write `data` at `offset`."""
        ...

    def flush(self) -> None:
        """Return when everything written is on stable storage."""
        ...


@dataclass(frozen=True, slots=True)
class TransferProgress:
    """How far a transfer is. `done_bytes` of `total_bytes` of the disks' ranges are dealt with."""

    done_bytes: int
    total_bytes: int
    read_bytes: int
    """Bytes read from the source so far."""
    stored_bytes: int
    """Bytes added to the object store so far, after compression."""


OnProgress = Callable[[TransferProgress], None]
"""Called a few times a second from a worker; must be quick. May raise to cancel: the transfer stops and cleans up."""
