"""Durable work: the one place that speaks to DBOS.

A workflow is a function of its id and JSON arguments that does its work in steps. A step that has ended is never run
again, a step that was cut short is run again at the next launch. Journaled is plain JSON only, never a pickle, so what
a step returns is small: ids and numbers.
"""

import logging
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from threading import Condition, Event
from typing import Any

from dbos import DBOS, DBOSConfig, DBOSPortableJSONSerializer, SetEnqueueOptions, SetWorkflowID

from vmkeep.workflows.errors import Closing

Json = Any  # JSON values
Arguments = Mapping[str, Json]
Workflow = Callable[[str, Arguments], None]
OnStep = Callable[[str], None]

UPKEEP_QUEUE = "upkeep"
_VERSION = "1"
"""Changes only when journals of running workflows can no longer be followed; DBOS takes up none of another version."""
_ALIVE = {"PENDING", "ENQUEUED", "DELAYED"}


@dataclass(frozen=True, slots=True)
class WorkflowState:
    """Where a workflow stands: whether this program will carry it on, and DBOS's word for its status."""

    alive: bool
    status: str


class Journal:
    """Starts workflows, and takes up at launch those that were cut short. One per process."""

    def __init__(self, url: str, *, upkeep_look_s: float, on_step: OnStep) -> None:
        self._on_step = on_step
        self._upkeep_look_s = upkeep_look_s
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

    def register(self, name: str, workflow: Workflow) -> None:
        """Make a workflow known by a name, before `launch`."""

        def run(arguments: dict[str, Json]) -> None:
            with self._changed:
                self._running += 1
            try:
                workflow(str(DBOS.workflow_id), arguments)
            finally:
                with self._changed:
                    self._running -= 1
                    self._changed.notify_all()

        self._workflows[name] = DBOS.workflow(name=name)(run)

    def launch(self) -> None:
        """Begin to work, first on what was cut short."""
        DBOS.launch()
        DBOS.register_queue(UPKEEP_QUEUE, worker_concurrency=1, polling_interval_sec=self._upkeep_look_s)

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

    def enqueue(self, workflow_id: str, name: str, arguments: Arguments, *, delay_s: float = 0) -> None:
        """Have a workflow run when it is its turn, one at a time; one id is run once."""
        with ExitStack() as options:
            options.enter_context(SetWorkflowID(workflow_id))
            if delay_s:
                options.enter_context(SetEnqueueOptions(delay_seconds=delay_s))
            DBOS.enqueue_workflow(UPKEEP_QUEUE, self._workflows[name], dict(arguments))

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
