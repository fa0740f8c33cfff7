"""The doctor: gathers evidence of one VM from everywhere, judges it, carries remedies out."""

from collections.abc import Iterator

import structlog

from vmkeep.base.errors import VmkeepError
from vmkeep.diagnosis.evidence import Evidence, HostFact, Seen
from vmkeep.diagnosis.tree import TREE
from vmkeep.diagnosis.verdict import Diagnosis, judge
from vmkeep.model.job import Job, JobOperation, JobStatus
from vmkeep.model.outlook import Outlook
from vmkeep.workflows.errors import NothingToApply
from vmkeep.workflows.outlook import look
from vmkeep.workflows.pillars import Pillars
from vmkeep.workflows.preflight import as_if_protected, gather

log = structlog.get_logger()


def diagnose(pillars: Pillars, vm_uuid: str) -> Diagnosis:
    """Return what is wrong with a VM's backups, proven or not; changes nothing. Raises VmNotFound."""
    outlook = look(pillars, vm_uuid)
    seen = Seen([*pillars.fabric.observe(vm_uuid), *_own_evidence(pillars, vm_uuid, outlook)])
    return judge(TREE, seen, vm_name=outlook.vm_name, at=pillars.clock.now())


def apply_remedy(pillars: Pillars, vm_uuid: str) -> Diagnosis:
    """Carry the proven cause's remedy out and return the diagnosis it was for. Raises NothingToApply."""
    found = diagnose(pillars, vm_uuid)
    if found.cause is None or found.cause.mend is None:
        raise NothingToApply(vm=found.vm_name, verdict=found.verdict)
    pillars.fabric.mend(vm_uuid, found.cause.mend)
    job = _find_last_backup(pillars, vm_uuid)
    if job is not None:
        applied = f"{found.cause.mend} at {pillars.clock.now():%Y-%m-%d %H:%M:%S} UTC"
        pillars.catalog.update_job(job.id, properties={"Remedy Applied": applied})
    return found


def diagnose_ended(pillars: Pillars, job: Job) -> None:
    """Note the verdict on a backup that ended badly or with warnings; whatever is in the way is logged only."""
    unwell = job.status in {JobStatus.FAILED, JobStatus.COMPLETED_WITH_WARNINGS}
    if job.operation is not JobOperation.BACKUP or not unwell:
        return
    try:
        found = diagnose(pillars, pillars.catalog.get_item(job.item_id).vm_uuid)
    except VmkeepError as error:
        log.warning("doctor.not_done", job=job.id, code=error.code, message=str(error))
        return
    log.info("doctor.verdict", job=job.id, vm=found.vm_name, verdict=found.verdict)
    pillars.catalog.update_job(job.id, properties=_noted(found))


def _own_evidence(pillars: Pillars, vm_uuid: str, outlook: Outlook) -> Iterator[Evidence]:
    """Yield what the preflight rules and the catalog say."""
    now = pillars.clock.now()
    codes = " ".join(sorted({line.code for line in outlook.failures if line.code}))
    yield Evidence(HostFact.OBSTACLES, codes or "none", now, "preflight")
    item = pillars.catalog.find_item_for_vm(vm_uuid)
    subject = item or as_if_protected(pillars.fabric.get_machine(vm_uuid), now)
    locks = gather(pillars, subject).locks
    yield Evidence(HostFact.LOCKS, str(len(locks)), now, "catalog")


def _find_last_backup(pillars: Pillars, vm_uuid: str) -> Job | None:
    item = pillars.catalog.find_item_for_vm(vm_uuid)
    if item is None:
        return None
    jobs = pillars.catalog.list_jobs(item_id=item.id, operation=JobOperation.BACKUP)
    return jobs[0] if jobs else None


def _noted(found: Diagnosis) -> dict[str, str]:
    used = {"Verdict": found.verdict}
    if found.cause is not None:
        used["Remedy"] = found.cause.remedy
        facts = found.cause.read(Seen(found.evidence)).facts
        own = [one for one in found.evidence if one.fact in facts]
        used["Evidence"] = "; ".join(
            f"{one.at:%H:%M:%S} UTC {one.vantage}: {one.fact} = {one.value} ({one.source})" for one in own
        )
    return used
