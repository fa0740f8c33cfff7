"""`vmkeep up`: becomes the service. The command line itself never loads it."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from vmkeep.cli.commands import example

EPILOG = example("vmkeep up", "vmkeep up --state-dir /srv/vmkeep --port 9443")


def up(
    config: Annotated[Path | None, typer.Option(help="TOML file with settings.")] = None,
    state_dir: Annotated[Path | None, typer.Option(help="Folder for all that the service keeps.")] = None,
    listen: Annotated[str | None, typer.Option(help="Address the API listens on.")] = None,
    port: Annotated[int | None, typer.Option(help="TCP port the API listens on; 0 picks a free one.")] = None,
    libvirt_uri: Annotated[str | None, typer.Option(help="The hypervisor to protect.")] = None,
    repository: Annotated[str | None, typer.Option(help="Where new vaults store data.")] = None,
    log_format: Annotated[str | None, typer.Option(help="console, json or auto.")] = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error.")] = None,
) -> None:
    """Run the service: API, wire server, backups, all in this process, until Ctrl-C or SIGTERM.

    Every setting can also come from a TOML file or the environment: docs/configuration.md.
    """
    flags = {
        "VMKEEP_CONFIG": config,
        "VMKEEP_STATE_DIR": state_dir,
        "VMKEEP_LISTEN": listen,
        "VMKEEP_PORT": port,
        "VMKEEP_LIBVIRT_URI": libvirt_uri,
        "VMKEEP_REPOSITORY": repository,
        "VMKEEP_LOG_FORMAT": log_format,
        "VMKEEP_LOG_LEVEL": log_level,
    }
    given = {name: str(value) for name, value in flags.items() if value is not None}
    os.execve(sys.executable, [sys.executable, "-m", "vmkeep.server"], {**os.environ, **given})  # noqa: S606 - no shell wanted
