"""Remedies that vmkeep carries out itself, asked or by policy: in the guest through the fabric, on our own side here."""

from collections.abc import Callable
from functools import partial

import structlog

from vmkeep.base.errors import VmkeepError
from vmkeep.base.ids import guid_of
from vmkeep.catalog.errors import OperationInProgress
from vmkeep.diagnosis.cause import Mend
from vmkeep.diagnosis.verdict import Diagnosis
from vmkeep.model.job import Job
from vmkeep.model.protection import ProtectedItem
from vmkeep.workflows.doctor import diagnose, find_last_ended_backup
from vmkeep.workflows.errors import NothingToApply, RemedyNeedsConsent, name_locks
from vmkeep.workflows.journal import DIAGNOSIS_QUEUE, SCHEDULED_QUEUE, Arguments, Journal, Json
from vmkeep.workflows.pillars import Pillars
from vmkeep.workflows.preflight import check_key, gather
from vmkeep.workflows.restore_point_locks import locks_on_restore_points
from vmkeep.workflows.upkeep import EXPIRE

log = structlog.get_logger()

MEND, REMEDY_BACKUP = "mend", "remedy-backup"
REASON = "Remedy"
"""How the reason of a backup begins that proves a remedy: such a one is never mended in its turn."""
LOOKS = 36
"""How often at most a cause is looked at again before the backup that must prove the remedy."""


