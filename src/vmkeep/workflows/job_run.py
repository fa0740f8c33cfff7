"""One job while it runs: its steps, its tasks, its progress, and the wish to cancel it."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace

import structlog

from vmkeep.base.clock import Clock
from vmkeep.base.errors import VmkeepError
from vmkeep.model.disk_io import OnProgress, TransferProgress
from vmkeep.model.job import Job, JobError, JobStatus, JobTask, TaskName, TaskStatus
from vmkeep.model.restore_point import Warned
from vmkeep.workflows.errors import Cancelled, Closing, InternalFailure
from vmkeep.workflows.journal import Journal, Json
from vmkeep.workflows.pillars import Pillars

log = structlog.get_logger()


class StepFailed(Exception):
    """A step of the job ended badly; `error` is None when that was the user's wish."""

    def __init__(self, error: JobError | None) -> None:
        super().__init__(error)
        self.error = error


class JobRun:
    """A running job. What it notes is in the catalog at once and can be noted twice."""

    def __init__(self, job_id: str, pillars: Pillars, journal: Journal) -> None:
        self.id = job_id
        self._pillars = pillars
        self._catalog = pillars.catalog
        self._clock = pillars.clock
        self._journal = journal

    @property
    def job(self) -> Job:
        """The job as it stands now."""
        return self._catalog.get_job(self.id)

    def step(self, name: str, work: Callable[[], Json]) -> Json:
        """Run a step once and for all; raises StepFailed, also when the journal says so."""

        def run() -> Json:
            try:
                return {"value": work()}
            except Exception as error:  # noqa: BLE001 - whatever it is, it must end the job, not the service
                failed = self.failure(name, error)
                return {"error": asdict(failed.error)} if failed.error else {"cancelled": True}

        outcome = self._journal.step(name, run)
        if "value" not in outcome:
            raise StepFailed(JobError(**outcome["error"]) if "error" in outcome else None)
        return outcome["value"]

    def undo(self, work: Callable[[], None]) -> bool:
        """Take back what the job did, and return whether all of it was; what was not is a warning."""

        def run() -> Json:
            try:
                work()
            except Exception as error:  # noqa: BLE001 - the job has failed already and must end
                failed = self._describe("undo", error)
                self.warn(Warned(failed.code, f"clean-up is not complete: {failed.message}"))
                return False
            return True

        return bool(self._journal.step("Undo", run))

    def failure(self, step: str, error: Exception) -> StepFailed:
        """Return how the job ends after an exception: failed, or cancelled when that was wanted."""
        wish = isinstance(error, Cancelled) or self.cancel_wanted()
        return StepFailed(None if wish else self._describe(step, error))

    @contextmanager
    def task(self, name: TaskName) -> Iterator[bool]:
        """Have a task in progress; yields whether an earlier attempt at it was cut short, or not journaled."""
        task = next(task for task in self.job.tasks if task.name is name)
        cut_short = task.status is not TaskStatus.NOT_STARTED
        self.stop_if_wanted()
        started = task.started or self._clock.now()
        self._catalog.update_task(self.id, name, status=TaskStatus.IN_PROGRESS, started=started)
        yield cut_short
        self._catalog.update_task(
            self.id, name, status=TaskStatus.COMPLETED, ended=self._clock.now(), details=""
        )

    def progress(self, name: TaskName) -> OnProgress:
        """Return what notes a task's progress, seldom enough, and raises when the job should stop."""
        noted_at: float | None = None

        def note(progress: TransferProgress) -> None:
            nonlocal noted_at
            self.stop_if_wanted()
            now = self._clock.monotonic()
            finished = progress.done_bytes == progress.total_bytes
            if noted_at is None or finished or now - noted_at >= self._pillars.limits.progress_interval_s:
                noted_at = now
                self._note_progress(name, progress)

        return note

    def phase(self, name: TaskName) -> Callable[[str], None]:
        """Return what notes the phase a task is in."""
        return lambda details: self._note_phase(name, details)

    def note(self, **properties: object) -> None:
        """Note what the job measured or made; `bytes_read=5` becomes `Bytes Read: 5`."""
        named = {
            name.replace("_", " ").title().replace("Vm", "VM"): str(value)
            for name, value in properties.items()
        }
        self._catalog.update_job(self.id, properties=named)

    def warn(self, warned: Warned) -> None:
        """Note something a user should know although the work goes on."""
        log.warning("job.warning", job=self.id, code=warned.code, message=warned.message)
        self._catalog.add_warning(self.id, JobError(**asdict(warned)))

    def cancel_wanted(self) -> bool:
        """Return whether the user wants the job to stop."""
        return self._catalog.cancel_requested(self.id)

    def stop_if_wanted(self) -> None:
        """Raise Cancelled or Closing when the job should go no further now."""
        if self._journal.closing:
            raise Closing
        if self.cancel_wanted():
            raise Cancelled

    def end(self, failure: StepFailed | None) -> Job:
        """Close the job: its status, its end, and the tasks that will not go on. Ending twice changes nothing."""
        job = self.job
        if not job.status.running:
            return job
        status, task_status = _ending(job, failure)
        tasks = tuple(_ended(task, task_status, self._clock) for task in job.tasks)
        error = failure.error if failure else None
        log.info("job.ended", job=self.id, item=job.item_name, status=status, code=error and error.code)
        return self._catalog.update_job(
            self.id, status=status, ended=self._clock.now(), tasks=tasks, error=error
        )

    def _describe(self, step: str, error: Exception) -> JobError:
        job = self.job
        if isinstance(error, VmkeepError):
            log.warning("job.step.failed", job=self.id, step=step, code=error.code, message=str(error))
            return _job_error(error.code, error)
        log.error("job.step.broke", job=self.id, step=step, exc_info=error)
        code, failure = InternalFailure.of(job.operation, error)
        return _job_error(code, failure)

    def _note_progress(self, name: TaskName, progress: TransferProgress) -> None:
        self._catalog.update_task(
            self.id, name, done_bytes=progress.done_bytes, total_bytes=progress.total_bytes
        )
        self.note(
            bytes_total=progress.total_bytes,
            bytes_read=progress.read_bytes,
            bytes_stored=progress.stored_bytes,
        )

    def _note_phase(self, name: TaskName, details: str) -> None:
        log.info("job.phase", job=self.id, task=name, phase=details)
        self._catalog.update_task(self.id, name, details=details)


def _job_error(code: str, error: VmkeepError) -> JobError:
    facts = json.loads(json.dumps(error.facts(), default=str))
    return JobError(code=code, message=str(error), advice=error.advice, facts=facts)


def _ending(job: Job, failure: StepFailed | None) -> tuple[JobStatus, TaskStatus]:
    if failure is None:
        warned = JobStatus.COMPLETED_WITH_WARNINGS if job.warnings else JobStatus.COMPLETED
        return warned, TaskStatus.COMPLETED
    if failure.error is None:
        return JobStatus.CANCELLED, TaskStatus.CANCELLED
    return JobStatus.FAILED, TaskStatus.FAILED


def _ended(task: JobTask, status: TaskStatus, clock: Clock) -> JobTask:
    if task.status is not TaskStatus.IN_PROGRESS:
        return task
    return replace(task, status=status, ended=clock.now())
