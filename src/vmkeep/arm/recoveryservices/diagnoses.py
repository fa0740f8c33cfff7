"""What the doctor found out about a job that ended badly or with warnings. Ours alone: docs/formats/arm-extensions.md."""

from datetime import datetime

from fastapi import APIRouter, Request

from vmkeep.arm.errors import ResourceNotFound
from vmkeep.arm.members import Json
from vmkeep.arm.names import VAULTS, job_id
from vmkeep.arm.paging import page
from vmkeep.arm.recoveryservices.jobs import JOB, job_of_vault
from vmkeep.arm.recoveryservices.scope import TheVault
from vmkeep.arm.service import Here

router = APIRouter()
_TYPE = f"{VAULTS}/backupJobs/diagnoses"


@router.get(f"{JOB}/diagnoses")
def list_diagnoses(request: Request, here: Here, vault: TheVault, job_name: str) -> Json:
    """Return the diagnoses of a job, the newest first; none while nobody has looked, or nothing was wrong."""
    job = job_of_vault(here, vault, job_name)
    parent = job_id(here.vault_id(vault), job.id)
    return page(request, here.catalog.list_diagnoses(job.id), lambda one: _show(parent, *one))


@router.get(f"{JOB}/diagnoses/{{name}}")
def get_diagnosis(here: Here, vault: TheVault, job_name: str, name: str) -> Json:
    """Return one diagnosis."""
    job = job_of_vault(here, vault, job_name)
    for time, content in here.catalog.list_diagnoses(job.id):
        if _name(time) == name.upper():
            return _show(job_id(here.vault_id(vault), job.id), time, content)
    raise ResourceNotFound(type=_TYPE, name=name, resource_group=vault.resource_group)


def _name(time: datetime) -> str:
    return f"{time:%Y%m%dT%H%M%SZ}"


def _show(parent: str, time: datetime, content: Json) -> Json:
    name = _name(time)
    return {"id": f"{parent}/diagnoses/{name}", "name": name, "type": _TYPE, "properties": content}
