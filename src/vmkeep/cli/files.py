"""Files that a command reads or writes because its user named them."""

import os
from pathlib import Path

from vmkeep.base.errors import InvalidValue


def read_file(path: Path) -> bytes:
    """Return what is in a file; raises InvalidValue."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidValue(what="file", value=str(path), why=error.strerror or str(error)) from error


def read_text_file(path: Path) -> str:
    """Return the UTF-8 text in a file; raises InvalidValue."""
    try:
        return read_file(path).decode()
    except UnicodeDecodeError as error:
        raise InvalidValue(what="file", value=str(path), why="it is not UTF-8") from error


def write_new_file(path: Path, content: bytes) -> None:
    """Write a file that is not there yet, for its owner only; raises InvalidValue."""
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
    except OSError as error:
        raise InvalidValue(what="file", value=str(path), why=error.strerror or str(error)) from error
