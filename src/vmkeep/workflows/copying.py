"""Copy a disk from its layers to a new file."""

from vmkeep.base.units import MIB
from vmkeep.model.disk_io import DiskSource, DiskTarget, ExtentKind, OnProgress, TransferProgress

_PIECE = 4 * MIB
_ZEROS = bytes(_PIECE)


def copy_disk(source: DiskSource, target: DiskTarget, on_progress: OnProgress) -> None:
    """Write all data of a whole source to an empty target; zeros stay holes. Ends with everything on stable storage."""
    read = 0
    for extent in source.extents():
        if extent.kind is ExtentKind.ZERO:
            continue
        for offset in range(extent.offset, extent.end, _PIECE):
            data = source.read(offset, min(_PIECE, extent.end - offset))
            read += len(data)
            if data != _ZEROS[: len(data)]:
                target.write(offset, data)
            on_progress(TransferProgress(offset + len(data), source.size_bytes, read, 0))
    target.flush()
    on_progress(TransferProgress(source.size_bytes, source.size_bytes, read, 0))
