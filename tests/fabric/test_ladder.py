"""The ladder's patience: right after the service's start an agent is given time to be heard."""

from dataclasses import dataclass
from typing import cast

import pytest

from vmkeep.base.clock import FakeClock
from vmkeep.fabric.errors import WorkCancelled
from vmkeep.fabric.ladder import SETTLING_S, Ladder
from vmkeep.fabric.layer_switch import LayerSwitch
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
