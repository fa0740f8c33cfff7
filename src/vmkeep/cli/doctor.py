"""`vmkeep doctor`: logs and evidence of a VM whose backups need looking at."""

from pathlib import Path
from typing import Annotated

import typer

from vmkeep.cli.collect import collect_logs
from vmkeep.cli.commands import example
from vmkeep.cli.connection import connect
from vmkeep.cli.options import Output, OutputOption, VmOption

EPILOG = example("vmkeep doctor --vm web01 --collect /tmp")


def doctor(
    context: typer.Context,
    vm: VmOption,
    collect: Annotated[
        Path,
        typer.Option(
            help="Folder for an archive of logs, configuration and state of both sides, secrets taken out."
        ),
    ],
    output: OutputOption = Output.TABLE,
) -> None:
    """Collect logs and evidence of a VM: from the running guest, else from its newest restore point or its disks."""
    collect_logs(connect(context), vm, collect, output)
