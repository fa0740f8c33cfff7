"""A store in memory: for rehearsals and tests; passes the same contract as the real ones."""

import threading
from collections.abc import Iterator

from vmkeep.repository.errors import ObjectDamaged, ObjectExists, ObjectMissing
from vmkeep.repository.store.protocol import Bytes, ObjectInfo


class MemoryStore:
    """Objects in a dict. `objects` is open to tests that want to hurt them."""

    place = "memory"

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self._lock = threading.Lock()

    def put(self, name: str, data: Bytes) -> None:
        """Create the object."""
        with self._lock:
            if name in self.objects:
                raise ObjectExists(self.place, name)
            self.objects[name] = bytes(data)

    def get(self, name: str) -> bytes:
        """Return the whole object."""
        with self._lock:
            if name not in self.objects:
                raise ObjectMissing(self.place, name)
            return self.objects[name]

    def get_range(self, name: str, offset: int, length: int) -> bytes:
        """Return exactly `length` bytes at `offset`."""
        data = self.get(name)[offset : offset + length]
        if len(data) != length:
            raise ObjectDamaged(name, f"it ends before byte {offset + length}")
        return data

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Yield the objects in the folder `prefix` and below."""
        folder = f"{prefix}/" if prefix else ""
        with self._lock:
            found = [
                ObjectInfo(name, len(data)) for name, data in self.objects.items() if name.startswith(folder)
            ]
        yield from found

    def size(self, name: str) -> int:
        """Return the object's size."""
        return len(self.get(name))

    def delete(self, name: str) -> None:
        """Make the object absent."""
        with self._lock:
            self.objects.pop(name, None)
