"""Starts jobs, carries them through crashes, ends them."""

import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Protocol

import structlog

from vmkeep.base.clock import Clock
from vmkeep.base.errors import InvalidValue, VmkeepError
from vmkeep.base.ids import new_guid
from vmkeep.catalog import Catalog
from vmkeep.catalog.errors import OperationInProgress
from vmkeep.diagnosis.cause import Mend
from vmkeep.diagnosis.verdict import Diagnosis
from vmkeep.model.collection import CollectionPlace
from vmkeep.model.job import Job, JobOperation, JobStatus, JobTask, TaskName
from vmkeep.model.machine import DiskFormat
from vmkeep.model.outlook import Outlook
from vmkeep.model.protection import ProtectedItem, RecoveryPoint, Tier
from vmkeep.model.restore_point import Warned
from vmkeep.workflows import doctor
from vmkeep.workflows.agreement import HostReport, check_host, repair_host
from vmkeep.workflows.backup import Backup
from vmkeep.workflows.collection_deletion import DeleteRestorePoints, points_of_machine, refuse_only_copies
from vmkeep.workflows.deletion import DeleteItemData
from vmkeep.workflows.errors import (
    CancelNotSupported,
    JobInterrupted,
    NotActivelyProtected,
    RestorePointLimitReached,
)
from vmkeep.workflows.job_run import JobRun, StepFailed
from vmkeep.workflows.journal import Arguments, Journal, WorkflowState
from vmkeep.workflows.limits import Limits
from vmkeep.workflows.outlook import look
from vmkeep.workflows.pillars import Pillars
from vmkeep.workflows.ports import FabricPort, KeyVaultPort, RepositoryPort
from vmkeep.workflows.remedies import Remedies
from vmkeep.workflows.restore import RestoreDisks, RestoreVm
from vmkeep.workflows.scheduler import Scheduler
from vmkeep.workflows.upkeep import DISCARD, EXPIRE, PRUNE, Upkeep, discard_unreferenced

log = structlog.get_logger()

_VM_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]{0,127}")


class JobKind(Protocol):
    """A workflow that does jobs of one kind."""

    operation: JobOperation
    tasks: tuple[TaskName, ...]

    def conduct(self, run: JobRun, arguments: Arguments) -> None:
        """Do the job; raises StepFailed."""
        ...

    def undo(self, run: JobRun, arguments: Arguments, failure: StepFailed) -> None:
        """Take back what a failed or cancelled job must not leave; can be done twice."""
        ...

    def after(self, run: JobRun) -> None:
        """Follow up on the job, which has ended; can be done twice."""
        ...


