"""A policy's year: a table of what is kept, and a calendar."""

from calendar import Calendar, day_abbr, month_name
from collections.abc import Iterable, Sequence
from datetime import date, datetime

from rich.columns import Columns
from rich.table import Table
from rich.text import Text

from vmkeep.cli.printing import console
from vmkeep.client.session import Json
from vmkeep.model.preview import YEAR, PreviewedPoint

_STYLES = {
    "yearly": "bold magenta",
    "monthly": "bold blue",
    "weekly": "bold cyan",
    "daily": "green",
    "on demand": "green",
}
_MARKS = {"yearly": "Y", "monthly": "M", "weekly": "W", "daily": "D", "on demand": "D"}
_GONE, _NONE = "·", " "


def preview_json(points: Iterable[PreviewedPoint]) -> list[Json]:
    """Return the points as JSON values."""
    return [
        {
            "time": point.time.isoformat(),
            "keptUntil": point.kept.until.astimezone(point.time.tzinfo).isoformat(),
            "rules": list(point.kept.rules),
        }
        for point in points
    ]


def print_preview(points: Sequence[PreviewedPoint], now: datetime) -> None:
    """Print which points are left after a year, by rule, and the year's calendar."""
    end = now + YEAR
    left = [point for point in points if point.lives_at(end)]
    out = console()
    out.print(
        f"{len(points)} backups in the next year; {len(left)} points left on {end:%Y-%m-%d}:", markup=False
    )
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("Kept by", "Points", "Oldest", "Newest kept until"):
        table.add_column(title)
    for rule in _MARKS:
        kept = [point for point in left if _strongest(point) == rule]
        if kept:
            until = max(point.kept.until for point in kept)
            table.add_row(rule, str(len(kept)), f"{kept[0].time:%Y-%m-%d}", f"{until:%Y-%m-%d}")
    out.print(table)
    out.print()
    days = _days(points, end)
    first, last = min(days), max(days)
    months = sorted({(day.year, day.month) for day in days})
    out.print(Columns([_month(year, month, days) for year, month in months], padding=(1, 3)))
    marks = "Y M W D: left then, by its longest rule   ·: gone by then"
    out.print(f"{first:%Y-%m-%d} to {last:%Y-%m-%d}   {marks}", markup=False)


def _strongest(point: PreviewedPoint) -> str:
    return next(rule for rule in _MARKS if rule in point.kept.rules)


def _days(points: Iterable[PreviewedPoint], end: datetime) -> dict[date, str]:
    """Return each day's strongest rule among its points that are left, empty when none is."""
    order = [*_MARKS, ""]
    days: dict[date, str] = {}
    for point in points:
        rule = _strongest(point) if point.lives_at(end) else ""
        day = point.time.date()
        days[day] = min(rule, days.get(day, ""), key=order.index)
    return days


def _month(year: int, month: int, days: dict[date, str]) -> Table:
    table = Table(title=f"{month_name[month]} {year}", box=None, padding=(0, 1, 0, 0), header_style="dim")
    for name in day_abbr:
        table.add_column(name[:2])
    for week in Calendar().monthdatescalendar(year, month):
        table.add_row(*(_cell(day, days) if day.month == month else "" for day in week))
    return table


def _cell(day: date, days: dict[date, str]) -> Text:
    rule = days.get(day)
    if rule is None:
        return Text(_NONE)
    return Text(_MARKS[rule], style=_STYLES[rule]) if rule else Text(_GONE, style="dim")
