"""Bring a recovery point's disks back into a folder, from the tier that has them."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import structlog

from vmkeep.base.errors import Retry, VmkeepError
from vmkeep.model.disk_io import DiskTarget, OnProgress, TransferProgress
from vmkeep.model.machine import DiskFormat
from vmkeep.model.protection import ProtectedItem, RecoveryPoint, Tier
from vmkeep.workflows.copying import copy_disk
from vmkeep.workflows.errors import (
    DiskNotInRecoveryPoint,
    InstantRestorePointNotFound,
    RecoveryPointUnusable,
)
from vmkeep.workflows.pillars import Pillars
from vmkeep.workflows.ports import Repository
from vmkeep.workflows.preflight import check_key

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class DiskToRestore:
    """One disk: what it is, and what fills a target with it."""

    name: str
    size_bytes: int
    fill: Callable[[DiskTarget, OnProgress], None]


@dataclass(frozen=True, slots=True)
class OpenPoint:
    """A recovery point, open for reading from one of its tiers."""

    tier: Tier
    disks: Sequence[DiskToRestore]


@contextmanager
def open_point(
    pillars: Pillars, item: ProtectedItem, point: RecoveryPoint, tier: Tier | None
) -> Iterator[OpenPoint]:
    """Open a recovery point in the tier asked for; None: the host's own layers, or the vault when they are lost.

    Raises InstantRestorePointNotFound, RecoveryPointUnusable; and, whatever the tier, why the vault's key cannot be used.
    """
    check_key(pillars, item)
    with ExitStack() as held:
        disks = None if tier is Tier.VAULT else _on_host(pillars, point, held)
        if disks is not None:
            yield OpenPoint(Tier.INSTANT, disks)
        elif tier is Tier.INSTANT:
            raise InstantRestorePointNotFound(recovery_point=point.id)
        else:
            yield OpenPoint(Tier.VAULT, _in_vault(pillars, item, point))


def _on_host(pillars: Pillars, point: RecoveryPoint, held: ExitStack) -> Sequence[DiskToRestore] | None:
    """Return the disks of the instant tier, open until `held` ends; None when they are lost, but not the vault's."""
    restore_point = point.restore_point
    try:
        if not restore_point or not pillars.fabric.find_point(restore_point.vm_uuid, restore_point.id):
            return None
        disk_set = held.enter_context(pillars.fabric.sources(restore_point, since=None))
    except VmkeepError as error:
        if not point.manifest_id or error.retry is Retry.LATER:
            raise
        log.warning("restore.instant_tier.unusable", point=point.id, code=error.code, message=str(error))
        return None
    return [DiskToRestore(disk.name, disk.size_bytes, partial(copy_disk, disk)) for disk in disk_set.disks]


def _in_vault(pillars: Pillars, item: ProtectedItem, point: RecoveryPoint) -> Sequence[DiskToRestore]:
    if not point.manifest_id:
        raise RecoveryPointUnusable(recovery_point=point.id)
    repository = pillars.repositories.open(pillars.catalog.get_vault_by_id(item.vault_id))
    return [
        DiskToRestore(disk.name, disk.size_bytes, _from_vault(repository, point.manifest_id, disk.name))
        for disk in repository.manifest(point.manifest_id).disks
    ]


def _from_vault(
    repository: Repository, manifest_id: str, disk_name: str
) -> Callable[[DiskTarget, OnProgress], None]:
    def fill(target: DiskTarget, on_progress: OnProgress) -> None:
        repository.restore_disk(manifest_id, disk_name, target, on_progress=on_progress)

    return fill


def choose_disks(
    point: RecoveryPoint, disks: Sequence[DiskToRestore], names: Sequence[str] | None
) -> list[DiskToRestore]:
    """Return the disks of these names, all of them for None; raises DiskNotInRecoveryPoint."""
    by_name = {disk.name: disk for disk in disks}
    for name in names or ():
        if name not in by_name:
            raise DiskNotInRecoveryPoint(recovery_point=point.id, disk=name, disks=", ".join(by_name))
    return [by_name[name] for name in by_name if names is None or name in names]


def file_name(disk_name: str, disk_format: DiskFormat) -> str:
    """Return the name of a restored disk's file, such as `vda.qcow2`."""
    return f"{disk_name}.{disk_format.value}"


def write_disks(
    pillars: Pillars,
    disks: Sequence[DiskToRestore],
    folder: Path,
    disk_format: DiskFormat,
    on_progress: OnProgress,
) -> None:
    """Write the disks as new files of a folder; progress counts over all of them."""
    tally = _Tally(sum(disk.size_bytes for disk in disks), on_progress)
    for disk in disks:
        path = folder / file_name(disk.name, disk_format)
        with pillars.fabric.create_disk(path, size_bytes=disk.size_bytes, format=disk_format) as target:
            disk.fill(target, tally.note)
            target.flush()
        tally.disk_done(disk)


class _Tally:
    """Adds the progress of one disk after the other up to that of all."""

    def __init__(self, total_bytes: int, on_progress: OnProgress) -> None:
        self._total = total_bytes
        self._on_progress = on_progress
        self._done = 0
        self._read = 0
        self._read_of_disk = 0

    def note(self, progress: TransferProgress) -> None:
        self._read_of_disk = progress.read_bytes
        read = self._read + self._read_of_disk
        self._on_progress(TransferProgress(self._done + progress.done_bytes, self._total, read, 0))

    def disk_done(self, disk: DiskToRestore) -> None:
        self._done += disk.size_bytes
        self._read += self._read_of_disk
        self._read_of_disk = 0
        self._on_progress(TransferProgress(self._done, self._total, self._read, 0))
