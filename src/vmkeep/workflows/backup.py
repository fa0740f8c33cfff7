"""Back up one VM: capture it, then carry what changed to the vault.

After Take Snapshot the recovery point exists, in the instant tier; when the transfer fails it stays, and the next
backup reads from the last point that is in the vault.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

import structlog

from vmkeep.base.errors import Retry, VmkeepError
from vmkeep.model.job import JobOperation, JobStatus, TaskName
from vmkeep.model.protection import ProtectedItem, ProtectionState, RecoveryPoint
from vmkeep.model.restore_point import RestorePoint
from vmkeep.workflows import preflight
from vmkeep.workflows.disk_keys import fetch_keys, open_keys
from vmkeep.workflows.job_run import JobRun, StepFailed
from vmkeep.workflows.journal import Arguments, Json
from vmkeep.workflows.pillars import Pillars
from vmkeep.workflows.ports import IngestReport, Repository
from vmkeep.workflows.restore_point_locks import locks_on_restore_points
from vmkeep.workflows.vm_identity import follow_vm

log = structlog.get_logger()

POINT_ATTRIBUTE = "recovery_point"
"""Attribute of a manifest: the recovery point it was made for."""


class Backup:
    """The workflow. Its restore point has the job's id, so a job never leaves two captures."""

    operation = JobOperation.BACKUP
    tasks: tuple[TaskName, ...] = (TaskName.TAKE_SNAPSHOT, TaskName.TRANSFER)

    def __init__(self, pillars: Pillars) -> None:
        self._pillars = pillars
        self._catalog = pillars.catalog
        self._fabric = pillars.fabric

    def conduct(self, run: JobRun, arguments: Arguments) -> None:
        """Do the job; raises StepFailed."""
        item_id = run.job.item_id
        run.step(TaskName.TAKE_SNAPSHOT, lambda: self._take_snapshot(run, item_id, arguments))
        item = self._catalog.get_item(item_id)
        run.step(TaskName.TRANSFER, lambda: self._transfer(run, item, arguments["point"]))

    def undo(self, run: JobRun, arguments: Arguments, failure: StepFailed) -> None:
        """Leave no capture without a recovery point, and of a cancelled backup nothing but what is locked."""
        item = self._catalog.get_item(run.job.item_id)
        point = self._catalog.find_recovery_point(item.id, arguments["point"])
        if point is not None and (failure.error or locks_on_restore_points(self._pillars, item)):
            return
        if point is not None:
            self._catalog.delete_recovery_point(item.id, point.id)
            self._delete_manifest(item, point)
        self._thaw(run, item)
        carried = point.disk_keys if point else ()
        keys = open_keys(self._pillars, item.vault_id, arguments["point"], carried)
        self._fabric.discard_capture(item.vm_uuid, run.id, keys=keys)

    def after(self, run: JobRun) -> None:
        """Note on the item how its backup went."""
        job = run.job
        points = self._catalog.list_recovery_points(job.item_id)
        went_well = job.status in {JobStatus.COMPLETED, JobStatus.COMPLETED_WITH_WARNINGS}
        self._catalog.update_item(
            job.item_id,
            last_backup=job.ended,
            last_backup_status="Completed" if went_well else job.status.value,
            last_recovery_point=points[0].time if points else None,
        )
        if points and self._catalog.get_item(job.item_id).state is ProtectionState.IR_PENDING:
            self._catalog.update_item(job.item_id, state=ProtectionState.PROTECTED)

    def _take_snapshot(self, run: JobRun, item_id: str, arguments: Arguments) -> Json:
        with run.task(TaskName.TAKE_SNAPSHOT) as cut_short:
            item = follow_vm(self._pillars, run, self._catalog.get_item(item_id))
            restore_point = self._find_cut_short(run, item) if cut_short else None
            if restore_point is not None and not restore_point.consistency.reaches(item.least_consistency):
                self._fabric.discard_capture(item.vm_uuid, run.id)
                restore_point = None
            if restore_point is None:
                preflight.check(self._pillars, item)
            fetched = fetch_keys(self._pillars, item, arguments["point"])
            if restore_point is None:
                restore_point = self._fabric.capture(
                    item.vm_uuid,
                    point_id=run.id,
                    on_phase=run.phase(TaskName.TAKE_SNAPSHOT),
                    cancelled=run.cancel_wanted,
                    selection=item.disk_selection,
                    keys=fetched.keys,
                    least=item.least_consistency,
                )
            run.stop_if_wanted()
            point = replace(_recovery_point(item, restore_point, arguments), disk_keys=fetched.carried)
            self._catalog.put_recovery_point(point)
            self._note_point(run, point, restore_point)
        return {"restore_point": restore_point.id}

    def _find_cut_short(self, run: JobRun, item: ProtectedItem) -> RestorePoint | None:
        """Return what a capture left that was cut short; its guest is thawed first."""
        self._thaw(run, item)
        found = self._fabric.find_point(item.vm_uuid, run.id)
        log.warning("backup.capture.cut_short", job=run.id, kept=found is not None)
        return found

    def _thaw(self, run: JobRun, item: ProtectedItem) -> None:
        """Thaw the guest if it can be reached: one that cannot has its own watchdog."""
        try:
            thawed = self._fabric.thaw(item.vm_uuid)
        except VmkeepError as error:
            log.info("backup.thaw.unreachable", job=run.id, code=error.code, message=str(error))
        else:
            log.info("backup.thawed", job=run.id, file_systems=thawed)

    def _note_point(self, run: JobRun, point: RecoveryPoint, restore_point: RestorePoint) -> None:
        for warned in restore_point.warnings:
            run.warn(warned)
        waited = self._pillars.clock.now() - run.job.started
        run.note(
            recovery_point=point.id,
            consistency=point.consistency,
            seconds_to_restore_point=round(waited.total_seconds(), 1),
        )
        if restore_point.frozen_s is not None:
            run.note(frozen_seconds=round(restore_point.frozen_s, 3))

    def _transfer(self, run: JobRun, item: ProtectedItem, point_id: str) -> Json:
        with run.task(TaskName.TRANSFER) as cut_short:
            run.phase(TaskName.TRANSFER)("waiting for other transfers")
            with self._pillars.transfers.taken(run.stop_if_wanted):
                run.phase(TaskName.TRANSFER)("reading what changed")
                point = self._catalog.get_recovery_point(item.id, point_id)
                repository = self._repository(item)
                manifest_id = _find_manifest(repository, point_id) if cut_short else None
                if manifest_id is None:
                    report = self._ingest(run, item, point, repository)
                    manifest_id = report.manifest_id
                    run.note(bytes_read=report.read_bytes, bytes_stored=report.stored_bytes)
                    point = replace(point, stored_bytes=report.stored_bytes)
                self._catalog.put_recovery_point(replace(point, manifest_id=manifest_id))
            run.stop_if_wanted()
        return {"manifest": manifest_id}

    def _ingest(
        self, run: JobRun, item: ProtectedItem, point: RecoveryPoint, repository: Repository
    ) -> IngestReport:
        base = self._find_base(item, point, repository)
        restore_point = _held(point)
        since = base.restore_point if base else None
        keys = open_keys(self._pillars, item.vault_id, point.id, point.disk_keys)
        with self._fabric.sources(restore_point, since=since, keys=keys) as disk_set:
            for warned in disk_set.healed:
                run.warn(warned)
            return repository.ingest(
                disk_set.disks,
                parent=base.manifest_id if base else None,
                attributes=_attributes(item, point),
                on_progress=run.progress(TaskName.TRANSFER),
            )

    def _find_base(
        self, item: ProtectedItem, point: RecoveryPoint, repository: Repository
    ) -> RecoveryPoint | None:
        """Return the newest older point that is both in the vault and on the host: only what changed since is read."""
        for older in self._catalog.list_recovery_points(item.id):
            is_older = int(older.id) < int(point.id)
            if is_older and older.restore_point and older.manifest_id and self._is_whole(older, repository):
                return older
        return None

    def _is_whole(self, point: RecoveryPoint, repository: Repository) -> bool:
        restore_point = _held(point)
        if self._fabric.find_point(restore_point.vm_uuid, restore_point.id) is None:
            return False
        try:
            repository.manifest(point.manifest_id)
        except VmkeepError as error:
            if error.retry is Retry.LATER:
                raise
            log.warning("backup.base.unusable", point=point.id, code=error.code, message=str(error))
            return False
        return True

    def _delete_manifest(self, item: ProtectedItem, point: RecoveryPoint) -> None:
        repository = self._repository(item)
        manifest_id = point.manifest_id or _find_manifest(repository, point.id)
        if manifest_id:
            repository.delete_manifest(manifest_id)

    def _repository(self, item: ProtectedItem) -> Repository:
        return self._pillars.repositories.open(self._catalog.get_vault_by_id(item.vault_id))


