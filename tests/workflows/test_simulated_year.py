"""A year of 200 VMs under a fake clock: restarts, outages, and a clock that is set back."""

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any, cast

import pytest

from tests.catalog.records import ITEM, JOB
from vmkeep.base.clock import FakeClock
from vmkeep.catalog import Catalog
from vmkeep.catalog.errors import OperationInProgress
from vmkeep.model.job import Job
from vmkeep.model.protection import Policy, ProtectedItem
from vmkeep.workflows.journal import Arguments, Journal, WorkflowState
from vmkeep.workflows.limits import Limits
from vmkeep.workflows.pillars import Pillars
from vmkeep.workflows.scheduler import Scheduler

START = datetime(2026, 1, 1, tzinfo=UTC)
END = START + timedelta(days=365)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
DAILY = {"scheduleRunFrequency": "Daily", "scheduleRunTimes": ["2026-01-01T02:30:00Z"]}
WEEKLY = {**DAILY, "scheduleRunFrequency": "Weekly", "scheduleRunDays": ["Saturday", "Tuesday"]}
WINDOW = {
    "interval": 4,
    "scheduleWindowStartTime": "2026-01-01T08:00:00Z",
    "scheduleWindowDuration": 12,
}
HOURLY = {"scheduleRunFrequency": "Hourly", "hourlySchedule": WINDOW}
POLICIES: dict[str, dict[str, Any]] = {  # JSON
    "utc": {"schedulePolicy": DAILY},
    "berlin": {"schedulePolicy": DAILY, "timeZone": "W. Europe Standard Time"},
    "weekly": {"schedulePolicy": WEEKLY, "timeZone": "America/New_York"},
    "hourly": {"schedulePolicy": HOURLY, "timeZone": "Australia/Sydney", "policyType": "V2"},
}
OUTAGES = [(START + 40 * DAY, START + 43 * DAY), (START + 200 * DAY, START + 200 * DAY + 5 * HOUR)]
SET_BACK = START + 300 * DAY


@dataclass
class Memory:
    """What the scheduler asks of a catalog and a journal, kept in memory: it outlives each scheduler."""

    clock: FakeClock
    items: dict[str, ProtectedItem]
    looked: datetime | None = None
    due: dict[str, datetime] = field(default_factory=dict)
    jobs: dict[str, Job] = field(default_factory=dict)
    running: dict[str, Job] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)
    runs: list[tuple[str, datetime]] = field(default_factory=list)
    scheduler: Scheduler | None = None

    def list_items(self) -> list[ProtectedItem]:
        return list(self.items.values())

    def list_vaults(self) -> list[object]:
        return []

    def get_item(self, item_id: str) -> ProtectedItem:
        return self.items[item_id]

    def get_policy(self, vault_id: str, name: str) -> Policy:
        return Policy(vault_id, name, POLICIES[name])

    def find_looked_until(self) -> datetime | None:
        return self.looked

    def note_due_runs(self, due: dict[str, datetime], *, looked_until: datetime) -> None:
        self.due |= due
        self.looked = looked_until

    def list_due_runs(self) -> dict[str, datetime]:
        return dict(self.due)

    def find_due_run(self, item_id: str) -> datetime | None:
        return self.due.get(item_id)

    def delete_due_run(self, item_id: str, due: datetime) -> None:
        if self.due.get(item_id) == due:
            del self.due[item_id]

    def find_job(self, job_id: str) -> Job | None:
        return self.jobs.get(job_id)

    def find_running_job(self, item_id: str) -> Job | None:
        job = self.running.get(item_id)
        return job if job and job.ended and job.ended > self.clock.now() >= job.started else None

    def new_recovery_point_id(self) -> str:
        return str(len(self.jobs))

    def find_setting(self, key: str) -> str | None:
        return self.settings.get(key)

    def put_setting(self, key: str, value: str) -> None:
        self.settings[key] = value

    def register(self, name: str, workflow: object) -> None:
        pass

    def find_state(self, job_id: str) -> WorkflowState | None:
        return WorkflowState(alive=False, status="SUCCESS") if job_id in self.jobs else None

    def step(self, _name: str, work: Any) -> Any:  # JSON values
        return work()

    def enqueue(self, *, workflow_id: str, name: str, arguments: Arguments, queue: str) -> None:
        if queue == "scheduled":
            assert self.scheduler is not None, name
            self.scheduler.back_up(workflow_id, arguments)

    def create_job(self, item: ProtectedItem, job_id: str, reason: str) -> Job:
        if self.find_running_job(item.id):
            raise OperationInProgress(item=item.vm_name, job=job_id, vault=item.vault_id)
        now = self.clock.now()
        job = replace(JOB, id=job_id, item_id=item.id, reason=reason, started=now, ended=now + HOUR)
        self.jobs[job_id] = self.running[item.id] = job
        self.runs.append((item.id, now))
        return job

    def restart(self) -> None:
        """Have a new process take over."""
        pillars = Pillars(
            cast("Catalog", self),
            cast("Any", None),  # no fabric
            cast("Any", None),  # no repositories
            self.clock,
            Limits(),
            Path("/nowhere"),
            cast("Any", None),  # no collections
        )
        self.scheduler = Scheduler(
            pillars,
            cast("Journal", self),
            create_job=self.create_job,
            backup=lambda _id, _arguments: None,
            end_dead_jobs=lambda: None,
        )


