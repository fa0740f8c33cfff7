"""The state folder: private to its owner, used by one process at a time."""

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vmkeep.server.errors import AlreadyRunning, StateDirUnusable

PRIVATE_DIR = 0o700
PRIVATE_FILE = 0o600


@contextmanager
def open_state_dir(path: Path) -> Iterator[Path]:
    """Make the folder if need be and hold it while the context lasts.

    Raises StateDirUnusable, AlreadyRunning. The hold ends with the process, however it ends.
    """
    try:
        path.mkdir(mode=PRIVATE_DIR, parents=True, exist_ok=True)
        _refuse_foreign(path)
        descriptor = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE_FILE)
    except OSError as error:
        raise StateDirUnusable(path=str(path), why=error.strerror or str(error)) from error
    try:
        _hold(descriptor, path)
        yield path
    finally:
        os.close(descriptor)


def write_private(path: Path, data: bytes) -> None:
    """Replace a file so that a crash leaves the old or the new one, readable by its owner only."""
    new = path.with_name(f"{path.name}.new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, PRIVATE_FILE)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def _refuse_foreign(path: Path) -> None:
    facts = path.stat()
    if facts.st_uid != os.geteuid():
        raise StateDirUnusable(path=str(path), why="it belongs to another user")
    if stat.S_IMODE(facts.st_mode) & 0o077:
        path.chmod(PRIVATE_DIR)


def _hold(descriptor: int, path: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise AlreadyRunning(path=str(path)) from error
