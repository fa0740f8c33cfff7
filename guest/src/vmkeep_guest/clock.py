"""The only place in the extension that reads the wall clock."""

import time

_TICKS_PER_SECOND = 10000000
_EPOCH_IN_TICKS_SECONDS = 62135596800  # from 0001-01-01 to 1970-01-01


def now() -> float:
    """Return seconds since 1970 by the guest's clock."""
    return time.time()  # noqa: TID251 - this is the one place


def stamp(seconds: float) -> str:
    """Return a time in UTC as `2026-01-01T00:00:00Z`."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def from_ticks(ticks: int) -> float:
    """Return the seconds since 1970 for .NET ticks: 100 ns since 0001-01-01."""
    return ticks / _TICKS_PER_SECOND - _EPOCH_IN_TICKS_SECONDS