class Remedies:
    """Carries out remedies of proven causes. By policy only safe ones, once for each backup that ended badly."""

    def __init__(
        self,
        pillars: Pillars,
        journal: Journal,
        *,
        create_job: Callable[[ProtectedItem, str, str], Job],
        backup: Callable[[str, Arguments], None],
    ) -> None:
        self._pillars = pillars
        self._catalog = pillars.catalog
        self._journal = journal
        self._create_job = create_job
        self._backup = backup
        self._on_our_side = {
            Mend.REMOVE_LOCKS: self._remove_locks,
            Mend.CLEAN_COLLECTION: self._clean_collection,
            Mend.STOP_JOB: self._stop_job,
            Mend.GRANT_RIGHTS: self._grant_rights,
        }
        journal.register(MEND, self._mend_by_policy)
        journal.register(REMEDY_BACKUP, self._back_up)

    def apply(self, vm_uuid: str, *, consent: bool = False) -> Diagnosis:
        """Carry the proven cause's remedy out and return the diagnosis it was for; one that is not safe with `consent` only.

        Raises NothingToApply, RemedyNeedsConsent, GuestAgentSilent, GuestAgentRefused, VmNotFound.
        """
        found = diagnose(self._pillars, vm_uuid)
        mend = found.cause.mend if found.cause else None
        if mend is None:
            raise NothingToApply(vm=found.vm_name, verdict=found.verdict)
        item = self._catalog.find_item_for_vm(vm_uuid)
        if not mend.is_safe and not consent:
            raise RemedyNeedsConsent(found.vm_name, found.verdict, would=self._would(mend, item))
        did = mend.value
        if mend.in_guest:
            self._pillars.fabric.mend(vm_uuid, mend)
        elif item is not None:
            did = self._on_our_side[mend](item)
        job = find_last_ended_backup(self._pillars, item)
        if job is not None:
            applied = f"{did} at {self._pillars.clock.now():%Y-%m-%d %H:%M:%S} UTC"
            self._catalog.update_job(job.id, properties={"Remedy Applied": applied})
        log.info("doctor.remedy", vm=found.vm_name, did=did)
        return found

    def is_wanted(self, job: Job, found: Diagnosis) -> bool:
        """Return whether the policy of a badly ended backup wants its cause's remedy carried out, and it is a safe one."""
        mend = found.cause.mend if found.cause else None
        if mend is None or not mend.is_safe or job.reason.startswith(REASON):
            return False
        item = self._catalog.get_item(job.item_id)
        return bool(item.policy_name) and self._catalog.get_policy(item.vault_id, item.policy_name).mends

    def start(self, job_id: str) -> None:
        """Have the remedy of a badly ended backup carried out in the background."""
        self._journal.enqueue(f"{job_id}-mend", MEND, {"job": job_id}, queue=DIAGNOSIS_QUEUE)

    def note_outcome(self, job: Job) -> None:
        """Write into the record of a mended backup how the one ended that was to prove the remedy."""
        origin = job.reason.rpartition(" ")[2] if job.reason.startswith(REASON) else ""
        if origin:
            self._catalog.update_job(origin, properties={"Remedy Backup": f"{job.id} {job.status}"})

    def _mend_by_policy(self, _workflow_id: str, arguments: Arguments) -> None:
        job_id = arguments["job"]
        cause = self._journal.step("Apply", partial(self._apply_to_job, job_id))
        if not cause:
            return
        for turn in range(LOOKS):
            if self._journal.step(f"Look {turn}", partial(self._is_settled, job_id, cause)):
                break
        self._journal.enqueue(
            guid_of("remedy backup", job_id),
            REMEDY_BACKUP,
            {"job": job_id, "cause": cause},
            queue=SCHEDULED_QUEUE,
        )

    def _apply_to_job(self, job_id: str) -> Json:
        """Return the id of the cause whose remedy was carried out; None when none could be, which is noted."""
        try:
            found = self.apply(self._vm_of(job_id))
        except VmkeepError as error:
            log.warning("doctor.remedy.not_done", job=job_id, code=error.code, message=str(error))
            self._catalog.update_job(job_id, properties={"Remedy Failed": str(error)})
            return None
        return found.cause.id if found.cause else None

    def _is_settled(self, job_id: str, cause: str) -> Json:
        self._journal.pause(self._pillars.limits.remedy_look_s)
        try:
            return diagnose(self._pillars, self._vm_of(job_id)).is_settled(cause)
        except VmkeepError as error:
            log.warning("doctor.not_done", job=job_id, code=error.code, message=str(error))
            return False

    def _vm_of(self, job_id: str) -> str:
        return self._catalog.get_item(self._catalog.get_job(job_id).item_id).vm_uuid

    def _back_up(self, workflow_id: str, arguments: Arguments) -> None:
        """Do the backup that proves a remedy; when another one has begun meanwhile, that one does."""
        begun = self._journal.step("Begin", lambda: self._begin(workflow_id, **arguments))
        if begun:
            self._backup(workflow_id, begun)

    def _begin(self, job_id: str, job: str, cause: str) -> Json:
        if self._catalog.find_job(job_id) is None:
            item = self._catalog.get_item(self._catalog.get_job(job).item_id)
            if item.state.stopped:
                return None
            try:
                self._create_job(item, job_id, f"{REASON}: {cause} of job {job}")
            except OperationInProgress:
                return None
        return {"point": self._catalog.new_recovery_point_id(), "retain_until": None}

    def _would(self, mend: Mend, item: ProtectedItem | None) -> str:
        """Return what a remedy that needs consent is about to do."""
        if mend is Mend.REMOVE_LOCKS and item is not None:
            return f"remove {name_locks(locks_on_restore_points(self._pillars, item)) or 'the lock, which is gone by now'}"
        if mend is Mend.STOP_JOB and item is not None:
            return (
                f"stop job {', '.join(job.id for job in self._running_jobs(item)) or 'that has ended by now'}"
            )
        if mend is Mend.GRANT_RIGHTS:
            return "give the backup service the rights that it lacks on the key vault"
        return "thaw the guest's file systems, whoever froze them"

    def _remove_locks(self, item: ProtectedItem) -> str:
        locks = locks_on_restore_points(self._pillars, item)
        for lock in locks:
            self._catalog.delete_lock(lock.scope, lock.name)
        removed = name_locks(locks) or "nothing: no lock is left"
        return f"removed {removed}; {self._clean_collection(item)}"

    def _clean_collection(self, item: ProtectedItem) -> str:
        now = self._pillars.clock.now()
        arguments = {"item": item.id, "make_room": True}
        self._journal.enqueue(f"{now.isoformat()}-make-room-{item.id}", EXPIRE, arguments)
        return "clean-up of the oldest restore points started"

    def _stop_job(self, item: ProtectedItem) -> str:
        jobs = self._running_jobs(item)
        for job in jobs:
            self._catalog.request_cancel(job.id)
        return f"asked to stop: {', '.join(job.id for job in jobs) or 'nothing, the other job has ended'}"

    def _grant_rights(self, item: ProtectedItem) -> str:
        granted = []
        for reference, rights in gather(self._pillars, item).rights.items():
            if rights is not None and rights.missing:
                self._pillars.key_vaults.grant(reference)
                granted.append(f"{', '.join(rights.missing)} on key vault {reference.key_vault}")
        try:
            check_key(self._pillars, item)
        except VmkeepError as error:
            key = str(error.facts().get("key", ""))
            if not key:
                raise
            self._pillars.key_vaults.grant_key(key)
            granted.append(f"the use of key {key}")
        return f"granted {'; '.join(granted) or 'nothing: all rights are there'}"

    def _running_jobs(self, item: ProtectedItem) -> list[Job]:
        return [
            job
            for other in self._catalog.list_items_for_vm(item.vm_uuid)
            for job in self._catalog.list_jobs(item_id=other.id)
            if job.status.running
        ]