def _recovery_point(item: ProtectedItem, restore_point: RestorePoint, arguments: Arguments) -> RecoveryPoint:
    until = arguments["retain_until"]
    return RecoveryPoint(
        id=arguments["point"],
        item_id=item.id,
        time=restore_point.time,
        consistency=restore_point.consistency,
        restore_point=restore_point,
        retain_until=datetime.fromisoformat(until) if until else None,
        size_bytes=sum(disk.size_bytes for disk in restore_point.disks),
        machine_xml=restore_point.machine_xml,
        warnings=restore_point.warnings,
        disks=restore_point.all_disks,
    )


def _attributes(item: ProtectedItem, point: RecoveryPoint) -> Mapping[str, str]:
    """Return what lets a vault explain itself without its catalog."""
    return {
        POINT_ATTRIBUTE: point.id,
        "item": item.id,
        "vm_uuid": item.vm_uuid,
        "vm_name": item.vm_name,
        "time": point.time.isoformat(),
        "consistency": point.consistency.value,
        "machine_xml": point.machine_xml,
        "disk_keys": json.dumps([key.to_json() for key in point.disk_keys]),
    }


def _find_manifest(repository: Repository, point_id: str) -> str | None:
    """Return the manifest that an ingest which was cut short afterwards has made for a point."""
    manifests = repository.list_manifests()
    return next((one.id for one in manifests if one.attributes.get(POINT_ATTRIBUTE) == point_id), None)


def _held(point: RecoveryPoint) -> RestorePoint:
    assert point.restore_point is not None, f"recovery point {point.id} has lost its restore point"  # noqa: S101
    return point.restore_point
