"""The only place that reads the wall clock."""

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """What time it is, and a steady counter to measure with."""

    def now(self) -> datetime:
        """Return the current time, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds on a counter that never goes back."""
        ...

    def sleep(self, seconds: float) -> None:
        """Block this thread for `seconds`."""
        ...


def from_seconds(seconds: int) -> datetime:
    """Return the time that is so many seconds after 1970, aware, in UTC."""
    return datetime.fromtimestamp(seconds, UTC)


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Return the current time, aware, in UTC."""
        return datetime.now(UTC)  # noqa: TID251 - this is the one place

    def monotonic(self) -> float:
        """Return seconds on the machine's monotonic counter."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Block this thread for `seconds`."""
        time.sleep(seconds)


class FakeClock:
    """A clock that moves only when told to; `sleep` moves it too."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._now = start
        self._elapsed = 0.0

    def now(self) -> datetime:
        """Return the time this clock was last moved to."""
        return self._now

    def monotonic(self) -> float:
        """Return seconds this clock was moved forward since it was made."""
        return self._elapsed

    def sleep(self, seconds: float) -> None:
        """Move the clock forward by `seconds` at once."""
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        """Move the clock forward by `seconds`."""
        self._now += timedelta(seconds=seconds)
        self._elapsed += seconds
