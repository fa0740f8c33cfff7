"""The doctor: gathers evidence of one VM from everywhere and judges it."""

import re
from collections.abc import Callable, Iterator
from datetime import datetime

import structlog

from vmkeep.base.errors import VmkeepError
from vmkeep.diagnosis.evidence import Evidence, HostFact, JobFact, Seen
from vmkeep.diagnosis.tree import TREE
from vmkeep.diagnosis.verdict import Diagnosis, judge
from vmkeep.model.job import Job, JobOperation, JobStatus
from vmkeep.model.outlook import Outlook
from vmkeep.model.protection import ProtectedItem
from vmkeep.workflows.errors import name_locks
from vmkeep.workflows.journal import DIAGNOSIS_QUEUE, Arguments, Journal, Json
from vmkeep.workflows.outlook import look
from vmkeep.workflows.pillars import Pillars
from vmkeep.workflows.preflight import as_if_protected, gather

log = structlog.get_logger()

DIAGNOSE = "diagnose"
_EXIT_CODE = re.compile(r"exit code: (-?[0-9]{1,5})")
"""In what the guest's agent says of a command that failed."""


class Doctor:
    """The workflow that looks, in the background, for why a backup ended badly or with warnings."""

    def __init__(
        self,
        pillars: Pillars,
        journal: Journal,
        *,
        is_mendable: Callable[[Job, Diagnosis], bool],
        mend: Callable[[str], None],
    ) -> None:
        """Give jobs whose diagnosis `is_mendable` to `mend`, by id."""
        self._pillars = pillars
        self._journal = journal
        self._is_mendable = is_mendable
        self._mend = mend
        journal.register(DIAGNOSE, self._diagnose)

    def send_for(self, job: Job) -> None:
        """Have a job's end explained, if there is something to explain."""
        unwell = job.status in {JobStatus.FAILED, JobStatus.COMPLETED_WITH_WARNINGS}
        if unwell and job.operation is JobOperation.BACKUP:
            self._journal.enqueue(f"{job.id}-diagnose", DIAGNOSE, {"job": job.id}, queue=DIAGNOSIS_QUEUE)

    def _diagnose(self, _workflow_id: str, arguments: Arguments) -> None:
        job_id = arguments["job"]
        if self._journal.step("Diagnose", lambda: self._note_verdict(job_id)):
            self._mend(job_id)

    def _note_verdict(self, job_id: str) -> Json:
        """Write the verdict into the job's record, return whether to mend it; what is in the way is logged only."""
        try:
            job = self._pillars.catalog.get_job(job_id)
            found = diagnose(self._pillars, self._pillars.catalog.get_item(job.item_id).vm_uuid)
            self._pillars.catalog.put_diagnosis(job_id, found.at, found.to_json())
            job = self._pillars.catalog.update_job(job_id, properties=_noted(found))
        except VmkeepError as error:
            log.warning("doctor.not_done", job=job_id, code=error.code, message=str(error))
        except Exception:  # a diagnosis must never harm what it looks at
            log.exception("doctor.broke", job=job_id)
        else:
            log.info("doctor.verdict", job=job_id, vm=found.vm_name, verdict=found.verdict)
            return self._is_mendable(job, found)
        return False


def diagnose(pillars: Pillars, vm_uuid: str) -> Diagnosis:
    """Return what is wrong with a VM's backups, proven or not; changes nothing. Raises VmNotFound."""
    outlook = look(pillars, vm_uuid)
    seen = Seen([*pillars.fabric.observe(vm_uuid), *_own_evidence(pillars, vm_uuid, outlook)])
    return judge(TREE, seen, vm_name=outlook.vm_name, at=pillars.clock.now())


def _own_evidence(pillars: Pillars, vm_uuid: str, outlook: Outlook) -> Iterator[Evidence]:
    """Yield what the preflight rules and the catalog say."""
    now = pillars.clock.now()
    codes = " ".join(sorted({line.code for line in outlook.failures if line.code}))
    yield Evidence(HostFact.OBSTACLES, codes or "none", now, "preflight")
    item = pillars.catalog.find_item_for_vm(vm_uuid)
    running = pillars.catalog.find_running_job(item.id) if item else None
    said = f"{running.operation} {running.id}" if running else "none"
    yield Evidence(HostFact.RUNNING_JOB, said, now, "catalog")
    yield from _record(find_last_ended_backup(pillars, item), now)
    subject = item or as_if_protected(pillars.fabric.get_machine(vm_uuid), now)
    locks = gather(pillars, subject).locks
    source = f"catalog: {name_locks(locks)}" if locks else "catalog"
    yield Evidence(HostFact.LOCKS, str(len(locks)), now, source)


def _record(last: Job | None, now: datetime) -> Iterator[Evidence]:
    if last is None:
        yield Evidence(JobFact.CODES, "none", now, "catalog: no backup yet")
        return
    errors = (*((last.error,) if last.error else ()), *last.warnings)
    at, source = last.ended or now, f"job {last.id}"
    yield Evidence(JobFact.CODES, " ".join(error.code for error in errors) or "none", at, source)
    found = (_EXIT_CODE.search(str(error.facts.get("said", ""))) for error in errors)
    yield Evidence(JobFact.EXIT_CODE, next((one.group(1) for one in found if one), "none"), at, source)
    locks = (str(error.facts["locks"]) for error in errors if error.facts.get("locks"))
    yield Evidence(JobFact.LIMIT_LOCKS, next(locks, "none"), at, source)


def find_last_ended_backup(pillars: Pillars, item: ProtectedItem | None) -> Job | None:
    """Return the newest backup of an item that has ended, if there is one."""
    if item is None:
        return None
    jobs = pillars.catalog.list_jobs(item_id=item.id, operation=JobOperation.BACKUP)
    return next((job for job in jobs if not job.status.running), None)


def _noted(found: Diagnosis) -> dict[str, str]:
    used = {"Verdict": found.verdict}
    if found.cause is not None:
        used["Remedy"] = found.cause.remedy
        if found.steps:
            used["Remedy Steps"] = "; ".join(found.steps)
        facts = found.cause.read(Seen(found.evidence)).facts
        own = [one for one in found.evidence if one.fact in facts]
        used["Evidence"] = "; ".join(
            f"{one.at:%H:%M:%S} UTC {one.vantage}: {one.fact} = {one.value} ({one.source})" for one in own
        )
    return used
