"""The journal of restore points: what the fabric meant to do, so that a kill at any instant can be told from done work.

The format is docs/formats/restore-points.md. One file per VM, replaced as a whole and synced, so that all points of a VM change together. A point is written
down *before* its layers are made (intent), again when it is complete, and again before it is merged away (dropping).
Reality, the chain of files on disk, decides what an intent or a dropping became.
"""

import json
import os
import threading
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from vmkeep.fabric.chain import Fold, above
from vmkeep.fabric.errors import JournalUnreadable
from vmkeep.model.machine import DiskFormat
from vmkeep.model.restore_point import CapturedDisk, RestorePoint

VERSION = 1


class PointState(StrEnum):
    """How far a point's life has come."""

    INTENT = "intent"
    COMPLETE = "complete"
    DROPPING = "dropping"


@dataclass(frozen=True, slots=True)
class PointRecord:
    """A restore point as the journal holds it; its paths are kept true when neighbours are merged away."""

    point: RestorePoint
    state: PointState
    stamps: Mapping[str, str] = field(default_factory=dict)
    """File of a chain → what it looked like when it was last right; see `stamp`."""

    def disk(self, name: str) -> CapturedDisk | None:
        """Return the point's disk of that name, or None."""
        return next((disk for disk in self.point.disks if disk.name == name), None)

    def unstamped(self, files: Collection[str]) -> "PointRecord":
        """Return the record as if nothing were known about how these files looked."""
        return replace(self, stamps={path: seen for path, seen in self.stamps.items() if path not in files})

    def merged(self, fold: Fold, lower_format: DiskFormat) -> "PointRecord":
        """Return the record as it is after the fold."""
        disks = tuple(
            _merged(disk, fold, lower_format) if disk.name == fold.disk else disk for disk in self.point.disks
        )
        touched = {path for disk in self.point.disks for path in _touched(fold, disk.chain)}
        stamps = dict(self.unstamped({*touched, fold.upper}).stamps)
        stamps.update({path: stamp(path) for path in touched})
        return replace(self, point=replace(self.point, disks=disks), stamps=stamps)


def _touched(fold: Fold, chain: Sequence[str]) -> set[str]:
    """Return the files that a fold writes to and that a chain through its layer goes on reading the same from.

    Data goes to the lower one, its name to the next above.
    """
    if fold.upper not in chain:
        return set()
    return {path for path in (fold.lower, above(chain, fold.upper)) if path}


def _merged(disk: CapturedDisk, fold: Fold, lower_format: DiskFormat) -> CapturedDisk:
    frozen_moved = disk.path == fold.upper
    return replace(
        disk,
        path=fold.lower if frozen_moved else disk.path,
        format=lower_format if frozen_moved else disk.format,
        active_path=fold.lower if disk.active_path == fold.upper else disk.active_path,
        chain=tuple(path for path in disk.chain if path != fold.upper),
    )


def stamp(path: str) -> str:
    """Return what changes whenever somebody writes to a file; empty when there is no file."""
    try:
        status = Path(path).stat()
    except OSError:
        return ""
    return f"{status.st_ino}:{status.st_size}:{status.st_mtime_ns}"


def written_files(record: PointRecord, files: Iterable[str]) -> list[str]:
    """Return which of a point's frozen files are not what they were when it was captured.

    One that was away then has an empty stamp: nothing is known of it.
    """
    return [path for path in files if record.stamps.get(path) not in {None, "", stamp(path)}]


class PointJournal:
    """The records of all VMs, by VM and point, oldest first. May be used from any thread."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._writing = threading.Lock()
        directory.mkdir(parents=True, exist_ok=True)

    def list_vms(self) -> list[str]:
        """Return the UUIDs of all VMs with records."""
        return sorted(path.stem for path in self._directory.glob("*.json"))

    def read(self, vm_uuid: str) -> dict[str, PointRecord]:
        """Return a VM's records by point id, oldest first. Raises JournalUnreadable."""
        path = self._path(vm_uuid)
        try:
            kept = json.loads(path.read_text())
            if kept["version"] != VERSION:
                raise JournalUnreadable(str(path), f"it has version {kept['version']}")
            return {record["point"]["id"]: _from_json(record) for record in kept["points"]}
        except FileNotFoundError:
            return {}
        except (ValueError, KeyError, TypeError) as error:
            raise JournalUnreadable(str(path), repr(error)) from error

    def find(self, vm_uuid: str, point_id: str) -> PointRecord | None:
        """Return one record, or None."""
        return self.read(vm_uuid).get(point_id)

    def folding(self, vm_uuid: str) -> set[str]:
        """Return the files that a merge of this VM writes to, or wrote to until it was cut short."""
        records = self.read(vm_uuid).values()
        folds = [
            Fold(disk.name, upper=disk.active_path, lower=disk.path)
            for record in records
            if record.state is PointState.DROPPING
            for disk in record.point.disks
        ]
        chains = [disk.chain for record in records for disk in record.point.disks]
        return {path for fold in folds for chain in chains for path in _touched(fold, chain)}

    def put(self, record: PointRecord) -> None:
        """Add or replace a record; it is on stable storage when this returns."""
        with self._writing:
            records = self.read(record.point.vm_uuid)
            self._write(record.point.vm_uuid, {**records, record.point.id: record})

    def delete(self, vm_uuid: str, point_id: str) -> None:
        """Remove a record, if it is there."""
        with self._writing:
            records = self.read(vm_uuid)
            if records.pop(point_id, None) is not None:
                self._write(vm_uuid, records)

    def move(self, old_vm: str, new_vm: str) -> None:
        """Give all records of a VM to another UUID; doing it again changes nothing."""
        with self._writing:
            moved = {
                point_id: replace(record, point=replace(record.point, vm_uuid=new_vm))
                for point_id, record in self.read(old_vm).items()
            }
            self._write(new_vm, {**moved, **self.read(new_vm)})
            self._write(old_vm, {})

    def neighbours_merged(self, dropped: PointRecord, fold: Fold, lower_format: DiskFormat) -> None:
        """Keep the paths of a VM's other points true after a fold; doing it again changes nothing."""
        with self._writing:
            records = self.read(dropped.point.vm_uuid)
            for point_id in records.keys() - {dropped.point.id}:
                records[point_id] = records[point_id].merged(fold, lower_format)
            self._write(dropped.point.vm_uuid, records)

    def _path(self, vm_uuid: str) -> Path:
        return self._directory / f"{vm_uuid}.json"

    def _write(self, vm_uuid: str, records: Mapping[str, PointRecord]) -> None:
        path = self._path(vm_uuid)
        if not records:
            path.unlink(missing_ok=True)
            return
        fresh = path.with_suffix(".new")
        with fresh.open("w") as file:
            json.dump({"version": VERSION, "points": [_to_json(record) for record in records.values()]}, file)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
        directory = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def _to_json(record: PointRecord) -> dict[str, Any]:  # JSON values
    return {"point": record.point.to_json(), "state": record.state, "stamps": dict(record.stamps)}


def _from_json(data: dict[str, Any]) -> PointRecord:  # JSON values
    return PointRecord(RestorePoint.from_json(data["point"]), PointState(data["state"]), data["stamps"])
