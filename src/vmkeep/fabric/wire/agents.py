"""What the wire server knows of each VM's agent: the goal it was given, and what it was heard saying."""

import threading
import uuid
from dataclasses import replace
from pathlib import Path

import structlog

from vmkeep.base.clock import Clock
from vmkeep.base.ids import new_guid, new_token
from vmkeep.fabric.wire.agent_store import AgentMemory, AgentStore
from vmkeep.fabric.wire.certificates import TenantKey
from vmkeep.fabric.wire.errors import SnapshotTaskBusy, StateNotKept
from vmkeep.fabric.wire.goal_state import ExtensionSettings, Goal, snapshot_settings
from vmkeep.fabric.wire.report import AgentReport, Sighting, Signal
from vmkeep.fabric.wire.status import AgentStatus
from vmkeep.fabric.wire.tasks import SnapshotRequest, SnapshotTask

log = structlog.get_logger()

REPORT_EVERY_S = 60


class Agent:
    """One VM's agent, as seen and led by the host. Every method may be called from any thread."""

    def __init__(self, vm_uuid: str, store: AgentStore, clock: Clock) -> None:
        self.vm_name = vm_uuid
        """As last told by the locator."""
        self._store = store
        self._clock = clock
        self._lock = threading.RLock()
        memory = store.find_memory()
        if memory is None:
            start = int(clock.now().timestamp())
            memory = AgentMemory(container_id=new_guid(), goal=Goal(incarnation=start, last_seq_no=start))
            store.put_memory(memory)
        self.container_id = memory.container_id
        self._goal = memory.goal
        self._tenant: TenantKey | None = None
        self._task: SnapshotTask | None = None
        self._report = store.find_report(vm_uuid) or AgentReport(vm_uuid)
        self._seen_at: dict[Signal, float] = {}
        self._report_kept = clock.monotonic()

    @property
    def goal(self) -> Goal:
        """The goal state now served."""
        return self._goal

    @property
    def task(self) -> SnapshotTask | None:
        """The snapshot task now running."""
        return self._task

    @property
    def tenant(self) -> TenantKey:
        """This VM's tenant key, made at first use."""
        with self._lock:
            if self._tenant is None:
                self._tenant = self._store.find_tenant()
            if self._tenant is None:
                self._tenant = TenantKey.generate()
                self._store.put_tenant(self._tenant)
            return self._tenant

    def begin(self, request: SnapshotRequest) -> SnapshotTask:
        """Ask the agent for a snapshot: a new goal state, durable before it is served. Raises SnapshotTaskBusy."""
        with self._lock:
            if self._task is not None:
                raise SnapshotTaskBusy(vm=self.vm_name, running_task_id=self._task.request.task_id)
            token = new_token()
            seq_no = self._goal.last_seq_no + 1
            settings = snapshot_settings(
                task_id=request.task_id,
                token=token,
                luns=request.luns,
                now=self._clock.now(),
                tenant=self.tenant,
            )
            goal = Goal(
                incarnation=self._goal.incarnation + 1,
                last_seq_no=seq_no,
                settings=ExtensionSettings(seq_no, settings),
                previous=self._goal.settings,
            )
            self._set_goal(goal)
            self._task = SnapshotTask(
                request,
                vm_name=self.vm_name,
                token=token,
                incarnation=goal.incarnation,
                seq_no=seq_no,
                clock=self._clock,
            )
            return self._task

    def end(self, task: SnapshotTask) -> None:
        """Close `task`; withdraw its goal state when the agent never took it up."""
        with self._lock:
            self._task = None
            if not task.taken_up:
                self._withdraw()

    def _withdraw(self) -> None:
        """Serve the settings of before; if they cannot be kept, the guest freezes for nothing once, no more."""
        goal = replace(self._goal, incarnation=self._goal.incarnation + 1, settings=self._goal.previous)
        try:
            self._set_goal(goal)
        except StateNotKept as error:
            log.warning("wire.goal_state.not_withdrawn", vm=self.vm_name, error=str(error))

    def _set_goal(self, goal: Goal) -> None:
        self._store.put_memory(AgentMemory(self.container_id, goal))
        self._goal = goal

    def saw(self, signal: Signal) -> None:
        """Note a request; the first one ever durably, so that a power cut does not make the agent one never heard."""
        with self._lock:
            is_first = not self._report.seen
            before = self._report.sightings.get(signal)
            sighting = Sighting(count=before.count + 1 if before else 1, at=self._clock.now())
            self._seen_at[signal] = self._clock.monotonic()
            self._report = replace(self._report, sightings={**self._report.sightings, signal: sighting})
        if is_first:
            self.keep_report()

    def refused(self, why: str) -> int:
        """Note a refused request; return how many there were since the service started."""
        with self._lock:
            self._report = replace(self._report, refused=self._report.refused + 1, last_refusal=why)
            return self._report.refused

    def heard(self, status: AgentStatus) -> None:
        """Note a status."""
        skew = (status.guest_time - self._clock.now()).total_seconds() if status.guest_time else None
        with self._lock:
            self._report = replace(self._report, status=status, clock_skew_s=skew)
            task = self._task
        if task is not None:
            task.status(status)
        if self._clock.monotonic() - self._report_kept > REPORT_EVERY_S:
            self.keep_report()

    def report(self) -> AgentReport:
        """Return what is known now."""
        with self._lock:
            now = self._clock.monotonic()
            ages = {signal: now - at for signal, at in self._seen_at.items()}
            return replace(
                self._report,
                sightings={
                    signal: replace(seen, age_s=ages.get(signal))
                    for signal, seen in self._report.sightings.items()
                },
                incarnation=self._goal.incarnation,
                seq_no=self._goal.last_seq_no,
                running_task_id=self._task.request.task_id if self._task else "",
            )

    def keep_report(self) -> None:
        """Write the report down, so that a restarted service knows who was there."""
        with self._lock:
            self._report_kept = self._clock.monotonic()
            self._store.put_report(self._report)

    def delete(self) -> None:
        """Remove all that is kept. Raises SnapshotTaskBusy."""
        with self._lock:
            if self._task is not None:
                raise SnapshotTaskBusy(vm=self.vm_name, running_task_id=self._task.request.task_id)
            self._store.delete()


class Agents:
    """All agents of this host, read from disk when first asked for. Thread-safe."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._folder = folder
        self._clock = clock
        self._lock = threading.Lock()
        self._agents: dict[str, Agent] = {}

    def put(self, vm_uuid: str) -> Agent:
        """Return the VM's agent, remembered or new."""
        name = str(uuid.UUID(vm_uuid))
        with self._lock:
            if name not in self._agents:
                self._agents[name] = Agent(name, AgentStore(self._folder / name), self._clock)
            return self._agents[name]

    def find(self, vm_uuid: str) -> Agent | None:
        """Return the VM's agent if it was ever met."""
        name = str(uuid.UUID(vm_uuid))
        known = name in self._agents or (self._folder / name).is_dir()
        return self.put(name) if known else None

    def delete(self, vm_uuid: str) -> None:
        """Forget a VM that is no more; nothing happens when it was never met."""
        agent = self.find(vm_uuid)
        if agent is not None:
            agent.delete()
            with self._lock:
                self._agents.pop(str(uuid.UUID(vm_uuid)), None)

    def keep_reports(self) -> None:
        """Write down what was heard of each agent."""
        for agent in list(self._agents.values()):
            agent.keep_report()
