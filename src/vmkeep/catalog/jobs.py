"""Jobs: one running job per item, a task list, and the wish to cancel."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from operator import eq, ge, le
from typing import Any, TypedDict, Unpack

from sqlalchemy import Connection, Select, delete, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from vmkeep.catalog.errors import JobNotFound, JobNotInProgress, OperationInProgress
from vmkeep.catalog.rows import Records, values_of
from vmkeep.catalog.schema import items, jobs, vaults
from vmkeep.model.job import Job, JobError, JobOperation, JobStatus, JobTask, TaskName, TaskStatus

_RUNNING = [status for status in JobStatus if status.running]


class JobChanges(TypedDict, total=False):
    """What may change about a job. `properties` are added to those it has."""

    status: JobStatus
    ended: datetime | None
    tasks: tuple[JobTask, ...]
    error: JobError | None
    warnings: tuple[JobError, ...]
    properties: dict[str, str]


class TaskChanges(TypedDict, total=False):
    """What may change about a task."""

    status: TaskStatus
    started: datetime | None
    ended: datetime | None
    done_bytes: int
    total_bytes: int
    details: str


class JobRecords(Records):
    """The jobs of all vaults."""

    def create_job(self, job: Job) -> None:
        """Keep a new job; raises OperationInProgress when its VM has a running one already, in whatever vault."""
        try:
            with self._database.writing() as connection:
                if job.status.running:
                    connection.execute(_items_of_vm(job.item_id).with_for_update())
                    _raise_if_in_progress(connection, job.item_id)
                connection.execute(insert(jobs).values(**values_of(job)))
        except IntegrityError as error:
            with self._database.reading() as connection:
                _raise_if_in_progress(connection, job.item_id, error)
            raise

    def find_running_job(self, item_id: str) -> Job | None:
        """Return the job of an item, or of another item of its VM, that may still change, or None."""
        with self._database.reading() as connection:
            row = connection.execute(_running_for_vm(item_id)).mappings().first()
        return Job(**row) if row else None

    def get_job(self, job_id: str) -> Job:
        """Return a job; raises JobNotFound."""
        job = self.find_job(job_id)
        if job is None:
            raise JobNotFound(job=job_id)
        return job

    def list_jobs(
        self,
        *,
        vault_id: str | None = None,
        item_id: str | None = None,
        status: JobStatus | None = None,
        operation: JobOperation | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> list[Job]:
        """Return jobs newest first; None filters nothing. `since` and `until` bound the start, both inclusive."""
        filters = (
            (jobs.c.vault_id, eq, vault_id),
            (jobs.c.item_id, eq, item_id),
            (jobs.c.status, eq, status),
            (jobs.c.operation, eq, operation),
            (jobs.c.started, ge, since),
            (jobs.c.started, le, until),
        )
        wanted = [compare(column, value) for column, compare, value in filters if value is not None]
        query = select(jobs).where(*wanted).order_by(jobs.c.started.desc(), jobs.c.id)
        with self._database.reading() as connection:
            return [Job(**row) for row in connection.execute(query).mappings()]

    def find_job(self, job_id: str) -> Job | None:
        """Return a job, or None."""
        with self._database.reading() as connection:
            row = connection.execute(select(jobs).where(jobs.c.id == job_id)).mappings().first()
        return Job(**row) if row else None

    def delete_jobs_before(self, moment: datetime) -> int:
        """Forget the jobs that ended before a moment; returns how many."""
        with self._database.writing() as connection:
            return connection.execute(delete(jobs).where(jobs.c.ended < moment)).rowcount

    def update_job(self, job_id: str, **changes: Unpack[JobChanges]) -> Job:
        """Change a job and return it; raises JobNotFound."""

        def change(job: Job) -> Job:
            changes["properties"] = {**job.properties, **changes.get("properties", {})}
            return replace(job, **changes)

        return self._change(job_id, change)

    def update_task(self, job_id: str, name: TaskName, **changes: Unpack[TaskChanges]) -> Job:
        """Change one task of a job and return the job; raises JobNotFound."""

        def change(job: Job) -> Job:
            tasks = (replace(task, **changes) if task.name is name else task for task in job.tasks)
            return replace(job, tasks=tuple(tasks))

        return self._change(job_id, change)

    def add_warning(self, job_id: str, warning: JobError) -> Job:
        """Add a warning that the job does not have yet, and return the job; raises JobNotFound."""

        def change(job: Job) -> Job:
            return job if warning in job.warnings else replace(job, warnings=(*job.warnings, warning))

        return self._change(job_id, change)

    def request_cancel(self, job_id: str) -> Job:
        """Note that the job should stop, and return it; raises JobNotFound, JobNotInProgress."""

        def change(job: Job) -> Job:
            if not job.status.running:
                raise JobNotInProgress(job=job.id, status=job.status)
            return replace(job, status=JobStatus.CANCELLING)

        return self._change(job_id, change)

    def cancel_requested(self, job_id: str) -> bool:
        """Return whether somebody wants the running job to stop; raises JobNotFound."""
        return self.get_job(job_id).status is JobStatus.CANCELLING

    def _change(self, job_id: str, change: Callable[[Job], Job]) -> Job:
        with self._database.writing() as connection:
            query = select(jobs).where(jobs.c.id == job_id).with_for_update()
            row = connection.execute(query).mappings().first()
            if row is None:
                raise JobNotFound(job=job_id)
            job = change(Job(**row))
            connection.execute(update(jobs).where(jobs.c.id == job_id).values(**values_of(job)))
        return job


def _items_of_vm(item_id: str) -> Select[tuple[str]]:
    """Select the items of an item's VM, in all vaults."""
    vm_uuid = select(items.c.vm_uuid).where(items.c.id == item_id).scalar_subquery()
    return select(items.c.id).where(items.c.vm_uuid == vm_uuid)


def _running_for_vm(item_id: str) -> Select[Any]:  # rows of jobs
    concerns = or_(jobs.c.item_id == item_id, jobs.c.item_id.in_(_items_of_vm(item_id)))
    return select(jobs).where(concerns, jobs.c.item_id != "", jobs.c.status.in_(_RUNNING))


def _raise_if_in_progress(connection: Connection, item_id: str, cause: Exception | None = None) -> None:
    row = connection.execute(_running_for_vm(item_id)).mappings().first()
    if row is not None:
        job = Job(**row)
        vault = connection.execute(select(vaults.c.name).where(vaults.c.id == job.vault_id)).scalar_one()
        raise OperationInProgress(item=job.item_name, job=job.id, vault=vault) from cause
