"""Letting go of restore points: their frozen layers are folded into their neighbours, newer points stay right.

The layer above a point's frozen file is folded down into that file, whichever point is let go and in any order:
the newer neighbour then reads from the lower file, and the journal says so. When the last point is gone the VM is
back on the file it had before its first backup.
"""

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from vmkeep.base.clock import Clock
from vmkeep.fabric.chain import Chain, Fold, above, format_of, is_layer, paths, read_chain
from vmkeep.fabric.errors import DiskVanished, RestorePointInUse, WorkCancelled
from vmkeep.fabric.fold import active_chain, fold, fold_files, leave_out
from vmkeep.fabric.host import Host
from vmkeep.fabric.layer_use import find_user, is_empty_layer, refuse_unnamed_layers, remove_layer
from vmkeep.fabric.points import PointJournal, PointRecord, PointState
from vmkeep.model.disk_key import NO_KEYS, DiskKeys
from vmkeep.model.machine import DiskFormat
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

    def drop(
        self,
        vm_uuid: str,
        point_id: str,
        *,
        on_bytes: OnBytes,
        cancelled: Callable[[], bool],
        keys: DiskKeys = NO_KEYS,
    ) -> None:
        """Let a restore point go, complete or not; nothing happens when there is none.

        Raises RestorePointInUse, DiskBusy, MergeIncomplete, WorkCancelled, ImageUnreadable, DiskVanished,
        DiskKeyMissing, DiskKeyWrong, LayerInUse, HypervisorUnreachable, HypervisorRefused.
        """
        record = self.journal.find(vm_uuid, point_id)
        if record is None:
            return
        self.readers.check_free(point_id)
        domain = self.host.find_domain(vm_uuid)
        if domain is not None:
            refuse_unnamed_layers(self.host, domain, [record], self.clock)
        self.journal.put(replace(record, state=PointState.DROPPING))
        self.take_layers_out(record, on_bytes=on_bytes, cancelled=cancelled, keys=keys)
        self.journal.delete(vm_uuid, point_id)
        log.info("fabric.point.dropped", vm=record.point.vm_name, point=point_id)

    def take_layers_out(
        self,
        record: PointRecord,
        *,
        on_bytes: OnBytes = lambda _done, _all: None,
        cancelled: Callable[[], bool] = lambda: False,
        keys: DiskKeys = NO_KEYS,
    ) -> None:
        """Fold the layers above a point's frozen files down, disk by disk; doing it again finishes it.

        `keys` open the layers of encrypted disks whose VM is off.
        """

        def tick(done: int, total: int) -> None:
            if cancelled():
                raise WorkCancelled("merging a restore point", record.point.vm_name)
            on_bytes(done, total)

        for disk in record.point.disks:
            work = Fold(disk.name, upper=disk.active_path, lower=disk.path)
            if self._merge_disk(record, work, tick, keys.get(disk.name)):
                self.journal.neighbours_merged(record, work, disk.format)
                if is_layer(work.upper):
                    remove_layer(work.upper, self.clock)

    def _merge_disk(self, record: PointRecord, work: Fold, tick: OnBytes, key: str | None) -> bool:
        """Return whether nothing needs `work.upper` any more."""
        domain = self.host.find_domain(record.point.vm_uuid)
        chain = active_chain(domain, work.disk) if domain is not None else ()
        if work.upper not in paths(chain) and Path(work.upper).exists():
            user = find_user(self.host, work.upper)
            if user is not None:  # the VM was redefined with another UUID, or its disk has another name
                domain, chain, work = user.domain, user.chain, replace(work, disk=user.disk)
        if domain is not None and above(paths(chain), work.lower) == work.upper:
            fold(self.host.connection(), domain, work, clock=self.clock, tick=tick, mib_s=self.mib_s, key=key)
            return True
        if work.upper in paths(chain):
            return _left_behind(record, work, "the VM's disk needs it, but not right above what was frozen")
        if domain is not None and work.lower in paths(chain):
            if not _is_unused(record, work):
                return False
            leave_out(self.host.connection(), domain, work, format_of(chain, work.lower))
            return True
        return self._merge_detached(record, work, tick, key)

    def _merge_detached(self, record: PointRecord, work: Fold, tick: OnBytes, key: str | None) -> bool:
        """Merge a chain that no VM uses: only as far as newer points need it.

        The newest layer of such a chain may hold the last state of a disk that somebody still wants: it stays,
        on files that it can still be read with, and `check` reports it.
        """
        newer = _newest_reader(self.journal.read(record.point.vm_uuid), record, work)
        chain = _detached_chain(newer) if newer else ()
        if above(paths(chain), work.lower) != work.upper:
            return _left_behind(record, work, "no VM and no newer restore point reads from it")
        fold_files(chain, work, tick=tick, key=key)
        return True


def _is_unused(record: PointRecord, work: Fold) -> bool:
    """Judge a layer that is in no VM's chain although the file below it is."""
    if record.state is PointState.COMPLETE:
        return _left_behind(record, work, "the VM was put back on the file below it")
    if record.state is PointState.INTENT and not is_empty_layer(work.upper):
        return _left_behind(record, work, "its capture was cut short, and yet it was written to")
    return True  # folded before an interruption, or made and never used


def _left_behind(record: PointRecord, work: Fold, why: str) -> bool:
    """Say that a layer's file is kept; returns False."""
    log.warning("fabric.layer.left_behind", vm=record.point.vm_name, layer=work.upper, why=why)
    return False


def _newest_reader(
    records: Mapping[str, PointRecord], dropped: PointRecord, work: Fold
) -> CapturedDisk | None:
    """Return the disk of the newest point that reads from `work.upper`."""
    disks = [record.disk(work.disk) for record in records.values() if record.point.id != dropped.point.id]
    return next((disk for disk in reversed(disks) if disk and work.upper in disk.chain), None)


def _detached_chain(newest: CapturedDisk) -> Chain:
    """Return the chain that a point, and the layer above it if it is there, are on; empty when files are missing."""
    with suppress(DiskVanished):
        if Path(newest.active_path).exists():
            return read_chain(newest.active_path, DiskFormat.QCOW2, disk=newest.name)
        return read_chain(newest.path, newest.format, disk=newest.name)
    return ()
