"""Starts the backups that policies make due, and the upkeep of each day.

What is due is decided from two facts in the catalog, changed together: until when schedules were looked at, and which
runs have not begun. So a restart loses none, and a run missed while the service was down happens once, the latest only.
A run's job has an id made of its item and due time, so nothing that repeats a due time repeats the run: no crash, and
no clock that was set back.

A run whose item has a running job waits for its end; when the item's next due time comes first, it is that run.
"""

from collections.abc import Callable, Iterator
from datetime import datetime
from functools import cache

import structlog

from vmkeep.base.ids import guid_of
from vmkeep.catalog.errors import ItemNotFound, OperationInProgress
from vmkeep.model.errors import InvalidPolicy
from vmkeep.model.job import Job
from vmkeep.model.protection import ProtectedItem
from vmkeep.model.schedule import Schedule
from vmkeep.workflows.journal import SCHEDULED_QUEUE, UPKEEP_QUEUE, Arguments, Journal, Json, Workflow
from vmkeep.workflows.pillars import Pillars
from vmkeep.workflows.upkeep import CLEAN, EXPIRE, PRUNE

log = structlog.get_logger()

SCHEDULED_BACKUP = "scheduled-backup"
_PAUSE_S = 1.0
_UPKEEP_DAY = "day of the last upkeep"
CreateJob = Callable[[ProtectedItem, str, str], Job]
"""Makes the job of a backup: item, job id, reason; raises OperationInProgress."""


class Scheduler:
    """Looks at all schedules when told to; `look` can be repeated at any time."""

    def __init__(
        self,
        pillars: Pillars,
        journal: Journal,
        *,
        create_job: CreateJob,
        backup: Workflow,
        end_dead_jobs: Callable[[], None],
    ) -> None:
        """`end_dead_jobs` ends jobs that no workflow carries on: they would keep their items' runs waiting."""
        self._catalog = pillars.catalog
        self._clock = pillars.clock
        self._journal = journal
        self._create_job = create_job
        self._backup = backup
        self._end_dead_jobs = end_dead_jobs
        self._looked = False
        journal.register(SCHEDULED_BACKUP, self.back_up)

    def look(self) -> None:
        """Note what became due since the last look, and have it done."""
        for turn in self.plan():
            self._journal.enqueue(**turn)

    def plan(self) -> list[Json]:
        """Note what became due since the last look, and return what is to be enqueued."""
        now = self._clock.now()
        self._end_dead_jobs()
        self._note_due_runs(now)
        return [*self._plan_due_runs(), *self._plan_upkeep(now)]

    def back_up(self, job_id: str, arguments: Arguments) -> None:
        """Do a scheduled backup when it is its turn, unless it is no longer wanted."""
        begun = self._journal.step("Begin", lambda: self._begin(job_id, arguments))
        if begun:
            self._backup(job_id, begun)

    def _note_due_runs(self, now: datetime) -> None:
        since = self._catalog.find_looked_until() or now
        if since > now:
            log.warning("schedule.clock_went_back", looked_until=since.isoformat(), now=now.isoformat())
        due = plan_due_runs(self._catalog.list_items(), self._find_schedule(), since=since, now=now)
        self._catalog.note_due_runs(due, looked_until=now)
        for item_id, moment in due.items():
            log.info(
                "schedule.due", item=item_id, due=moment.isoformat(), late_s=(now - moment).total_seconds()
            )

    def _find_schedule(self) -> Callable[[ProtectedItem], Schedule | None]:
        """Return what finds an item's schedule; each policy is read once."""
        known: dict[tuple[str, str], Schedule | None] = {}

        def find(item: ProtectedItem) -> Schedule | None:
            key = (item.vault_id, item.policy_name)
            if key not in known:
                try:
                    known[key] = self._catalog.get_policy(*key).schedule
                except InvalidPolicy as error:
                    log.error("schedule.unreadable", policy=item.policy_name, message=str(error))  # noqa: TRY400 - told in words
                    known[key] = None
            return known[key]

        return find

    def _plan_due_runs(self) -> Iterator[Json]:
        for item_id, due in self._catalog.list_due_runs().items():
            job_id = run_id(item_id, due)
            state = self._journal.find_state(job_id)
            if state is not None and not state.alive:
                self._catalog.delete_due_run(item_id, due)
            elif state is None and self._catalog.find_running_job(item_id) is None:
                arguments = {"item": item_id, "due": due.isoformat()}
                yield _turn(job_id, SCHEDULED_BACKUP, arguments, queue=SCHEDULED_QUEUE)

    def _begin(self, job_id: str, arguments: Arguments) -> Json:
        """Make the job; None when another run has taken its place, or nobody wants it any more."""
        item_id, due = arguments["item"], datetime.fromisoformat(arguments["due"])
        while (job := self._catalog.find_job(job_id)) is None:
            item = self._find_wanted(item_id, due)
            if item is None:
                return None
            try:
                self._create_job(item, job_id, f"Scheduled: policy {item.policy_name}")
            except OperationInProgress:
                self._journal.pause(_PAUSE_S)
        self._catalog.delete_due_run(item_id, due)
        if not job.status.running:  # the clock was set back so far that its workflow is forgotten
            return None
        return {"point": self._catalog.new_recovery_point_id(), "retain_until": None}

    def _find_wanted(self, item_id: str, due: datetime) -> ProtectedItem | None:
        try:
            item = self._catalog.get_item(item_id)
        except ItemNotFound:
            return None
        latest = self._catalog.find_due_run(item_id) == due
        return item if latest and is_scheduled(item) else None

    def _plan_upkeep(self, now: datetime) -> Iterator[Json]:
        """Name the day's upkeep, once a day in UTC; each process begins with that of items, where a kill leaves traces."""
        day = now.date().isoformat()
        is_new_day = self._catalog.find_setting(_UPKEEP_DAY) != day
        if is_new_day or not self._looked:
            for item in self._catalog.list_items():
                yield _turn(f"{now.isoformat()}-expire-{item.id}", EXPIRE, {"item": item.id})
        self._looked = True
        if not is_new_day:
            return
        for vault in self._catalog.list_vaults():
            yield _turn(f"{day}-prune-{vault.id}", PRUNE, {"vault": vault.id, "attempt": 1})
        yield _turn(f"{day}-clean", CLEAN, {})
        self._catalog.put_setting(_UPKEEP_DAY, day)


def _turn(workflow_id: str, name: str, arguments: Arguments, queue: str = UPKEEP_QUEUE) -> Json:
    return {"workflow_id": workflow_id, "name": name, "arguments": arguments, "queue": queue}


def is_scheduled(item: ProtectedItem) -> bool:
    """Return whether an item's policy starts backups of it."""
    return bool(item.policy_name) and not item.state.stopped


def run_id(item_id: str, due: datetime) -> str:
    """Return the id that the job of a due run has."""
    return guid_of("scheduled backup", item_id, due.isoformat())


def plan_due_runs(
    items: list[ProtectedItem],
    find_schedule: Callable[[ProtectedItem], Schedule | None],
    *,
    since: datetime,
    now: datetime,
) -> dict[str, datetime]:
    """Return item id → the latest time it became due in (since, now]; not before it was protected."""
    last_due = cache(Schedule.last_due)
    due = {}
    for item in items:
        schedule = find_schedule(item) if is_scheduled(item) else None
        moment = last_due(schedule, max(since, item.created), now) if schedule else None
        if moment is not None:
            due[item.id] = moment
    return due
