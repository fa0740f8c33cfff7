"""Locks between processes, held on folders."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(folder: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold the lock on `folder`; `BlockingIOError` when another process has it and `wait` is off."""
    held = lock(folder, wait=wait)
    try:
        yield
    finally:
        os.close(held)


def lock(folder: Path, *, wait: bool = True) -> int:
    """Lock `folder` until the returned descriptor is closed."""
    held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(held)
        raise
    return held