class Engine:
    """The durable work of one process. Every `start_…` returns as soon as the job exists."""

    def __init__(
        self,
        catalog: Catalog,
        fabric: FabricPort,
        repositories: RepositoryPort,
        key_vaults: KeyVaultPort,
        clock: Clock,
        *,
        dbos_url: str,
        limits: Limits | None = None,
        restored_dir: Path,
        place: CollectionPlace,
        on_step: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`on_step` hears of each step being begun, done and journaled: crash tests stop there."""
        self._catalog = catalog
        self._clock = clock
        self._pillars = Pillars(
            catalog, fabric, repositories, key_vaults, clock, limits or Limits(), restored_dir, place
        )
        self._kinds: dict[str, JobKind] = {
            "backup": Backup(self._pillars),
            "restore-vm": RestoreVm(self._pillars),
            "restore-disks": RestoreDisks(self._pillars),
            "delete-item-data": DeleteItemData(self._pillars),
            "delete-restore-points": DeleteRestorePoints(self._pillars),
        }
        self._journal = Journal(
            dbos_url,
            upkeep_look_s=self._pillars.limits.upkeep_look_s,
            scheduled_at_once=self._pillars.limits.scheduled_at_once,
            on_step=on_step,
        )
        workflows = {name: self._workflow(kind) for name, kind in self._kinds.items()}
        for name, workflow in workflows.items():
            self._journal.register(name, workflow)
        Upkeep(self._pillars, self._journal)
        self._remedies = Remedies(
            self._pillars, self._journal, create_job=self._create_backup, backup=workflows["backup"]
        )
        self._doctor = doctor.Doctor(
            self._pillars, self._journal, is_mendable=self._remedies.is_wanted, mend=self._remedies.start
        )
        self.scheduler = Scheduler(
            self._pillars,
            self._journal,
            create_job=self._create_backup,
            backup=workflows["backup"],
            end_dead_jobs=self.end_dead_jobs,
        )

    def launch(self, *, schedules: bool = False) -> None:
        """Begin to work; jobs that the last process left are taken up, or ended when they cannot be.

        With `schedules`, backups start by themselves when their policies say so.
        """
        self._journal.launch()
        self.end_dead_jobs(claim_s=0)
        if schedules:
            self._journal.repeat(self._pillars.limits.schedule_look, self.scheduler.plan)

    def end_dead_jobs(self, *, claim_s: float | None = None) -> None:
        """End jobs that no workflow carries on and that were created `claim_s` ago or earlier, `Limits.claim_s` unless told.

        Can be called at any time, and from time to time: such a job stands in the way of its VM's other ones.
        """
        for job in self._catalog.list_jobs():
            if job.status.running:
                self._end_if_dead(job, self._pillars.limits.claim_s if claim_s is None else claim_s)

    def close(self) -> None:
        """Stop working. Running jobs are taken up at the next launch."""
        self._journal.close(self._pillars.limits.closing_s)

    @property
    def closing(self) -> bool:
        """Whether `close` has been called."""
        return self._journal.closing

    def start_backup(self, item: ProtectedItem, *, reason: str, retain_until: datetime | None = None) -> Job:
        """Start a backup; raises NotActivelyProtected, OperationInProgress."""
        if item.state.stopped:
            raise NotActivelyProtected(vm=item.vm_name, state=item.state)
        point_id = self._catalog.new_recovery_point_id()
        arguments = {"point": point_id, "retain_until": retain_until and retain_until.isoformat()}
        return self._start("backup", item, reason, arguments, {})

    def start_restore_vm(
        self,
        item: ProtectedItem,
        recovery_point: RecoveryPoint,
        *,
        new_name: str,
        network: str | None = None,
        tier: Tier | None = None,
        reason: str,
        folder: Path | None = None,
    ) -> Job:
        """Start making a new VM of a recovery point, its disks in a new folder.

        Raises OperationInProgress, InvalidValue.
        """
        if not _VM_NAME.fullmatch(new_name):
            raise InvalidValue(
                what="name of the VM", value=new_name, why="use letters, digits and . _ + -, at most 128"
            )
        target = (folder or self._pillars.restored_dir / new_name).absolute()
        arguments = {
            "point": recovery_point.id,
            "name": new_name,
            "network": network,
            "folder": str(target),
            "tier": tier,
        }
        properties = {
            "Recovery Point": recovery_point.id,
            "Restored VM": new_name,
            "Target Folder": str(target),
        }
        return self._start("restore-vm", item, reason, arguments, properties)

    def start_restore_disks(
        self,
        item: ProtectedItem,
        recovery_point: RecoveryPoint,
        *,
        folder: Path,
        disk_format: DiskFormat,
        disk_names: tuple[str, ...] | None = None,
        tier: Tier | None = None,
        reason: str,
    ) -> Job:
        """Start writing disks of a recovery point as files `<disk>.<format>` of a folder; raises OperationInProgress."""
        target = folder.absolute()
        arguments = {
            "point": recovery_point.id,
            "folder": str(target),
            "makes_folder": not target.exists(),
            "format": disk_format.value,
            "disks": disk_names and list(disk_names),
            "tier": tier,
        }
        properties = {"Recovery Point": recovery_point.id, "Target Folder": str(target)}
        return self._start("restore-disks", item, reason, arguments, properties)

    def start_delete_item_data(self, item: ProtectedItem, *, reason: str) -> Job:
        """Start deleting an item and all its recovery points; raises OperationInProgress."""
        return self._start("delete-item-data", item, reason, {}, {})

    def start_delete_restore_points(
        self, item: ProtectedItem, restore_points: tuple[str, ...], *, force: bool = False, reason: str
    ) -> Job:
        """Start deleting restore points of an item's VM by id; recovery points that are in a vault stay there.

        Raises OperationInProgress, and OnlyCopyInCollection unless forced.
        """
        points = [
            point
            for point in points_of_machine(self._catalog, item.vm_uuid)
            if point.restore_point is not None and point.restore_point.id in restore_points
        ]
        refuse_only_copies(item.vm_name, points, force=force)
        arguments = {"points": [[point.item_id, point.id] for point in points], "force": force}
        return self._start("delete-restore-points", item, reason, arguments, {})

    def stop(self, job_id: str) -> Job:
        """Ask a job to stop; raises JobNotFound, JobNotInProgress, CancelNotSupported."""
        job = self._catalog.get_job(job_id)
        if job.status.running and job.operation is JobOperation.DELETE_BACKUP_DATA:
            raise CancelNotSupported(job=job.id, operation=job.operation)
        return self._catalog.request_cancel(job_id)

    def check_host(self, *, repair: bool) -> HostReport:
        """Compare chains, journal and catalog; with `repair`, make them agree where that is safe."""
        return repair_host(self._pillars) if repair else check_host(self._pillars)

    def outlook(self, vm_uuid: str) -> Outlook:
        """Return what a backup of a VM would meet if it ran now; changes nothing. Raises VmNotFound."""
        return look(self._pillars, vm_uuid)

    def diagnose(self, vm_uuid: str) -> Diagnosis:
        """Return what is wrong with a VM's backups, proven or not; changes nothing. Raises VmNotFound."""
        return doctor.diagnose(self._pillars, vm_uuid)

    def apply_remedy(self, vm_uuid: str, *, consent: bool) -> Diagnosis:
        """Carry the proven cause's remedy out; return the diagnosis it was for.

        Raises NothingToApply, and RemedyNeedsConsent without `consent`.
        """
        return self._remedies.apply(vm_uuid, consent=consent)

    def set_verbose_logs(self, vm_uuid: str, *, verbose: bool) -> None:
        """Have a guest's agent say more in its log, or as much as it usually does; it is restarted.

        Raises VmNotFound, GuestAgentSilent, GuestAgentRefused.
        """
        self._pillars.fabric.mend(vm_uuid, Mend.VERBOSE_LOGS if verbose else Mend.NORMAL_LOGS)

    def find_state(self, workflow_id: str) -> WorkflowState | None:
        """Return where a workflow stands, such as a job's; None when there is none of that id."""
        return self._journal.find_state(workflow_id)

    def _start(
        self, name: str, item: ProtectedItem, reason: str, arguments: Arguments, properties: dict[str, str]
    ) -> Job:
        job = self._create_job(new_guid(), name, item, reason, properties)
        self._journal.start(job.id, name, arguments)
        return job

    def _create_backup(self, item: ProtectedItem, job_id: str, reason: str) -> Job:
        return self._create_job(job_id, "backup", item, reason, {})

    def _create_job(
        self, job_id: str, name: str, item: ProtectedItem, reason: str, properties: dict[str, str]
    ) -> Job:
        kind = self._kinds[name]
        job = Job(
            id=job_id,
            vault_id=item.vault_id,
            operation=kind.operation,
            status=JobStatus.IN_PROGRESS,
            reason=reason,
            started=self._clock.now(),
            item_id=item.id,
            item_name=item.vm_name,
            tasks=tuple(JobTask(task) for task in kind.tasks),
            properties=properties,
        )
        self._create(job)
        log.info("job.started", job=job.id, operation=job.operation, item=job.item_name, reason=reason)
        return job

    def _create(self, job: Job) -> None:
        """Create a job; one in its way that no workflow carries on is ended first. Raises OperationInProgress."""
        try:
            self._catalog.create_job(job)
        except OperationInProgress as refused:
            if not self._end_if_dead(self._catalog.get_job(refused.job), self._pillars.limits.claim_s):
                raise
            self._catalog.create_job(job)

    def _end_if_dead(self, job: Job, claim_s: float) -> bool:
        """End a job that nobody carries on; return whether it was one."""
        state = self._journal.find_state(job.id)
        age = self._clock.now() - job.started
        if (state and state.alive) or age.total_seconds() < claim_s:
            return False
        self._abandon(job, _why_dead(state))
        return True

    def _workflow(self, kind: JobKind) -> Callable[[str, Arguments], None]:
        def conduct(job_id: str, arguments: Arguments) -> None:
            run = JobRun(job_id, self._pillars, self._journal)
            failure, undone = None, True
            try:
                kind.conduct(run, arguments)
            except StepFailed as failed:
                failure = failed
            except Exception as error:  # noqa: BLE001 - whatever it is, it must end the job, not the service
                failure = run.failure("between steps", error)
            if failure:
                undone = run.undo(lambda: kind.undo(run, arguments, failure))
            job = run.end(failure)
            kind.after(run)
            self._follow_up(job, undone=undone)
            self._doctor.send_for(job)
            self._remedies.note_outcome(job)

        return conduct

    def _follow_up(self, job: Job, *, undone: bool) -> None:
        if not undone and job.operation is JobOperation.BACKUP:
            self._journal.enqueue(
                f"{job.id}-discard", DISCARD, {"capture": self._capture_of(job), "attempt": 1}
            )
        if job.operation is JobOperation.DELETE_BACKUP_DATA:
            self._journal.enqueue(f"{job.id}-prune", PRUNE, {"vault": job.vault_id, "attempt": 1})
        else:
            limited = job.error is not None and job.error.code == RestorePointLimitReached.code
            arguments = {"item": job.item_id, "make_room": limited}
            self._journal.enqueue(f"{job.id}-expire", EXPIRE, arguments)

    def _abandon(self, job: Job, why: str) -> None:
        """End a job that nobody will carry on, and undo its capture."""
        run = JobRun(job.id, self._pillars, self._journal)
        try:
            if job.operation is JobOperation.BACKUP:
                discard_unreferenced(self._pillars, **self._capture_of(job))
        except VmkeepError as error:
            run.warn(Warned(error.code, str(error)))
        run.end(run.failure("launch", JobInterrupted(why=why)))

    def _capture_of(self, job: Job) -> dict[str, str]:
        """Return a backup's capture, made or not, as arguments."""
        vm_uuid = self._catalog.get_item(job.item_id).vm_uuid
        return {"item_id": job.item_id, "vm_uuid": vm_uuid, "point_id": job.id}


def _why_dead(state: WorkflowState | None) -> str:
    return f"its workflow is {state.status}" if state else "it had not begun"
