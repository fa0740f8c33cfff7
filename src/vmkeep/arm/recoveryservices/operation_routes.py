"""Where clients poll operations: under the vault, and under the item that the header names."""

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from vmkeep.arm.operations import finished_answer, result_answer, status_answer
from vmkeep.arm.recoveryservices.jobs import job_of_vault
from vmkeep.arm.recoveryservices.scope import ITEM, POINT, VAULT, TheVault
from vmkeep.arm.service import Here

router = APIRouter()


@router.get(f"{VAULT}/backupOperations/{{operation_id}}")
@router.get(f"{ITEM}/operationsStatus/{{operation_id}}")
@router.get(f"{POINT}/operationsStatus/{{operation_id}}")
def status(request: Request, here: Here, vault: TheVault, operation_id: str) -> JSONResponse:
    """Return how an operation stands."""
    ended = here.finished.find(operation_id)
    if ended is not None:
        return finished_answer(operation_id, ended, request.url.path)
    return status_answer(job_of_vault(here, vault, operation_id), request.url.path)


@router.get(f"{VAULT}/backupOperationResults/{{operation_id}}")
@router.get(f"{ITEM}/operationResults/{{operation_id}}")
@router.get(f"{POINT}/operationResults/{{operation_id}}")
def result(here: Here, vault: TheVault, operation_id: str) -> Response:
    """Return 202 while an operation runs, 204 when it is over."""
    if here.finished.find(operation_id) is not None:
        return Response(status_code=204)
    return result_answer(job_of_vault(here, vault, operation_id))
