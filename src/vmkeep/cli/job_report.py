"""What people want to know of a job: tasks, measures, warnings, and why it failed."""

from collections.abc import Sequence

import typer

from vmkeep.base.units import format_size
from vmkeep.cli.evidence import print_evidence
from vmkeep.cli.options import Output
from vmkeep.cli.printing import local_time, print_facts, print_json
from vmkeep.cli.progress import wait_for
from vmkeep.client.backup import Backup
from vmkeep.client.session import Json

_ENDED_WELL = {"Completed", "CompletedWithWarnings", "InProgress", "Cancelling"}


def follow(backup: Backup, vault: Json, job_id: str, output: Output, *, wait: bool) -> None:
    """Print a job that was just started; wait for its end unless told not to. Exits with 1 when it failed."""
    job = backup.job(vault, job_id)
    report(wait_for(backup, job) if wait else job, output)


def report(job: Json, output: Output, diagnoses: Sequence[Json] = ()) -> None:
    """Print all about a job, with the evidence of its newest diagnosis; exits with 1 when it failed or was cancelled."""
    if output is Output.JSON:
        print_json(job)
    else:
        print_facts(output, facts(job), job)
        for diagnosis in diagnoses[:1]:
            print_evidence(diagnosis, output)
    if job["properties"]["status"] not in _ENDED_WELL:
        raise typer.Exit(1)


def facts(job: Json) -> list[tuple[str, str]]:
    """Return names and values, in reading order."""
    properties = job["properties"]
    bag = dict(properties["extendedInfo"]["propertyBag"])
    bag.pop("VM Name", None)
    return [
        ("Job", job["name"]),
        ("VM", properties["entityFriendlyName"]),
        ("Operation", properties["operation"]),
        ("Status", properties["status"]),
        ("Asked by", properties["vmkeep"]["reason"]),
        ("Started", local_time(properties["startTime"])),
        ("Ended", local_time(properties["endTime"])),
        ("Duration", duration(properties["duration"])),
        *[(task["taskId"], _task(task)) for task in properties["extendedInfo"]["tasksList"]],
        *[(name, measure(name, value)) for name, value in bag.items()],
        *[("Warning", _warning(warning)) for warning in properties["vmkeep"]["warnings"]],
        *_why(properties["vmkeep"]["error"]),
    ]


def duration(iso: str) -> str:
    """Return an ISO duration of the API as people write it: `PT1H2M3.46S` → `1h 2m 3.5s`."""
    larger, _, seconds = iso.removeprefix("PT").replace("H", "h ").replace("M", "m ").rpartition(" ")
    return f"{larger} {float(seconds.removesuffix('S')):.1f}s".strip()


def measure(name: str, value: str) -> str:
    """Return a measure with its unit; names say which: `Bytes Read`, `Frozen Seconds`."""
    words = name.lower().split()
    try:
        if "bytes" in words:
            return format_size(float(value))
        if "seconds" in words:
            return f"{float(value):.3f} s"
    except ValueError:
        pass
    return value


def _task(task: Json) -> str:
    parts = [task["status"]]
    if task["status"] != "NotStarted":
        parts.append(duration(task["duration"]))
    if task["vmkeep"]["totalBytes"]:
        done, total = (format_size(task["vmkeep"][name]) for name in ("doneBytes", "totalBytes"))
        parts.append(f"{done} of {total}")
    if task["taskExecutionDetails"]:
        parts.append(task["taskExecutionDetails"])
    return ", ".join(parts)


def _problem(problem: Json) -> str:
    return f"{problem['code']}: {problem['message']}"


def _warning(warning: Json) -> str:
    return f"{_problem(warning)} {warning['advice']}".strip()


def _why(error: Json | None) -> list[tuple[str, str]]:
    if error is None:
        return []
    return [("Error", _problem(error)), ("What to do", error["advice"])]
