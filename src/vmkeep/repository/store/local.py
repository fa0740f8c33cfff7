"""A store in a local folder, durable on return.

obstore's own local store neither calls fsync nor tells a full disk from another fault, so this one is ours.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from vmkeep.base.ids import new_guid
from vmkeep.repository.errors import (
    ObjectDamaged,
    ObjectExists,
    ObjectMissing,
    StoreFull,
    StoreRefused,
    StoreUnreachable,
)
from vmkeep.repository.store.protocol import Bytes, ObjectInfo
from vmkeep.repository.store.synced_file import write_synced

_STAGING = ".staging"
_ABANDONED_AFTER_S = 24 * 3600
_FULL = {errno.ENOSPC, errno.EDQUOT}
_REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS, errno.EOPNOTSUPP}


class LocalStore:
    """Objects are files under `root`, which the first `put` makes if need be; its file system must know hard links.

    An object is written and synced under `.staging`, then linked to its name, which fails if the name is
    taken, and its folder is synced: it appears whole, once, and stays.
    """

    def __init__(self, root: Path) -> None:
        self.place = str(root)
        self._root = root
        self._staging = root / _STAGING
        self._settled = self._staging.is_dir()
        if self._settled:
            with self._translated(""):
                self._remove_abandoned()

    def put(self, name: str, data: Bytes) -> None:
        """Create the object; on return it is on stable storage."""
        path, staged = self._root / name, self._staging / new_guid()
        with self._translated(name):
            self._settle()
            try:
                write_synced(staged, data)
                self._make_folder(path.parent)
                os.link(staged, path)
            except FileExistsError as error:
                raise ObjectExists(self.place, name) from error
            finally:
                staged.unlink(missing_ok=True)
            _sync_folder(path.parent)

    def get(self, name: str) -> bytes:
        """Return the whole object."""
        with self._translated(name):
            return (self._root / name).read_bytes()

    def get_range(self, name: str, offset: int, length: int) -> bytes:
        """Return exactly `length` bytes at `offset`."""
        with self._translated(name), (self._root / name).open("rb", buffering=0) as file:
            data = os.pread(file.fileno(), length, offset)
        if len(data) != length:
            raise ObjectDamaged(name, f"it ends before byte {offset + length}")
        return data

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Yield the objects in the folder `prefix` and below."""
        with self._translated(prefix):
            self._raise_if_gone()
            for folder, folders, files in os.walk(self._root / prefix):
                if _STAGING in folders:
                    folders.remove(_STAGING)
                for file in files:
                    path = Path(folder, file)
                    with suppress(FileNotFoundError):  # deleted since the folder was read
                        yield ObjectInfo(str(path.relative_to(self._root)), path.stat().st_size)

    def size(self, name: str) -> int:
        """Return the object's size."""
        with self._translated(name):
            return (self._root / name).stat().st_size

    def delete(self, name: str) -> None:
        """Make the object absent; on return that is on stable storage."""
        path = self._root / name
        with self._translated(name):
            self._raise_if_gone()
            with suppress(FileNotFoundError):
                path.unlink()
                _sync_folder(path.parent)

    def _raise_if_gone(self) -> None:
        """Tell a place that was unmounted from an empty one."""
        if self._settled and not self._staging.is_dir():
            raise StoreUnreachable(self.place, "what was mounted there is gone")

    def _settle(self) -> None:
        self._raise_if_gone()
        if not self._settled:
            self._make_folder(self._staging)
            self._settled = True

    def _make_folder(self, folder: Path) -> None:
        """Make `folder`, and make the names of new folders durable in theirs."""
        missing = [parent for parent in (folder, *folder.parents) if not parent.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        for made in missing:
            _sync_folder(made.parent)

    def _remove_abandoned(self) -> None:
        """Remove what crashed writers staged long ago, by the file system's own clock."""
        mark = self._staging / new_guid()
        mark.touch()
        now = mark.stat().st_mtime
        mark.unlink()
        for staged in self._staging.iterdir():
            with suppress(FileNotFoundError):
                if now - staged.stat().st_mtime > _ABANDONED_AFTER_S:
                    staged.unlink()

    @contextmanager
    def _translated(self, name: str) -> Iterator[None]:
        """Raise our errors for the operating system's."""
        try:
            yield
        except FileNotFoundError as error:
            self._raise_if_gone()
            raise ObjectMissing(self.place, name) from error
        except OSError as error:
            why = error.strerror or str(error)
            if error.errno in _FULL:
                raise StoreFull(self.place) from error
            if error.errno in _REFUSED:
                raise StoreRefused(self.place, why) from error
            raise StoreUnreachable(self.place, why) from error


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
