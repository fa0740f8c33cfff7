"""Times and durations as Azure writes them."""

from datetime import UTC, datetime, timedelta

NOT_YET = "0001-01-01T00:00:00Z"
"""What Azure sends for a task that has not started or ended."""


def show_time(moment: datetime) -> str:
    """Return ISO 8601 in UTC with `Z`."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def find_time(moment: datetime | None) -> str | None:
    """Return the time as shown, or None."""
    return None if moment is None else show_time(moment)


def show_duration(duration: timedelta) -> str:
    """Return an ISO 8601 duration: `PT9.87S`, `PT1H0M3S`."""
    seconds = max(duration.total_seconds(), 0)
    hours, rest = divmod(seconds, 3600)
    minutes, seconds = divmod(rest, 60)
    larger = f"{hours:.0f}H{minutes:.0f}M" if hours else f"{minutes:.0f}M" if minutes else ""
    return f"PT{larger}{seconds:.6f}".rstrip("0").rstrip(".") + "S"
