"""QEMU's own locks on image files tell who uses them, whatever libvirt believes."""

import fcntl
import os
import struct

from vmkeep.fabric.errors import LayerInUse

_FLOCK = struct.Struct("hhqqi")
"""struct flock of fcntl(2): type, whence, start, length, process id."""
_FIRST_BYTE, _BYTES = 100, 200
"""Where QEMU's file driver locks bytes for what it does and what it permits others (block/file-posix.c)."""


def refuse_in_use(path: str) -> None:
    """Raise LayerInUse when a QEMU has the file open for its own use; a file that is not there is in nobody's."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, _FIRST_BYTE, _BYTES, 0)
        kind, *_where = _FLOCK.unpack(fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, asked)[: _FLOCK.size])
    finally:
        os.close(descriptor)
    if kind != fcntl.F_UNLCK:
        raise LayerInUse(path)
