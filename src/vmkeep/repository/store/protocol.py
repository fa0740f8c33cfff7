"""What a repository asks of the place it is kept in."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

Bytes = bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """A listed object: its full name and its size in bytes."""

    name: str
    size: int


class ObjectStore(Protocol):
    """Named objects that are created once, whole or not at all, and never changed.

    Names are ASCII words joined by `/`. All methods may be called from several threads, and raise
    StoreUnreachable, StoreRefused or StoreFull when the place fails. What `put` and `delete` have returned
    from survives a crash and is seen by the next `list` of anybody.
    """

    @property
    def place(self) -> str:
        """Address for people, without secrets."""
        ...

    def put(self, name: str, data: Bytes) -> None:
        """Create the object; ObjectExists when it is there already. On any error it may or may not exist."""
        ...

    def get(self, name: str) -> bytes:
        """Return the whole object, or raise ObjectMissing."""
        ...

    def get_range(self, name: str, offset: int, length: int) -> bytes:
        """Return exactly `length` > 0 bytes at `offset`; ObjectMissing, or ObjectDamaged when it is shorter."""
        ...

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Yield the objects in the folder `prefix` and below, in any order; an empty prefix means all."""
        ...

    def size(self, name: str) -> int:
        """Return the object's size, or raise ObjectMissing."""
        ...

    def delete(self, name: str) -> None:
        """Make the object absent; it need not exist."""
        ...
