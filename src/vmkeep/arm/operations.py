"""Long-running operations: the handle clients poll.

The id of an operation is the id of its job. Azure's clients follow either the header or
`{vault}/backupOperations/{id}`; both answer the same. An operation asks "was this accepted and is it in force?":
backup and restore are that as soon as their job runs, and clients then follow the job; configuring, stopping
and deleting are that when their job is over.
"""

from collections import OrderedDict
from datetime import datetime
from threading import Lock

from fastapi import Request
from fastapi.responses import JSONResponse, Response

from vmkeep.arm.members import Json
from vmkeep.arm.wire_time import show_time
from vmkeep.model.job import Job, JobOperation, JobStatus

RETRY_AFTER_S = 1
_ACCEPTED_IS_DONE = {JobOperation.BACKUP, JobOperation.RESTORE}
_STATUS = {
    JobStatus.IN_PROGRESS: "InProgress",
    JobStatus.CANCELLING: "InProgress",
    JobStatus.COMPLETED: "Succeeded",
    JobStatus.COMPLETED_WITH_WARNINGS: "Succeeded",
    JobStatus.FAILED: "Failed",
    JobStatus.CANCELLED: "Canceled",
}
_REMEMBERED = 4096


class FinishedOperations:
    """Remembers operations that were over before their answer was sent and have no job, such as a refresh."""

    def __init__(self) -> None:
        self._times: OrderedDict[str, datetime] = OrderedDict()
        self._guard = Lock()

    def add(self, operation_id: str, ended: datetime) -> None:
        """Remember an operation; the oldest is forgotten when there are many."""
        with self._guard:
            self._times[operation_id] = ended
            while len(self._times) > _REMEMBERED:
                self._times.popitem(last=False)

    def find(self, operation_id: str) -> datetime | None:
        """Return when the operation ended, or None when it is not known."""
        with self._guard:
            return self._times.get(operation_id)


def accepted(request: Request, base: str, operation_id: str) -> Response:
    """Return 202 with the pair of URLs to poll under the resource `base`."""
    return accepted_at(
        request, f"{base}/operationsStatus/{operation_id}", f"{base}/operationResults/{operation_id}"
    )


def accepted_at(request: Request, status_path: str, result_path: str) -> Response:
    """Return 202 with the pair of URLs to poll; `result_path` may carry a query."""
    root = str(request.base_url).rstrip("/")
    version = "api-version=" + request.query_params.get("api-version", "2026-10-01")
    urls = {
        "Azure-AsyncOperation": f"{root}{status_path}?{version}",
        "Location": f"{root}{result_path}{'&' if '?' in result_path else '?'}{version}",
    }
    return Response(status_code=202, headers={**urls, "Retry-After": str(RETRY_AFTER_S)})


def status_answer(job: Job, operation_path: str) -> JSONResponse:
    """Return the operation of a job as it stands."""
    return JSONResponse(_show(job, operation_path), headers={"Retry-After": str(RETRY_AFTER_S)})


def result_answer(job: Job) -> Response:
    """Return 202 while the operation runs, 204 when it is over."""
    headers = {"Retry-After": str(RETRY_AFTER_S)}
    return Response(status_code=202 if _status(job) == "InProgress" else 204, headers=headers)


def finished_answer(operation_id: str, ended: datetime, operation_path: str) -> JSONResponse:
    """Return an operation without a job; it is over."""
    moment = show_time(ended)
    body = {"id": operation_path, "name": operation_id, "status": "Succeeded"}
    return JSONResponse({**body, "startTime": moment, "endTime": moment})


def _status(job: Job) -> str:
    return "Succeeded" if job.operation in _ACCEPTED_IS_DONE else _STATUS[job.status]


def _show(job: Job, operation_path: str) -> Json:
    shown: Json = {
        "id": operation_path,
        "name": job.id,
        "status": _status(job),
        "startTime": show_time(job.started),
        "properties": {"objectType": "OperationStatusJobExtendedInfo", "jobId": job.id},
    }
    if job.ended is not None:
        shown["endTime"] = show_time(job.ended)
    if _status(job) == "Failed" and job.error is not None:
        shown["error"] = {"code": job.error.code, "message": job.error.message}
    return shown
