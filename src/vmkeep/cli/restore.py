"""`vmkeep restore`: a new VM, or disks in a folder."""

from pathlib import Path
from typing import Annotated

import typer

from vmkeep.cli.commands import example, group
from vmkeep.cli.connection import connect
from vmkeep.cli.job_report import follow
from vmkeep.cli.options import (
    NoWaitOption,
    Output,
    OutputOption,
    PointOption,
    TierOption,
    VaultOption,
    VmOption,
)

app = group("Restore a VM or its disks.")


@app.command(
    "vm",
    epilog=example(
        "vmkeep restore vm --vm web01 --name web01-copy",
        "vmkeep restore vm --vm web01 --recovery-point latest --name web01-copy --tier vault",
    ),
)
def restore_vm(
    context: typer.Context,
    vm: VmOption,
    name: Annotated[str, typer.Option(help="Name of the new VM.")],
    recovery_point: PointOption = "latest",
    network: Annotated[
        str | None, typer.Option(help="Network of the new VM; default: as in the backup.")
    ] = None,
    tier: TierOption = None,
    vault: VaultOption = None,
    no_wait: NoWaitOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Make a new VM out of a recovery point. It is defined, not started; the original is not touched."""
    backup = connect(context)
    found, item = backup.item(vm, vault)
    point = backup.point(item, recovery_point)
    job = backup.restore_vm(point, item, name, network=network, tier=tier and tier.wire)
    follow(backup, found, job, output, wait=not no_wait)


@app.command(
    "disks",
    epilog=example(
        "vmkeep restore disks --vm web01 --recovery-point latest --to /srv/out --format raw --disk vda"
    ),
)
def restore_disks(
    context: typer.Context,
    vm: VmOption,
    to: Annotated[
        Path,
        typer.Option("--to", help="Folder on the host of the service; existing files are never overwritten."),
    ],
    recovery_point: PointOption = "latest",
    disk_format: Annotated[str, typer.Option("--format", help="qcow2 or raw.")] = "qcow2",
    disk: Annotated[
        list[str] | None, typer.Option("--disk", help="Only this disk, such as vda; may be repeated.")
    ] = None,
    tier: TierOption = None,
    vault: VaultOption = None,
    no_wait: NoWaitOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Write the disks of a recovery point to a folder."""
    backup = connect(context)
    found, item = backup.item(vm, vault)
    point = backup.point(item, recovery_point)
    job = backup.restore_disks(
        point, item, str(to.absolute()), disk_format, disks=disk or [], tier=tier and tier.wire
    )
    follow(backup, found, job, output, wait=not no_wait)
