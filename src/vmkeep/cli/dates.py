"""Dates as people type them, read strictly."""

from datetime import UTC, date, datetime, time

from vmkeep.base.errors import InvalidValue


def end_of_day(text: str) -> str:
    """Return the last second of a local day, written `2026-12-24`, as ISO 8601 in UTC; raises InvalidValue."""
    try:
        day = date.fromisoformat(text)
        if text != day.isoformat():
            raise ValueError(text)  # noqa: TRY301 - only one spelling is taken
    except ValueError as error:
        raise InvalidValue(
            what="date", value=text, why="write it as YYYY-MM-DD, such as 2026-12-24"
        ) from error
    last = datetime.combine(day, time(23, 59, 59)).astimezone()
    return last.astimezone(UTC).isoformat().replace("+00:00", "Z")