def due_times(name: str) -> list[datetime]:
    schedule = Policy("v", name, POLICIES[name]).schedule
    assert schedule is not None
    return list(schedule.due_times(START, END))


def is_out(moment: datetime) -> bool:
    return any(begin <= moment < end for begin, end in OUTAGES)


def looks() -> list[datetime]:
    """Return when the scheduler looks: half a minute after each due time, and at other times, but in no outage."""
    chance = Random(1)  # noqa: S311 - chance that repeats itself
    others = [START + timedelta(minutes=chance.randrange(365 * 24 * 60)) for _ in range(200)]
    at_due = [due + MINUTE / 2 for name in POLICIES for due in due_times(name)]
    wanted = sorted({START, END, *others, *at_due, *(end for _, end in OUTAGES)})
    return [moment for moment in wanted if not is_out(moment)]


def expected(name: str) -> list[datetime]:
    """Return the due times that must run: all, but of those in an outage only the last."""
    times = due_times(name)
    return [
        due for due, following in pairwise([*times, END + DAY]) if not is_out(due) or not is_out(following)
    ]


def test_each_process_begins_with_the_upkeep_of_every_item() -> None:
    memory = Memory(FakeClock(START), {name: replace(ITEM, id=name, policy_name="utc") for name in "ab"})
    looks_of_processes = []
    for _ in range(2):
        memory.restart()
        assert memory.scheduler is not None
        looks_of_processes.append([turn["name"] for turn in memory.scheduler.plan()])
        assert memory.scheduler.plan() == []
    assert looks_of_processes == [["expire", "expire", "clean"], ["expire", "expire"]]


@pytest.mark.slow
def test_every_due_run_of_a_year_happens_and_none_twice() -> None:
    clock = FakeClock(START)
    names = list(POLICIES)
    items = [
        replace(ITEM, id=f"i-{number}", policy_name=names[number % len(names)], created=START)
        for number in range(200)
    ]
    memory = Memory(clock, {item.id: item for item in items})
    back = [SET_BACK - 6 * HOUR + 10 * MINUTE * n for n in range(36)]
    times = (
        [moment for moment in looks() if moment < SET_BACK],
        [moment for moment in looks() if moment >= SET_BACK],
    )
    for number, moment in enumerate([*times[0], *back, *times[1]]):
        clock.advance((moment - clock.now()).total_seconds())
        if number % 50 == 0:
            memory.restart()
        assert memory.scheduler is not None
        memory.scheduler.look()
    ran = Counter(item_id for item_id, _ in memory.runs)
    for item in items:
        assert ran[item.id] == len(expected(item.policy_name)), item.policy_name
    assert len(memory.jobs) == len(memory.runs) > 80_000
    assert memory.due == {}
