"""Trying again when a store fails for a moment."""

from collections.abc import Callable, Iterator
from typing import TypeVar

import structlog

from vmkeep.base.clock import Clock
from vmkeep.repository.errors import ObjectExists, StoreUnreachable
from vmkeep.repository.store.protocol import Bytes, ObjectInfo, ObjectStore

_log = structlog.get_logger()
_DELAYS_S = (0.5, 1.0, 2.0, 4.0, 8.0)
_Result = TypeVar("_Result")


class RetryingStore:
    """The same store; StoreUnreachable is raised only after six tries within about 16 s of waiting."""

    def __init__(self, store: ObjectStore, clock: Clock) -> None:
        self.place = store.place
        self._store = store
        self._clock = clock

    def put(self, name: str, data: Bytes) -> None:
        """Create the object; an earlier try that succeeded unheard counts as this one's success."""
        tries = 0

        def put() -> None:
            nonlocal tries
            tries += 1
            try:
                self._store.put(name, data)
            except ObjectExists:
                if tries == 1 or self._store.get(name) != data:
                    raise

        self._persistently(put, "put", name)

    def get(self, name: str) -> bytes:
        """Return the whole object."""
        return self._persistently(lambda: self._store.get(name), "get", name)

    def get_range(self, name: str, offset: int, length: int) -> bytes:
        """Return exactly `length` bytes at `offset`."""
        return self._persistently(lambda: self._store.get_range(name, offset, length), "get_range", name)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Yield the objects in the folder `prefix` and below; the listing is complete before the first comes."""
        yield from self._persistently(lambda: list(self._store.list(prefix)), "list", prefix)

    def size(self, name: str) -> int:
        """Return the object's size."""
        return self._persistently(lambda: self._store.size(name), "size", name)

    def delete(self, name: str) -> None:
        """Make the object absent."""
        self._persistently(lambda: self._store.delete(name), "delete", name)

    def _persistently(self, operation: Callable[[], _Result], verb: str, name: str) -> _Result:
        for delay_s in _DELAYS_S:
            try:
                return operation()
            except StoreUnreachable as error:
                _log.warning("repository.store.retry", verb=verb, object=name, why=error.why, delay_s=delay_s)
                self._clock.sleep(delay_s)
        return operation()
