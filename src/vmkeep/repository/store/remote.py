"""A store in S3, through obstore."""

from collections.abc import Iterator
from contextlib import contextmanager

import obstore
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    NotSupportedError,
    PermissionDeniedError,
    UnauthenticatedError,
)
from obstore.store import S3Store

from vmkeep.repository.errors import (
    ObjectDamaged,
    ObjectExists,
    ObjectMissing,
    StoreRefused,
    StoreUnreachable,
)
from vmkeep.repository.store.protocol import Bytes, ObjectInfo

_REFUSALS = (PermissionDeniedError, UnauthenticatedError, NotSupportedError)


class RemoteStore:
    """Objects in a bucket. Creating only if absent needs a store that honours `If-None-Match: *`."""

    def __init__(self, store: S3Store, place: str) -> None:
        self.place = place
        self._store = store

    def put(self, name: str, data: Bytes) -> None:
        """Create the object in one request."""
        with self._translated(name):
            obstore.put(self._store, name, data, mode="create", use_multipart=False)

    def get(self, name: str) -> bytes:
        """Return the whole object."""
        with self._translated(name):
            return obstore.get(self._store, name).bytes().to_bytes()

    def get_range(self, name: str, offset: int, length: int) -> bytes:
        """Return exactly `length` bytes at `offset`."""
        try:
            with self._translated(name):
                data = obstore.get_range(self._store, name, start=offset, length=length).to_bytes()
        except StoreUnreachable:  # obstore's only answer also to a range that begins past the end
            if self.size(name) >= offset + length:
                raise
            data = b""
        if len(data) != length:
            raise ObjectDamaged(name, f"it ends before byte {offset + length}")
        return data

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Yield the objects in the folder `prefix` and below."""
        with self._translated(prefix):
            for batch in obstore.list(self._store, prefix=prefix or None):
                for found in batch:
                    yield ObjectInfo(found["path"], found["size"])

    def size(self, name: str) -> int:
        """Return the object's size."""
        with self._translated(name):
            return obstore.head(self._store, name)["size"]

    def delete(self, name: str) -> None:
        """Make the object absent."""
        with self._translated(name):
            try:
                obstore.delete(self._store, name)
            except FileNotFoundError:
                return

    @contextmanager
    def _translated(self, name: str) -> Iterator[None]:
        """Raise our errors for obstore's, whose kinds are few and whose first line is the sentence."""
        try:
            yield
        except AlreadyExistsError as error:
            raise ObjectExists(self.place, name) from error
        except FileNotFoundError as error:
            raise ObjectMissing(self.place, name) from error
        except _REFUSALS as error:
            raise StoreRefused(self.place, _sentence(error)) from error
        except BaseError as error:
            raise StoreUnreachable(self.place, _sentence(error)) from error


def _sentence(error: Exception) -> str:
    return str(error).partition("\n")[0]
