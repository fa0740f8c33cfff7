"""A job as ARM shows it: short in lists, with `extendedInfo` in details."""

from datetime import datetime, timedelta

from fastapi.encoders import jsonable_encoder

from vmkeep.arm.members import Json
from vmkeep.arm.names import VAULTS, job_id
from vmkeep.arm.service import Service
from vmkeep.arm.wire_time import NOT_YET, find_time, show_duration, show_time
from vmkeep.model.job import Job, JobError, JobOperation, JobStatus, JobTask, TaskStatus
from vmkeep.model.protection import Vault

_CANCELLABLE = {JobOperation.BACKUP, JobOperation.RESTORE}


def show_job(here: Service, vault: Vault, job: Job) -> Json:
    """Return a job as lists show it."""
    cancellable = job.status is JobStatus.IN_PROGRESS and job.operation in _CANCELLABLE
    return {
        "id": job_id(here.vault_id(vault), job.id),
        "name": job.id,
        "type": f"{VAULTS}/backupJobs",
        "properties": {
            "jobType": "AzureIaaSVMJob",
            "operation": job.operation.value,
            "status": job.status.value,
            "startTime": show_time(job.started),
            "endTime": find_time(job.ended),
            "duration": show_duration((job.ended or here.clock.now()) - job.started),
            "entityFriendlyName": job.item_name,
            "containerName": here.machine_name(job.item_name).short,
            "backupManagementType": "AzureIaasVM",
            "virtualMachineVersion": "Compute",
            "isUserTriggered": job.reason.startswith("user"),
            "activityId": job.id,
            "actionsInfo": ["Cancellable"] if cancellable else [],
            "errorDetails": [
                _show_error(error, job.properties.get("Remedy", ""))
                for error in (*((job.error,) if job.error else ()), *job.warnings)
            ],
            "vmkeep": {
                "reason": job.reason,
                "error": jsonable_encoder(job.error),
                "warnings": jsonable_encoder(job.warnings),
            },
        },
    }


def show_job_details(here: Service, vault: Vault, job: Job) -> Json:
    """Return a job with its tasks, measures and progress."""
    shown = show_job(here, vault, job)
    now = here.clock.now()
    properties = {**shown["properties"], "extendedInfo": _extended(job, now)}
    return {**shown, "properties": properties}


def _extended(job: Job, now: datetime) -> Json:
    info: Json = {
        "tasksList": [_show_task(task, now) for task in job.tasks],
        "propertyBag": {"VM Name": job.item_name, **job.properties},
        "internalPropertyBag": {},
        "dynamicErrorMessage": job.error.message if job.error else "",
    }
    current = next((task for task in job.tasks if task.status is TaskStatus.IN_PROGRESS), None)
    if current is not None and current.total_bytes:
        info["progressPercentage"] = round(_percent(current), 1)
        if current.started is not None and current.done_bytes:
            left = (now - current.started) * (current.total_bytes / current.done_bytes - 1)
            info["estimatedRemainingDuration"] = show_duration(left)
    return info


def _show_task(task: JobTask, now: datetime) -> Json:
    duration = (task.ended or now) - task.started if task.started else timedelta(0)
    return {
        "taskId": task.name.value,
        "status": task.status.value,
        "startTime": find_time(task.started) or NOT_YET,
        "endTime": find_time(task.ended) or NOT_YET,
        "duration": show_duration(duration),
        "progressPercentage": round(_percent(task), 1),
        "taskExecutionDetails": task.details,
        "vmkeep": {"doneBytes": task.done_bytes, "totalBytes": task.total_bytes},
    }


def _percent(task: JobTask) -> float:
    if task.total_bytes:
        return min(100 * task.done_bytes / task.total_bytes, 100)
    return 100 if task.status is TaskStatus.COMPLETED else 0


def _show_error(error: JobError, remedy: str) -> Json:
    """Return one of `errorDetails`: codes are words here, Azure's number stays 0; a proven cause's remedy is first."""
    return {
        "errorCode": 0,
        "errorTitle": error.code,
        "errorString": error.message,
        "recommendations": [advice for advice in (remedy, error.advice) if advice],
    }
