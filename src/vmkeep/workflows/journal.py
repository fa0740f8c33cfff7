"""Durable work: the one place that speaks to DBOS.

A workflow is a function of its id and JSON arguments that does its work in steps. A step that has ended is never run
again, a step that was cut short is run again at the next launch. Journaled is plain JSON only, never a pickle, so what
a step returns is small: ids and numbers.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from threading import Condition, Event
from typing import Any

import structlog
from dbos import DBOS, DBOSConfig, DBOSPortableJSONSerializer, SetEnqueueOptions, SetWorkflowID

from vmkeep.workflows.errors import Closing

log = structlog.get_logger()

Json = Any  # JSON values
Arguments = Mapping[str, Json]
Workflow = Callable[[str, Arguments], None]
OnStep = Callable[[str], None]

UPKEEP_QUEUE, SCHEDULED_QUEUE, DIAGNOSIS_QUEUE = "upkeep", "scheduled", "diagnosis"
_DIAGNOSES_AT_ONCE = 2
_VERSION = "1"
"""Changes only when journals of running workflows can no longer be followed; DBOS takes up none of another version."""
_ALIVE = {"PENDING", "ENQUEUED", "DELAYED"}
_ENDED = ["SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"]
_REPEATED = "repeated"
_MOST_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class WorkflowState:
    """Where a workflow stands: whether this program will carry it on, and DBOS's word for its status."""

    alive: bool
    status: str


class Journal:
    """Starts workflows, and takes up at launch those that were cut short. One per process."""

    def __init__(
        self, url: str, *, upkeep_look_s: float, scheduled_at_once: int = 1, on_step: OnStep
    ) -> None:
        self._on_step = on_step
        self._look_s = upkeep_look_s
        self._scheduled_at_once = scheduled_at_once
        self._closing = Event()
        self._running = 0
        self._changed = Condition()
        logging.getLogger("dbos").addHandler(logging.NullHandler())  # or DBOS prints in its own format
        config = DBOSConfig(
            name="vmkeep",
            system_database_url=url,
            application_version=_VERSION,
            serializer=DBOSPortableJSONSerializer(),
            enable_otlp=False,
            log_level="WARNING",
        )
        DBOS(config=config)
        self._workflows: dict[str, Callable[[dict[str, Json]], None]] = {}
        self._plan: Callable[[], list[Json]] = list
        self._repeated = self._register_repeated()

    def register(self, name: str, workflow: Workflow) -> None:
        """Make a workflow known by a name, before `launch`."""

        def run(arguments: dict[str, Json]) -> None:
            with self._counted():
                workflow(str(DBOS.workflow_id), arguments)

        self._workflows[name] = DBOS.workflow(name=name)(run)

    def launch(self) -> None:
        """Begin to work, first on what was cut short."""
        DBOS.launch()
        DBOS.register_queue(UPKEEP_QUEUE, worker_concurrency=1, polling_interval_sec=self._look_s)
        DBOS.register_queue(
            DIAGNOSIS_QUEUE, worker_concurrency=_DIAGNOSES_AT_ONCE, polling_interval_sec=self._look_s
        )
        DBOS.register_queue(
            SCHEDULED_QUEUE, worker_concurrency=self._scheduled_at_once, polling_interval_sec=self._look_s
        )

    def close(self, timeout_s: float) -> None:
        """Stop working; steps that cannot stop within `timeout_s` are left to the end of the process."""
        self._closing.set()
        with self._changed:
            self._changed.wait_for(lambda: self._running == 0, timeout_s)
        DBOS.destroy(destroy_registry=True)

    @property
    def closing(self) -> bool:
        """Whether running steps should unwind with `Closing`."""
        return self._closing.is_set()

    def start(self, workflow_id: str, name: str, arguments: Arguments) -> None:
        """Start a workflow at once; one id is started once."""
        with SetWorkflowID(workflow_id):
            DBOS.start_workflow(self._workflows[name], dict(arguments))

    def repeat(self, every: str, plan: Callable[[], list[Json]]) -> None:
        """Have what a plan names enqueued now and again and again, by a cron line in UTC, after `launch`.

        A plan is a step; it returns arguments of `enqueue`, by name.

        Its ended rows are deleted at the next turn: DBOS names them by the time, and after the clock went back the
        old names would stand in the way.
        """
        self._plan = plan
        for turn in self._plan_safely():
            self.enqueue(**turn)
        DBOS.apply_schedules(
            [{"schedule_name": _REPEATED, "workflow_fn": self._repeated, "schedule": every, "context": None}]
        )

    def delete_ended(self, *, name: str | None = None, before: datetime | None = None) -> int:
        """Forget, within a step, ended workflows of a name or that ended before a moment; returns how many."""
        deleted = 0
        while ended := DBOS.list_workflows(
            name=name,
            status=_ENDED,
            completed_before=before.isoformat() if before else None,
            limit=_MOST_AT_ONCE,
            load_input=False,
            load_output=False,
        ):
            DBOS.delete_workflows([one.workflow_id for one in ended])
            deleted += len(ended)
        return deleted

    def pause(self, seconds: float) -> None:
        """Wait a while within a step; raises Closing."""
        if self._closing.wait(seconds):
            raise Closing

    def enqueue(
        self,
        workflow_id: str,
        name: str,
        arguments: Arguments,
        *,
        queue: str = UPKEEP_QUEUE,
        delay_s: float = 0,
    ) -> None:
        """Have a workflow run when it is its turn on a queue; one id is run once."""
        with ExitStack() as options:
            options.enter_context(SetWorkflowID(workflow_id))
            if delay_s:
                options.enter_context(SetEnqueueOptions(delay_seconds=delay_s))
            DBOS.enqueue_workflow(queue, self._workflows[name], dict(arguments))

    def _register_repeated(self) -> Callable[[datetime, None], None]:
        def run(_due: datetime, _context: None) -> None:
            with self._counted():
                for turn in self.step("Plan", self._delete_turns_and_plan):
                    self.enqueue(**turn)

        return DBOS.workflow(name=_REPEATED)(run)

    def _delete_turns_and_plan(self) -> list[Json]:
        self.delete_ended(name=_REPEATED)
        return self._plan_safely()

    def _plan_safely(self) -> list[Json]:
        try:
            return self._plan()
        except Exception:  # the next turn tries again
            log.exception("journal.plan.broke")
            return []

    @contextmanager
    def _counted(self) -> Iterator[None]:
        """Have `close` wait for what runs."""
        with self._changed:
            self._running += 1
        try:
            yield
        finally:
            with self._changed:
                self._running -= 1
                self._changed.notify_all()

    def find_state(self, workflow_id: str) -> WorkflowState | None:
        """Return where a workflow stands, or None when it was never started."""
        status = DBOS.get_workflow_status(workflow_id)
        if status is None:
            return None
        ours = status.app_version in {None, _VERSION}
        return WorkflowState(alive=ours and status.status in _ALIVE, status=status.status)

    def step(self, name: str, work: Callable[[], Json]) -> Json:
        """Run a step once and for all, and return its result; at a replay the journaled one."""
        if self.closing:
            raise Closing

        def run() -> Json:
            self._on_step(f"{name}: begun")
            result = work()
            self._on_step(f"{name}: done")
            return result

        result = DBOS.run_step({"name": str(name)}, run)
        self._on_step(f"{name}: journaled")
        return result
