"""New disks, written by a restore: sparse, and gone again when the restore fails."""

import errno
import json
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import structlog

from vmkeep.base.errors import InvalidValue
from vmkeep.fabric.chain import Image
from vmkeep.fabric.errors import DiskFileTaken, DiskIoFailed, TargetFull
from vmkeep.fabric.extents import image_spec
from vmkeep.fabric.layer_file import create_encrypted, encryption_options
from vmkeep.fabric.nbd import NbdImage
from vmkeep.model.disk_io import DiskTarget
from vmkeep.model.machine import DiskFormat

log = structlog.get_logger()

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class RawTarget:
    """A raw image; see `DiskTarget`."""

    def __init__(self, path: Path, size_bytes: int) -> None:
        self.size_bytes = size_bytes
        self._path = path
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with _telling(path, 0):
            os.ftruncate(self._descriptor, size_bytes)

    def write(self, offset: int, data: bytes | memoryview) -> None:
        """Write `data` at `offset`. Raises TargetFull, DiskIoFailed."""
        view = memoryview(data)
        with _telling(self._path, len(view)):
            while view:
                count = os.pwrite(self._descriptor, view, offset)
                view, offset = view[count:], offset + count

    def flush(self) -> None:
        """Return when everything is on stable storage. Raises TargetFull, DiskIoFailed."""
        with _telling(self._path, 0):
            os.fsync(self._descriptor)

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)


class QemuTarget:
    """A qcow2 or LUKS image, written through qemu-nbd; with a key, qcow2 is encrypted too. See `DiskTarget`."""

    def __init__(self, path: Path, size_bytes: int, image_format: DiskFormat, key: str | None) -> None:
        self.size_bytes = size_bytes
        self._path = path
        path.touch(mode=0o600, exist_ok=False)
        create = ["create", "-q", "-f", image_format]
        if key is not None:
            create += ["-o", encryption_options("encrypt." if image_format is DiskFormat.QCOW2 else "")]
        with _telling(path, 0):
            create_encrypted([*create, str(path), str(size_bytes)], path=str(path), key=key)
        image = Image(str(path), image_format, size_bytes, encrypted=key is not None)
        spec = json.dumps(image_spec([image], whole=True))
        self._image = NbdImage(["--cache=writeback", f"json:{spec}"], path=str(path), key=key)

    def write(self, offset: int, data: bytes | memoryview) -> None:
        """Write `data` at `offset`. Raises TargetFull, DiskIoFailed."""
        with _telling(self._path, len(data)):
            self._image.write(offset, data)

    def flush(self) -> None:
        """Return when everything is on stable storage. Raises TargetFull, DiskIoFailed."""
        with _telling(self._path, 0):
            self._image.flush()

    def close(self) -> None:
        """End the server, which writes the image's tables."""
        self._image.close()


def format_by_name(path: Path) -> DiskFormat:
    """Return the format of a disk we created, by its name: contents are the guest's word, never looked at."""
    return DiskFormat.QCOW2 if path.suffix == ".qcow2" else DiskFormat.RAW


@contextmanager
def new_disk(
    path: Path, *, size_bytes: int, image_format: DiskFormat, key: str | None = None
) -> Iterator[DiskTarget]:
    """Create a disk to be written within the block; when the block fails the file is removed.

    The file's name tells the format (see `format_by_name`). With a key the disk is encrypted with it, by LUKS.
    Raises InvalidValue, DiskFileTaken, TargetFull, DiskIoFailed, ImageUnreadable.
    """
    if format_by_name(path) is not image_format:
        raise InvalidValue(
            "the disk's file name", path.name, f"a name in .qcow2 means qcow2, {image_format} was asked"
        )
    if path.exists():
        raise DiskFileTaken(str(path))
    try:
        with closing(_new_target(path, size_bytes, image_format, key)) as target:
            yield target
            target.flush()
    except BaseException:
        path.unlink(missing_ok=True)
        log.info("fabric.target.removed", path=str(path))
        raise


def _new_target(
    path: Path, size_bytes: int, image_format: DiskFormat, key: str | None
) -> RawTarget | QemuTarget:
    if image_format is DiskFormat.RAW and key is None:
        return RawTarget(path, size_bytes)
    stored = DiskFormat.LUKS if image_format is DiskFormat.RAW else image_format
    return QemuTarget(path, size_bytes, stored, key)


@contextmanager
def _telling(path: Path, length: int) -> Iterator[None]:
    """Turn OSError into what the user can act on."""
    try:
        yield
    except OSError as error:
        if error.errno in _NO_ROOM:
            status = os.statvfs(path.parent)
            free = status.f_bavail * status.f_frsize
            raise TargetFull(str(path), needed_bytes=length, free_bytes=free) from error
        raise DiskIoFailed("write", str(path), str(error)) from error
