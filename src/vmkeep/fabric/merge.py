"""Letting go of restore points: their frozen layers are folded into their neighbours, newer points stay right.

The layer above a point's frozen file is folded down into that file, whichever point is let go and in any order:
the newer neighbour then reads from the lower file, and the journal says so. When the last point is gone the VM is
back on the file it had before its first backup.
"""

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from vmkeep.base.clock import Clock
from vmkeep.fabric.chain import Chain, Fold, is_layer, paths, read_chain
from vmkeep.fabric.errors import RestorePointInUse, WorkCancelled
from vmkeep.fabric.fold import active_chain, fold, fold_files
from vmkeep.fabric.host import Domain, Host
from vmkeep.fabric.image_lock import refuse_in_use
from vmkeep.fabric.points import PointJournal, PointRecord, PointState
from vmkeep.model.restore_point import CapturedDisk

log = structlog.get_logger()

OnBytes = Callable[[int, int], None]
"""Hears bytes merged so far and bytes in all, of the disk being merged."""


class Readers:
    """Counts who reads which restore point, so that none is merged away meanwhile."""

    def __init__(self) -> None:
        self._counting = threading.Lock()
        self._readers: Counter[str] = Counter()

    @contextmanager
    def reading(self, point_id: str) -> Iterator[None]:
        """Keep a point from being merged within the block."""
        with self._counting:
            self._readers[point_id] += 1
        try:
            yield
        finally:
            with self._counting:
                self._readers[point_id] -= 1

    def check_free(self, point_id: str) -> None:
        """Raise RestorePointInUse when somebody reads the point."""
        with self._counting:
            if self._readers[point_id]:
                raise RestorePointInUse(point_id)


@dataclass(frozen=True, slots=True)
class Merger:
    """Takes layers out of chains. The caller sees to it that one thread at a time works on a VM."""

    host: Host
    journal: PointJournal
    readers: Readers
    clock: Clock
    mib_s: int = 0
    """Limit of the copying under a running VM, in MiB per second; 0: none."""

    def drop(self, vm_uuid: str, point_id: str, *, on_bytes: OnBytes, cancelled: Callable[[], bool]) -> None:
        """Let a restore point go, complete or not; nothing happens when there is none.

        Raises RestorePointInUse, DiskBusy, MergeIncomplete, WorkCancelled, ImageUnreadable, DiskVanished,
        HypervisorUnreachable, HypervisorRefused.
        """
        record = self.journal.find(vm_uuid, point_id)
        if record is None:
            return
        self.readers.check_free(point_id)
        self.journal.put(replace(record, state=PointState.DROPPING))
        self.take_layers_out(record, on_bytes=on_bytes, cancelled=cancelled)
        self.journal.delete(vm_uuid, point_id)
        log.info("fabric.point.dropped", vm=record.point.vm_name, point=point_id)

    def take_layers_out(
        self,
        record: PointRecord,
        *,
        on_bytes: OnBytes = lambda _done, _all: None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> None:
        """Fold the layers above a point's frozen files down, disk by disk; doing it again finishes it."""

        def tick(done: int, total: int) -> None:
            if cancelled():
                raise WorkCancelled("merging a restore point", record.point.vm_name)
            on_bytes(done, total)

        domain = self.host.find_domain(record.point.vm_uuid)
        for disk in record.point.disks:
            work = Fold(disk.name, upper=disk.active_path, lower=disk.path)
            chain = active_chain(domain, disk.name) if domain is not None else ()
            if self._merge_disk(domain, chain, record, work, tick):
                self.journal.neighbours_merged(record, work, disk.format)
                if is_layer(work.upper):
                    Path(work.upper).unlink(missing_ok=True)

    def _merge_disk(
        self, domain: Domain | None, chain: Chain, record: PointRecord, work: Fold, tick: OnBytes
    ) -> bool:
        """Return whether nothing needs `work.upper` any more."""
        in_chain = paths(chain)
        if domain is not None and {work.upper, work.lower} <= set(in_chain):
            fold(self.host.connection(), domain, work, clock=self.clock, tick=tick, mib_s=self.mib_s)
            return True
        if work.lower in in_chain and record.state is not PointState.COMPLETE:
            refuse_in_use(work.upper)  # libvirtd may have died between QEMU's switch and its own note of it
            return True  # folded before an interruption, or never made
        return self._merge_detached(chain, record, work, tick)

    def _merge_detached(self, chain: Chain, record: PointRecord, work: Fold, tick: OnBytes) -> bool:
        """Merge a chain that the VM no longer uses: only as far as newer points need it.

        The newest layer of such a chain may hold the last state of a disk that somebody still wants: it stays,
        and `check` reports it.
        """
        newer = _newest_reader(self.journal.read(record.point.vm_uuid), record, work)
        written = work.lower in paths(chain)  # the VM was put back on the lower file: a fork
        if newer is None or written or not all(Path(path).exists() for path in newer.chain):
            log.warning("fabric.layer.left_behind", vm=record.point.vm_name, layer=work.upper)
            return False
        fold_files(read_chain(newer.path, newer.format, disk=work.disk), work, tick=tick)
        return True


def _newest_reader(
    records: Mapping[str, PointRecord], dropped: PointRecord, work: Fold
) -> CapturedDisk | None:
    """Return the disk of the newest point that reads from `work.upper`."""
    disks = [record.disk(work.disk) for record in records.values() if record.point.id != dropped.point.id]
    return next((disk for disk in reversed(disks) if disk and work.upper in disk.chain), None)
