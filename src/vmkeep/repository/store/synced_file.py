"""Writing a file to stable storage; a large one past the page cache.

What a repository stores is not read again soon, and the host's cache belongs to its VMs. It is also cheaper: the
kernel need not copy every byte, nor look for room first.
"""

import errno
import fcntl
import mmap
import os
import threading
from pathlib import Path
from typing import Final

from vmkeep.base.units import KIB, MIB
from vmkeep.repository.store.protocol import Bytes

_LARGE: Final = MIB
_PIECE: Final = 4 * MIB
_BLOCK: Final = 4 * KIB
"""Lengths, and addresses in memory and file, are multiples of it: enough for every common disk."""


class _Piece(threading.local):
    """Memory that direct writes start from; its address is that of a page."""

    def __init__(self) -> None:
        self.memory = mmap.mmap(-1, _PIECE)


_piece = _Piece()


def write_synced(path: Path, data: Bytes) -> None:
    """Make a new file and return when it is on stable storage; raises OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        rest = memoryview(data)
        if len(rest) >= _LARGE:
            rest = _write_direct(descriptor, rest)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_direct(descriptor: int, data: memoryview) -> memoryview:
    """Write whole blocks past the page cache; return the rest, which is all where the file system knows no such way."""
    flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETFL, flags | os.O_DIRECT)
        while len(data) >= _BLOCK:
            data = data[_write_piece(descriptor, data[:_PIECE]) :]
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
    finally:
        fcntl.fcntl(descriptor, fcntl.F_SETFL, flags)
    return data


def _write_piece(descriptor: int, data: memoryview) -> int:
    length = len(data) // _BLOCK * _BLOCK
    _piece.memory[:length] = data[:length]
    with memoryview(_piece.memory) as memory, memory[:length] as piece:
        return os.write(descriptor, piece)
