"""Stores that fail on purpose, to prove that nothing is lost when real ones do."""

import threading
from collections.abc import Callable, Iterator

from vmkeep.repository.errors import StoreUnreachable
from vmkeep.repository.store.protocol import Bytes, ObjectInfo, ObjectStore

INJECTED = "injected fault"


class FaultyStore:
    """The same store; `fault(verb, name)` is called before each operation and may raise."""

    def __init__(self, store: ObjectStore, fault: Callable[[str, str], None]) -> None:
        self.place = store.place
        self._store = store
        self._fault = fault

    def put(self, name: str, data: Bytes) -> None:
        """Create the object."""
        self._fault("put", name)
        self._store.put(name, data)

    def get(self, name: str) -> bytes:
        """Return the whole object."""
        self._fault("get", name)
        return self._store.get(name)

    def get_range(self, name: str, offset: int, length: int) -> bytes:
        """Return exactly `length` bytes at `offset`."""
        self._fault("get_range", name)
        return self._store.get_range(name, offset, length)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Yield the objects in the folder `prefix` and below."""
        self._fault("list", prefix)
        return self._store.list(prefix)

    def size(self, name: str) -> int:
        """Return the object's size."""
        self._fault("size", name)
        return self._store.size(name)

    def delete(self, name: str) -> None:
        """Make the object absent."""
        self._fault("delete", name)
        self._store.delete(name)


class CrashingStore:
    """The same store as a process sees it that dies at its `crash_at`-th change (0 is the first).

    The change at which it dies is lost, or took effect unheard when `took_effect`. After that every
    operation fails. Whoever opens the underlying store sees what a crash leaves.
    """

    def __init__(self, store: ObjectStore, crash_at: int, *, took_effect: bool) -> None:
        self.place = store.place
        self.crashed = False
        self._store = store
        self._changes_left = crash_at
        self._took_effect = took_effect
        self._lock = threading.Lock()

    def put(self, name: str, data: Bytes) -> None:
        """Create the object, or die."""
        self._change(lambda: self._store.put(name, data))

    def delete(self, name: str) -> None:
        """Make the object absent, or die."""
        self._change(lambda: self._store.delete(name))

    def get(self, name: str) -> bytes:
        """Return the whole object."""
        self._raise_if_crashed()
        return self._store.get(name)

    def get_range(self, name: str, offset: int, length: int) -> bytes:
        """Return exactly `length` bytes at `offset`."""
        self._raise_if_crashed()
        return self._store.get_range(name, offset, length)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Yield the objects in the folder `prefix` and below."""
        self._raise_if_crashed()
        return self._store.list(prefix)

    def size(self, name: str) -> int:
        """Return the object's size."""
        self._raise_if_crashed()
        return self._store.size(name)

    def _change(self, change: Callable[[], None]) -> None:
        with self._lock:
            self._raise_if_crashed()
            self.crashed = self._changes_left == 0
            self._changes_left -= 1
            if not self.crashed or self._took_effect:
                change()
            self._raise_if_crashed()

    def _raise_if_crashed(self) -> None:
        if self.crashed:
            raise StoreUnreachable(self.place, INJECTED)
