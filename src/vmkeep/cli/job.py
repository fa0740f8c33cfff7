"""`vmkeep job`: what runs and what has run."""

from typing import Annotated

import typer

from vmkeep.cli.commands import example, group
from vmkeep.cli.connection import connect
from vmkeep.cli.job_report import duration, report
from vmkeep.cli.options import Output, OutputOption, VaultOption
from vmkeep.cli.printing import Column, local_time, print_list, short_job
from vmkeep.cli.progress import wait_for

app = group("Look at jobs, wait for them, stop them.")
JobArgument = Annotated[str, typer.Argument(help="Id of the job; its first characters are enough.")]
_COLUMNS: list[Column] = [
    ("Job", lambda job: short_job(job["name"])),
    ("VM", lambda job: job["properties"]["entityFriendlyName"]),
    ("Operation", lambda job: job["properties"]["operation"]),
    ("Status", lambda job: job["properties"]["status"]),
    ("Started", lambda job: local_time(job["properties"]["startTime"])),
    ("Duration", lambda job: duration(job["properties"]["duration"])),
]


@app.command("list", epilog=example("vmkeep job list", "vmkeep job list --status Failed --vault main"))
def list_jobs(
    context: typer.Context,
    vault: VaultOption = None,
    status: Annotated[
        str | None, typer.Option(help="Only jobs in this state: InProgress, Completed, Failed, …")
    ] = None,
    operation: Annotated[str | None, typer.Option(help="Only jobs of this kind: Backup, Restore, …")] = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """List jobs, newest first."""
    conditions = {"status": status, "operation": operation}
    given = {key: value for key, value in conditions.items() if value}
    print_list(output, _COLUMNS, connect(context).jobs(vault, given), empty="There are no such jobs.")


@app.command(epilog=example("vmkeep job show 3f2a"))
def show(context: typer.Context, job: JobArgument, output: OutputOption = Output.TABLE) -> None:
    """Show a job: tasks, measures, warnings, and why it failed. Exits with 1 when it failed."""
    backup = connect(context)
    found = backup.find_job(job)
    report(found, output, backup.diagnoses(found))


@app.command(epilog=example("vmkeep job wait 3f2a"))
def wait(context: typer.Context, job: JobArgument, output: OutputOption = Output.TABLE) -> None:
    """Wait until a job is over, then show it. Exits with 1 when it failed."""
    backup = connect(context)
    report(wait_for(backup, backup.find_job(job)), output)


@app.command(epilog=example("vmkeep job stop 3f2a"))
def stop(context: typer.Context, job: JobArgument, output: OutputOption = Output.TABLE) -> None:
    """Ask a running job to stop; what it made is removed."""
    backup = connect(context)
    found = backup.find_job(job)
    backup.stop_job(found)
    report(backup.session.get(found["id"]), output)
