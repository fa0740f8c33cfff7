"""Nobody's guest stays frozen: a thread of its own thaws it when the one who froze it does not."""

import threading
from collections.abc import Callable
from enum import StrEnum
from types import TracebackType
from typing import Self

import structlog

from vmkeep.base.clock import Clock
from vmkeep.base.errors import VmkeepError
from vmkeep.model.restore_point import Warned

log = structlog.get_logger()

RETRY_S = 2.0
GIVE_UP_S = 600.0
"""A guest that does not answer for so long has other troubles than a freeze."""


class FreezeState(StrEnum):
    """What is known of the guest's file systems."""

    UNTOUCHED = "untouched"
    FREEZING = "freezing"
    """Maybe frozen: who freezes may have died before he could say so."""
    FROZEN = "frozen"
    THAWED = "thawed"
    FORCED = "forced"
    """Thawed by the watchdog."""


_MAYBE_FROZEN = {FreezeState.FREEZING, FreezeState.FROZEN}


class FreezeWatchdog:
    """Watches one freeze. Leaving the `with` block while the guest may be frozen thaws it at once.

    `thaw` returns how many file systems it thawed and raises VmkeepError when it cannot reach the guest.
    """

    def __init__(self, vm_name: str, thaw: Callable[[], int], *, limit_s: float, clock: Clock) -> None:
        self._vm_name = vm_name
        self._thaw = thaw
        self._limit_s = limit_s
        self._clock = clock
        self._changing = threading.Lock()
        self._forcing = threading.Lock()
        self._over = threading.Event()
        self._frozen_at = 0.0
        self.state = FreezeState.UNTOUCHED
        self.frozen_s: float | None = None
        self.warnings: tuple[Warned, ...] = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._force(leaving=True)

    def freezing(self) -> None:
        """Note that the guest may be frozen from now on, and watch it."""
        with self._changing:
            if self.state is FreezeState.UNTOUCHED:
                self.state = FreezeState.FREEZING
                self._frozen_at = self._clock.monotonic()
                name = f"freeze-watchdog-{self._vm_name}"
                threading.Thread(target=self._watch, name=name, daemon=True).start()

    def frozen(self) -> None:
        """Note that the guest is frozen; `freezing` need not have been said before."""
        self.freezing()
        with self._changing:
            if self.state is FreezeState.FREEZING:
                self.state = FreezeState.FROZEN

    def thawed(self) -> None:
        """Note that the guest runs again; later signs change nothing."""
        self._end(FreezeState.THAWED)

    @property
    def broke_in(self) -> bool:
        """Whether the guest was thawed by force before this moment: what was captured since is not consistent."""
        with self._forcing:  # wait for a thaw under way
            return self.state is FreezeState.FORCED

    def _end(self, state: FreezeState) -> None:
        with self._changing:
            if self.state in _MAYBE_FROZEN:
                self.state = state
                self.frozen_s = self._clock.monotonic() - self._frozen_at
            self._over.set()

    def _watch(self) -> None:
        wait_s, waited_s = self._limit_s, 0.0
        while not self._over.wait(wait_s):
            waited_s += wait_s
            if waited_s > GIVE_UP_S:
                log.error("fabric.freeze.gave_up", vm=self._vm_name, waited_s=waited_s)
                return
            log.warning("fabric.freeze.too_long", vm=self._vm_name, limit_s=self._limit_s)
            self._force()
            wait_s = RETRY_S

    def _force(self, *, leaving: bool = False) -> None:
        with self._forcing:
            if self.state in _MAYBE_FROZEN:
                self._thaw_now(leaving=leaving)

    def _thaw_now(self, *, leaving: bool) -> None:
        try:
            count = self._thaw()
        except VmkeepError as error:
            log.warning("fabric.freeze.cannot_thaw", vm=self._vm_name, code=error.code, error=str(error))
            self._warn("GuestMayBeFrozen", f"VM '{self._vm_name}' could not be thawed from the host: {error}")
            return
        if count == 0:
            if leaving or self.state is FreezeState.FROZEN:
                self.thawed()  # it had thawed itself; only the news of it are late
            return
        self._end(FreezeState.FORCED)
        log.warning("fabric.freeze.forced", vm=self._vm_name, file_systems=count, frozen_s=self.frozen_s)
        self._warn(
            "GuestThawedByHost",
            f"VM '{self._vm_name}' was still frozen after {self.frozen_s or 0:.1f} s "
            f"(promised: at most {self._limit_s:g} s); the host thawed {count} file systems",
        )

    def _warn(self, code: str, message: str) -> None:
        if code not in {warned.code for warned in self.warnings}:
            self.warnings = (*self.warnings, Warned(code, message))
