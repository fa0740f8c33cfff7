"""Jobs: list, details, cancel."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from vmkeep.arm.errors import ResourceNotFound
from vmkeep.arm.filters import Filter
from vmkeep.arm.members import Json
from vmkeep.arm.names import VAULTS, job_id
from vmkeep.arm.operations import RETRY_AFTER_S, result_answer
from vmkeep.arm.paging import page
from vmkeep.arm.recoveryservices.job_answer import show_job, show_job_details
from vmkeep.arm.recoveryservices.scope import VAULT, FilterText, TheVault
from vmkeep.arm.service import Here, Service
from vmkeep.model.job import Job
from vmkeep.model.protection import Vault

router = APIRouter()
JOB = f"{VAULT}/backupJobs/{{job_name}}"


@router.get(f"{VAULT}/backupJobs")
def list_jobs(request: Request, here: Here, vault: TheVault, filter_text: FilterText = None) -> Json:
    """Return the jobs of a vault, newest first, as filtered."""
    asked = Filter(filter_text)
    jobs = here.catalog.list_jobs(
        vault_id=vault.id, since=asked.find_time("startTime"), until=asked.find_time("endTime")
    )
    wanted = [
        job
        for job in jobs
        if asked.accepts("status", job.status)
        and asked.accepts("operation", job.operation)
        and asked.accepts("backupManagementType", "AzureIaasVM")
        and asked.accepts("entityFriendlyName", job.item_name)
    ]
    return page(request, wanted, lambda job: show_job(here, vault, job))


@router.get(JOB)
def get_job(here: Here, vault: TheVault, job_name: str) -> Json:
    """Return a job with its tasks, errors and measures."""
    return show_job_details(here, vault, job_of_vault(here, vault, job_name))


@router.post(f"{JOB}/cancel")
def cancel(request: Request, here: Here, vault: TheVault, job_name: str) -> Response:
    """Ask a running job to stop."""
    job = job_of_vault(here, vault, job_name)
    here.engine.stop(job.id)
    version = request.query_params.get("api-version", "2026-10-01")
    base = f"{str(request.base_url).rstrip('/')}{job_id(here.vault_id(vault), job.id)}"
    location = f"{base}/operationResults/{job.id}?api-version={version}"
    return Response(status_code=202, headers={"Location": location, "Retry-After": str(RETRY_AFTER_S)})


@router.get(f"{JOB}/operationResults/{{operation_id}}")
def cancel_result(here: Here, vault: TheVault, job_name: str, operation_id: str) -> Response:  # noqa: ARG001 - same id
    """Return 202 until the job is over, then 204."""
    job = job_of_vault(here, vault, job_name)
    if job.status.running:
        return Response(status_code=202, headers={"Retry-After": str(RETRY_AFTER_S)})
    return result_answer(job)


def job_of_vault(here: Service, vault: Vault, job_name: str) -> Job:
    """Return a job of this vault; raises JobNotFound, or ResourceNotFound when it is another vault's."""
    job = here.catalog.get_job(job_name.lower())
    if job.vault_id != vault.id:
        raise ResourceNotFound(
            type=f"{VAULTS}/backupJobs", name=job_name, resource_group=vault.resource_group
        )
    return job
