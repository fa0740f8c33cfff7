"""`vmkeep doctor`: what a guest's own files say about its agent."""

import os
from pathlib import Path
from typing import Annotated

import typer

from vmkeep.base.clock import SystemClock
from vmkeep.base.errors import InvalidValue
from vmkeep.base.units import format_size
from vmkeep.cli.commands import example
from vmkeep.cli.connection import connect
from vmkeep.cli.options import Output, OutputOption, VmOption
from vmkeep.cli.printing import print_facts

EPILOG = example("vmkeep doctor --vm web01 --collect /tmp")


def doctor(
    context: typer.Context,
    vm: VmOption,
    collect: Annotated[
        Path,
        typer.Option(
            help="Folder for an archive of the agent's logs, configuration and state, secrets taken out."
        ),
    ],
    output: OutputOption = Output.TABLE,
) -> None:
    """Collect what the VM agent left in a guest, read from outside: the newest restore point, or a VM that is off."""
    backup = connect(context)
    machine = backup.machine(vm)
    data = backup.collect(machine)
    archive = collect.absolute() / f"{machine['name']}-{SystemClock().now():%Y%m%dT%H%M%SZ}.tar.gz"
    _write_private(archive, data)
    facts = [("Archive", str(archive)), ("Size", format_size(len(data)))]
    print_facts(output, facts, {"archive": str(archive), "sizeBytes": len(data)})


def _write_private(path: Path, data: bytes) -> None:
    """Write a new file that only its owner may read; raises InvalidValue."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as archive:
            archive.write(data)
    except OSError as error:
        raise InvalidValue(
            "folder", str(path.parent), f"{path.name} cannot be written: {error.strerror}"
        ) from error
