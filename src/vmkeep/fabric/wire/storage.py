"""Files that are there as a whole or not at all, whenever the power fails."""

import os
from pathlib import Path

from vmkeep.fabric.wire.errors import StateNotKept


def make_private_folder(folder: Path) -> None:
    """Make `folder` and its parents, readable by the owner only. Raises StateNotKept."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StateNotKept(path=str(folder), why=error.strerror or repr(error)) from error


def replace_file(path: Path, data: bytes) -> None:
    """Replace `path` (mode 0600) by `data`; on return it is on stable storage. Raises StateNotKept."""
    beside = path.with_name(path.name + ".new")
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise StateNotKept(path=str(path), why=error.strerror or repr(error)) from error


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
