"""A guest is thawed in time, whoever forgot it."""

import threading

import pytest

from vmkeep.base.clock import FakeClock
from vmkeep.fabric.errors import GuestAgentSilent
from vmkeep.fabric.freeze_watchdog import FreezeState, FreezeWatchdog

NEVER_S = 3600.0


class Guest:
    """Counts thaws; `frozen` file systems are thawed by the first."""

    def __init__(self, frozen: int = 2, *, silent_times: int = 0) -> None:
        self.frozen = frozen
        self.silent_times = silent_times
        self.thawed = threading.Event()

    def thaw(self) -> int:
        if self.silent_times:
            self.silent_times -= 1
            raise GuestAgentSilent("vm", "guest-fsfreeze-thaw", "no answer")
        count, self.frozen = self.frozen, 0
        self.thawed.set()
        return count


def watchdog(guest: Guest, *, limit_s: float) -> FreezeWatchdog:
    return FreezeWatchdog("vm", guest.thaw, limit_s=limit_s, clock=FakeClock())


def test_guest_that_thaws_in_time_is_left_alone() -> None:
    guest = Guest()
    with watchdog(guest, limit_s=NEVER_S) as watching:
        watching.frozen()
        watching.thawed()
    assert watching.state is FreezeState.THAWED
    assert watching.frozen_s == 0
    assert not watching.warnings
    assert not guest.thawed.is_set()


def test_guest_frozen_for_too_long_is_thawed_and_the_promise_is_named() -> None:
    guest = Guest()
    with watchdog(guest, limit_s=0.01) as watching:
        watching.frozen()
        assert guest.thawed.wait(30)
    assert watching.broke_in
    assert [warned.code for warned in watching.warnings] == ["GuestThawedByHost"]
    assert "at most 0.01 s" in watching.warnings[0].message


def test_guest_that_had_thawed_itself_is_no_cause_for_a_warning() -> None:
    guest = Guest(frozen=0)
    with watchdog(guest, limit_s=0.01) as watching:
        watching.frozen()
        assert guest.thawed.wait(30)
    assert watching.state is FreezeState.THAWED
    assert not watching.warnings


def test_guest_whose_freezer_died_before_it_could_say_so_is_thawed() -> None:
    guest = Guest()
    with watchdog(guest, limit_s=0.01) as watching:
        watching.freezing()
        assert guest.thawed.wait(30)
    assert watching.broke_in


def test_guest_that_freezes_late_is_still_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vmkeep.fabric.freeze_watchdog.RETRY_S", 0.01)
    guest = Guest(frozen=0)
    with watchdog(guest, limit_s=0.01) as watching:
        watching.freezing()
        assert guest.thawed.wait(30)
        guest.thawed.clear()
        guest.frozen = 1
        assert guest.thawed.wait(30)
        watching.frozen()
        assert watching.broke_in


def test_guest_that_never_froze_is_left_without_a_warning() -> None:
    guest = Guest(frozen=0)
    with watchdog(guest, limit_s=NEVER_S) as watching:
        watching.freezing()
    assert watching.state is FreezeState.THAWED
    assert not watching.warnings


def test_failure_within_the_freeze_thaws_at_once() -> None:
    guest = Guest()
    watching = watchdog(guest, limit_s=NEVER_S)
    watching.frozen()
    with pytest.raises(ZeroDivisionError), watching:
        raise ZeroDivisionError
    assert guest.thawed.is_set()
    assert watching.broke_in


def test_guest_that_cannot_be_reached_is_tried_again_and_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vmkeep.fabric.freeze_watchdog.RETRY_S", 0.01)
    guest = Guest(silent_times=2)
    with watchdog(guest, limit_s=0.01) as watching:
        watching.frozen()
        assert guest.thawed.wait(30)
    assert [warned.code for warned in watching.warnings] == ["GuestMayBeFrozen", "GuestThawedByHost"]


def test_untouched_guest_stays_untouched() -> None:
    guest = Guest()
    with watchdog(guest, limit_s=0.0) as watching:
        pass
    assert watching.state is FreezeState.UNTOUCHED
    assert not guest.thawed.is_set()
