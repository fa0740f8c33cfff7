"""Which connections get in: counted before anything is read from them."""

from collections import Counter
from dataclasses import dataclass

from vmkeep.base.clock import Clock
from vmkeep.fabric.wire.identity import Position
from vmkeep.fabric.wire.limits import WireLimits

REMEMBERED_POSITIONS = 1024


@dataclass(slots=True)
class _Tally:
    """One position: open connections, and how many more it may open right now."""

    open: int
    allowance: float
    refilled: float


class Admission:
    """Counts connections per position and per bridge. Event loop only."""

    def __init__(self, limits: WireLimits, clock: Clock) -> None:
        self._limits = limits
        self._clock = clock
        self._tallies: dict[Position, _Tally] = {}
        self._open: Counter[str] = Counter()

    def enter(self, position: Position) -> bool:
        """Count a new connection in; False when it must be closed instead."""
        tally = self._tally(position)
        if tally.allowance < 1 or tally.open >= self._limits.connections_per_position:
            return False
        tally.allowance -= 1
        if self._open[position.bridge] >= self._limits.connections_per_bridge:
            return False
        tally.open += 1
        self._open[position.bridge] += 1
        return True

    def leave(self, position: Position) -> None:
        """Count a connection out that `enter` let in."""
        self._tallies[position].open -= 1
        self._open[position.bridge] -= 1

    def _tally(self, position: Position) -> _Tally:
        now = self._clock.monotonic()
        tally = self._tallies.get(position)
        if tally is None:
            self._forget_idle()
            tally = self._tallies[position] = _Tally(0, self._limits.connect_burst, now)
        refill = (now - tally.refilled) * self._limits.connects_per_s
        tally.allowance = min(self._limits.connect_burst, tally.allowance + refill)
        tally.refilled = now
        return tally

    def _forget_idle(self) -> None:
        if len(self._tallies) >= REMEMBERED_POSITIONS:
            self._tallies = {position: tally for position, tally in self._tallies.items() if tally.open}
