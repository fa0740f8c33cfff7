"""Waits for a job and shows how far it is: a bar on a terminal, plain lines elsewhere."""

import sys
from collections.abc import Iterator

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from vmkeep.base.units import format_size
from vmkeep.cli.commands import INTERRUPTED
from vmkeep.cli.printing import short_job
from vmkeep.client.backup import Backup
from vmkeep.client.session import Json

_TENTH = 10


def wait_for(backup: Backup, job: Json) -> Json:
    """Return the job when it is over, showing its phases until then. Ctrl-C leaves the job running."""
    try:
        updates = backup.watch(job)
        return _draw(updates) if sys.stderr.isatty() else _print_lines(updates)
    except KeyboardInterrupt:
        name = short_job(job["name"])
        typer.echo(f"\nJob {name} goes on without you. Follow it: vmkeep job wait {name}", err=True)
        raise typer.Exit(INTERRUPTED) from None


def _draw(updates: Iterator[Json]) -> Json:
    job: Json = {}
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[percent]}"),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[details]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bars: dict[str, TaskID] = {}
        for job in updates:
            for task in _begun(job):
                name = task["taskId"]
                if name not in bars:
                    bars[name] = progress.add_task(name, percent="", details="")
                _move(progress, bars[name], task)
    return job


def _move(progress: Progress, bar: TaskID, task: Json) -> None:
    sizes = task.get("vmkeep") or {}
    progress.update(
        bar,
        completed=sizes.get("doneBytes") or (1 if task["status"] == "Completed" else 0),
        total=sizes.get("totalBytes") or (1 if task["status"] == "Completed" else None),
        percent=f"{task['progressPercentage']:.0f} %",
        details=task.get("taskExecutionDetails") or "",
    )


def _print_lines(updates: Iterator[Json]) -> Json:
    job: Json = {}
    printed: set[tuple[str, str, int]] = set()
    for job in updates:
        for task in _begun(job):
            line = (task["taskId"], task["status"], int(task["progressPercentage"]) // _TENTH)
            if line not in printed:
                printed.add(line)
                typer.echo(_line(task), err=True)
    return job


def _line(task: Json) -> str:
    sizes = task.get("vmkeep") or {}
    amount = ""
    if sizes.get("totalBytes"):
        done, total = format_size(sizes["doneBytes"]), format_size(sizes["totalBytes"])
        amount = f" {task['progressPercentage']:.0f} % ({done} of {total})"
    details = task.get("taskExecutionDetails")
    return f"{task['taskId']}: {task['status']}{amount}" + (f" - {details}" if details else "")


def _begun(job: Json) -> list[Json]:
    tasks = job["properties"]["extendedInfo"]["tasksList"]
    return [task for task in tasks if task["status"] != "NotStarted"]
