"""The ladder: its patience with an agent right after the start, and what it does when a rung is not good enough."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

import pytest

from vmkeep.base.clock import FakeClock
from vmkeep.fabric.errors import ConsistencyNotReached, GuestAgentSilent, WorkCancelled
from vmkeep.fabric.extension_errors import FreezeFailed
from vmkeep.fabric.ladder import SETTLING_S, Ladder, Reached
from vmkeep.fabric.layer_switch import LayerSwitch
from vmkeep.fabric.script_errors import PreScriptFailed
from vmkeep.fabric.wire.server import WireServer
from vmkeep.model.machine import Consistency
from vmkeep.model.restore_point import RestorePoint


@dataclass
class Report:
    ready: bool


@dataclass
class Wire:
    """A wire server that hears its agent `heard_at` seconds after its start."""

    clock: FakeClock
    heard_at: float

    @property
    def up_s(self) -> float:
        return self.clock.monotonic()

    def report(self, _vm_uuid: str) -> Report:
        return Report(self.up_s >= self.heard_at)


@dataclass
class Switch:
    point: RestorePoint


def ladder(wire: Wire, *, cancelled: bool = False) -> Ladder:
    point = RestorePoint("p", "uuid", "web01", wire.clock.now(), Consistency.CRASH, (), "<domain/>")
    return Ladder(
        switch=cast("LayerSwitch", Switch(point)),
        undo=lambda: None,
        thaw=lambda: 0,
        wire=cast("WireServer", wire),
        clock=wire.clock,
        freeze_limit_s=10,
        on_phase=lambda _phase: None,
        cancelled=lambda: cancelled,
    )


def heard(wire: Wire, *, cancelled: bool = False) -> bool:
    return ladder(wire, cancelled=cancelled)._heard(cast("WireServer", wire)).ready


def test_agent_is_heard_though_the_service_has_just_started() -> None:
    assert heard(Wire(FakeClock(), heard_at=6))


def test_agent_that_stays_silent_is_not_waited_for_long() -> None:
    wire = Wire(FakeClock(), heard_at=1000)
    assert not heard(wire)
    assert wire.up_s == pytest.approx(SETTLING_S)


def test_agent_silent_in_a_long_running_service_is_not_waited_for() -> None:
    wire = Wire(FakeClock(), heard_at=1000)
    wire.clock.advance(500)
    assert not heard(wire)
    assert wire.up_s == 500


def test_waiting_for_an_agent_can_be_cancelled() -> None:
    with pytest.raises(WorkCancelled):
        heard(Wire(FakeClock(), heard_at=6), cancelled=True)


@dataclass(frozen=True)
class ActedLadder(Ladder):
    """A ladder whose rungs are given, by the best that each can come to."""

    acts: dict[Consistency, Reached] = field(default_factory=dict)

    @property
    def _rungs(self) -> tuple[tuple[Consistency, Callable[[], Reached]], ...]:
        return tuple((best, lambda reached=reached: reached) for best, reached in self.acts.items())


NO_FREEZE = Reached(None, why=FreezeFailed("web01", 121, "/data cannot be frozen", "/data"))
NO_GUEST_AGENT = Reached(None, why=GuestAgentSilent("web01", "guest-ping", "no answer"))
NO_SCRIPTS = Reached(Consistency.FILE_SYSTEM)
BAD_SCRIPT = Reached(Consistency.FILE_SYSTEM, why=PreScriptFailed("web01", "rc 7"))
FROZEN_BY_GUEST_AGENT = Reached(Consistency.FILE_SYSTEM)
CRASH = Reached(Consistency.CRASH)


def climb(least: Consistency, extension: Reached, guest_agent: Reached) -> Reached:
    acts = dict(zip(Consistency, (extension, guest_agent, CRASH), strict=True))
    plain = ladder(Wire(FakeClock(), heard_at=0))
    acted = ActedLadder(
        plain.switch,
        plain.undo,
        plain.thaw,
        None,
        plain.clock,
        plain.freeze_limit_s,
        plain.on_phase,
        plain.cancelled,
        least,
        acts,
    )
    return acted.climb()


def test_any_rung_will_do_and_why_better_ones_were_left_is_told() -> None:
    reached = climb(Consistency.CRASH, NO_FREEZE, NO_GUEST_AGENT)
    assert reached.consistency is Consistency.CRASH
    assert [warned.code for warned in reached.warnings] == ["UserErrorFsFreezeFailed", "GuestAgentSilent"]
    assert reached.warnings[0].facts["mount"] == "/data"


def test_lower_rung_that_is_good_enough_is_taken_with_a_warning() -> None:
    reached = climb(Consistency.FILE_SYSTEM, NO_FREEZE, FROZEN_BY_GUEST_AGENT)
    assert reached.consistency is Consistency.FILE_SYSTEM
    assert [warned.code for warned in reached.warnings] == ["UserErrorFsFreezeFailed"]


@pytest.mark.parametrize("least", [Consistency.APPLICATION, Consistency.FILE_SYSTEM])
def test_no_rung_good_enough_fails_with_what_kept_the_best_from_it(least: Consistency) -> None:
    with pytest.raises(FreezeFailed):
        climb(least, NO_FREEZE, NO_GUEST_AGENT)


def test_script_that_may_fail_fails_a_backup_that_must_be_application_consistent() -> None:
    with pytest.raises(PreScriptFailed):
        climb(Consistency.APPLICATION, BAD_SCRIPT, FROZEN_BY_GUEST_AGENT)


def test_guest_without_scripts_is_told_to_have_some() -> None:
    with pytest.raises(ConsistencyNotReached, match="no better consistency than file-system") as caught:
        climb(Consistency.APPLICATION, NO_SCRIPTS, FROZEN_BY_GUEST_AGENT)
    assert "--consistency file-system" in caught.value.advice
