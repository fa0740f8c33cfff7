"""Answers on the screen: tables for people, JSON for programs."""

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

from rich.console import Console
from rich.table import Table

from vmkeep.cli.options import Output
from vmkeep.client.session import Json

_WIDE = 240
Column = tuple[str, Callable[[Json], str]]


def console() -> Console:
    """Return a console on stdout; lines are not wrapped unless people read them."""
    return Console(width=None if sys.stdout.isatty() else _WIDE, highlight=False)


def print_list(output: Output, columns: Sequence[Column], rows: Iterable[Json], *, empty: str) -> None:
    """Print resources as a table, or as a JSON array."""
    found = list(rows)
    if output is Output.JSON:
        print_json(found)
        return
    if not found:
        console().print(empty, markup=False)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title, _ in columns:
        table.add_column(title, overflow="fold")
    for row in found:
        table.add_row(*(show(row) for _, show in columns))
    console().print(table, markup=False)


def print_facts(output: Output, facts: Sequence[tuple[str, str]], resource: Json) -> None:
    """Print one resource as names and values, or as JSON; empty values are left out."""
    if output is Output.JSON:
        print_json(resource)
        return
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in facts:
        if value:
            table.add_row(name, value)
    console().print(table, markup=False)


def print_json(value: object) -> None:
    """Print a value as JSON."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def local_time(text: str | None) -> str:
    """Return a time of the API in local time; empty when there is none yet."""
    if not text or text.startswith("0001-"):
        return ""
    return datetime.fromisoformat(text).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def short_job(job_id: str) -> str:
    """Return the part of a job's id that people type."""
    return job_id[:8]
