"""From a manifest's disk to a target, in parallel."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from vmkeep.base.errors import InvalidValue
from vmkeep.model.disk_io import DiskTarget
from vmkeep.repository.disk_reader import DiskReader
from vmkeep.repository.layout import RecordKind
from vmkeep.repository.record_reader import RecordReader
from vmkeep.repository.workers import Meter, Task, run_all

_TASK_CHUNKS: Final = 64


@dataclass(frozen=True, slots=True)
class RestoreReport:
    """What one restore wrote, in bytes of the disk."""

    written_bytes: int


def restore_disk(
    disk: DiskReader, records: RecordReader, chunk_size: int, target: DiskTarget, meter: Meter
) -> RestoreReport:
    """Write every chunk of a disk that is not zero, and flush; on any error the target is not whole.

    Raises InvalidValue when the target is too small, and the errors of RecordReader.read.
    """
    if target.size_bytes < disk.size_bytes:
        raise InvalidValue("target size", str(target.size_bytes), f"the disk has {disk.size_bytes} bytes")

    def write(chunks: Sequence[tuple[int, bytes]]) -> None:
        for row, content in records.read_many(RecordKind.CHUNK, [chunk_id for _, chunk_id in chunks]):
            offset = chunks[row][0] * chunk_size
            data = memoryview(content)[: disk.size_bytes - offset]
            target.write(offset, data)
            meter.add(done=len(data), read=len(data))

    def tasks() -> Iterator[Task]:
        batch: list[tuple[int, bytes]] = []
        for chunk in disk.data_chunks():
            batch.append(chunk)
            if len(batch) == _TASK_CHUNKS:
                yield partial(write, batch)
                batch = []
        if batch:
            yield partial(write, batch)

    meter.total_bytes = sum(extent.length for extent in disk.extents())
    meter.tell()
    run_all(tasks(), meter.tick)
    target.flush()
    meter.tell()
    return RestoreReport(meter.total_bytes)
