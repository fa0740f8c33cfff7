"""The consistency ladder: how still the guest stood when its layers were switched, best rung first.

A rung that cannot be reached is left before the guest is touched, or its layers are taken out again; why it was
left is a warning on the restore point, or the capture's error when no rung below is good enough. A failure of the host itself fails the capture: a lower rung would not help.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import structlog

from vmkeep.base.clock import Clock
from vmkeep.base.errors import VmkeepError
from vmkeep.fabric import guest_agent
from vmkeep.fabric.errors import (
    ConsistencyNotReached,
    FreezeBroken,
    GuestAgentRefused,
    GuestAgentSilent,
    WorkCancelled,
)
from vmkeep.fabric.freeze_watchdog import FreezeState, FreezeWatchdog
from vmkeep.fabric.layer_switch import LayerSwitch
from vmkeep.fabric.verdict import judge
from vmkeep.fabric.wire.errors import (
    AgentUnavailable,
    ExtensionStuck,
    SnapshotCancelled,
    SnapshotStatusMissing,
)
from vmkeep.fabric.wire.report import AgentReport
from vmkeep.fabric.wire.server import WireServer
from vmkeep.fabric.wire.tasks import FREEZING, FROZEN, THAWED, DiskSnapshot, SnapshotRequest
from vmkeep.model.machine import Consistency
from vmkeep.model.restore_point import Warned

log = structlog.get_logger()

SETTLING_S = 15.0
"""Two polls of an agent and some: after a start of the service every living agent was heard by then."""
LOOK_S = 0.5


@dataclass(frozen=True, slots=True)
class Reached:
    """What a rung came to: a consistency, or None; `why` it is no better; and what the watchdog warns of."""

    consistency: Consistency | None
    frozen_s: float | None = None
    why: VmkeepError | None = None
    warnings: tuple[Warned, ...] = ()

    @property
    def told(self) -> tuple[Warned, ...]:
        """All that a user should know."""
        return (*((Warned.of(self.why),) if self.why else ()), *self.warnings)


@dataclass(frozen=True, slots=True)
class Ladder:
    """Climbs down from the best rung until one holds."""

    switch: LayerSwitch
    undo: Callable[[], None]
    """Takes the layers out again, if they were made."""
    thaw: Callable[[], int]
    """Thaws the guest through qemu-guest-agent, also after libvirtd was restarted."""
    wire: WireServer | None
    clock: Clock
    freeze_limit_s: float
    on_phase: Callable[[str], None]
    cancelled: Callable[[], bool]
    least: Consistency = Consistency.CRASH

    def climb(self) -> Reached:
        """Capture a running VM on the best rung that holds; tell the longest freeze, also of a rung that broke.

        When none reaches `least`, raises why the best one was left, or ConsistencyNotReached. Raises WorkCancelled,
        ScriptFailed, HypervisorRefused, VmVanished, HypervisorUnreachable.
        """
        tried: list[Reached] = []
        for best, rung in self._rungs:
            if not best.reaches(self.least):
                break
            self._check_cancelled()
            reached = rung()
            tried.append(reached)
            if reached.consistency is not None and reached.consistency.reaches(self.least):
                return self._summed_up(reached.consistency, tried)
            self.undo()
        raise self._not_reached(tried)

    @property
    def _rungs(self) -> tuple[tuple[Consistency, Callable[[], Reached]], ...]:
        """The rungs, each with the best that it can come to."""
        return (
            (Consistency.APPLICATION, self._by_extension),
            (Consistency.FILE_SYSTEM, self._by_guest_agent),
            (Consistency.CRASH, self.crash),
        )

    def _summed_up(self, consistency: Consistency, tried: Sequence[Reached]) -> Reached:
        freezes = [reached.frozen_s for reached in tried if reached.frozen_s is not None]
        warnings = tuple(warned for reached in tried for warned in reached.told)
        told = self._worth_saying(consistency, warnings)
        return Reached(consistency, max(freezes, default=None), warnings=told)

    def _not_reached(self, tried: Sequence[Reached]) -> VmkeepError:
        for reached in tried:
            if reached.why is not None:
                return reached.why
        reached_at_all = [reached.consistency for reached in tried if reached.consistency is not None]
        best = min(reached_at_all, key=list(Consistency).index, default=Consistency.CRASH)
        return ConsistencyNotReached(self._vm_name, best, self.least)

    def crash(self) -> Reached:
        """Switch layers without asking the guest: the disks as a power cut would leave them."""
        self.switch.make()
        return Reached(Consistency.CRASH)

    def _by_extension(self) -> Reached:
        if self.wire is None:
            return Reached(None)
        report = self._heard(self.wire)
        if not report.ready:
            age_s = report.status_age_s
            age = "never" if age_s is None else f"{age_s:.0f} s ago"
            return _left(AgentUnavailable(self._vm_name, why=f"Last status: {age}."))
        self.on_phase("waiting for the VM agent")
        with self._watchdog() as watchdog:
            reached = self._ask_extension(self.wire, watchdog)
        return self._with_freeze(reached, watchdog)

    def _heard(self, wire: WireServer) -> AgentReport:
        """Return what is known of the agent; right after the wire server's start, let it be heard first."""
        while not (report := wire.report(self._vm_uuid)).ready and wire.up_s < SETTLING_S:
            self._check_cancelled()
            self.on_phase("waiting to hear the VM agent")
            self.clock.sleep(LOOK_S)
        return report

    def _ask_extension(self, wire: WireServer, watchdog: FreezeWatchdog) -> Reached:
        trouble: list[VmkeepError] = []

        def take() -> list[DiskSnapshot]:
            try:
                self._switch_frozen(watchdog)
            except VmkeepError as error:
                trouble.append(error)
                raise
            disks = self.switch.point.disks
            return [DiskSnapshot(disk.lun, f"{self.switch.point.id}-{disk.name}") for disk in disks]

        def on_event(event: str) -> None:
            if event == FREEZING:
                watchdog.freezing()
                return  # the guest stands still: nothing slow now
            if event == FROZEN:
                watchdog.frozen()
                return
            if event == THAWED:
                watchdog.thawed()
            self.on_phase(event)

        luns = tuple(disk.lun for disk in self.switch.point.disks)
        request = SnapshotRequest(
            self.switch.point.id,
            luns,
            take,
            on_event,
            self.cancelled,
            thawed_by_host=lambda: watchdog.state is FreezeState.FORCED,
        )
        try:
            outcome = wire.take_snapshot(self._vm_uuid, request)
        except (AgentUnavailable, ExtensionStuck, SnapshotStatusMissing) as error:
            return _left(error)
        except SnapshotCancelled as error:
            raise WorkCancelled("backing up", self._vm_name) from error
        finally:
            self._raise_own(trouble)
        verdict = judge(outcome, vm_name=self._vm_name)
        why = next(iter(trouble), verdict.why)  # the guest says no more of a broken freeze than "no snapshot"
        if verdict.consistency is None and why is not None:
            return replace(_left(why), frozen_s=outcome.frozen_s)
        return Reached(verdict.consistency, outcome.frozen_s, why)

    def _by_guest_agent(self) -> Reached:
        domain = self.switch.domain
        if not guest_agent.ping(domain):
            why = GuestAgentSilent(self._vm_name, "guest-ping", "no answer within 2 s")
            return _left(why)
        self.on_phase("freezing by qemu-guest-agent")
        with self._watchdog() as watchdog:
            try:
                watchdog.freezing()
                guest_agent.freeze(domain, timeout_s=self.freeze_limit_s)
                watchdog.frozen()
                self._switch_frozen(watchdog)
                reached = Reached(Consistency.FILE_SYSTEM)
            except (GuestAgentSilent, GuestAgentRefused, FreezeBroken) as error:
                reached = _left(error)
            with suppress(GuestAgentSilent, GuestAgentRefused):  # the watchdog goes on trying
                self.thaw()
                watchdog.thawed()
        return self._with_freeze(reached, watchdog)

    def _switch_frozen(self, watchdog: FreezeWatchdog) -> None:
        """Switch layers, and make sure that the guest stood still until it was done. Raises FreezeBroken."""
        self.switch.make()
        if watchdog.broke_in:
            raise FreezeBroken(self._vm_name)

    def _raise_own(self, trouble: list[VmkeepError]) -> None:
        """Raise what kept the host from switching layers; a freeze that was broken is the guest's affair."""
        for error in trouble:
            if not isinstance(error, FreezeBroken):
                raise error

    def _with_freeze(self, reached: Reached, watchdog: FreezeWatchdog) -> Reached:
        frozen_s = reached.frozen_s if reached.frozen_s is not None else watchdog.frozen_s
        return replace(reached, frozen_s=frozen_s, warnings=reached.warnings + watchdog.warnings)

    def _watchdog(self) -> FreezeWatchdog:
        return FreezeWatchdog(self._vm_name, self.thaw, limit_s=self.freeze_limit_s, clock=self.clock)

    def _worth_saying(self, reached: Consistency, warnings: tuple[Warned, ...]) -> tuple[Warned, ...]:
        """Leave out that an agent which was never there is not there, unless the guest was not frozen for it."""
        if reached is Consistency.CRASH or self.wire is None or self.wire.report(self._vm_uuid).seen:
            return warnings
        return tuple(warned for warned in warnings if warned.code != AgentUnavailable.code)

    def _check_cancelled(self) -> None:
        if self.cancelled():
            raise WorkCancelled("backing up", self._vm_name)

    @property
    def _vm_uuid(self) -> str:
        return self.switch.point.vm_uuid

    @property
    def _vm_name(self) -> str:
        return self.switch.point.vm_name


def _left(error: VmkeepError) -> Reached:
    log.info("fabric.ladder.left_rung", code=error.code, why=str(error))
    return Reached(None, why=error)
