"""`vmkeep`: the root command."""

from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from vmkeep.cli import (
    doctor,
    fabric,
    item,
    job,
    keyvault,
    keyvault_key,
    keyvault_secret,
    lock,
    policy,
    protection,
    recoverypoint,
    repository,
    resource,
    restore,
    restore_point,
    up,
    vault,
    vm,
)
from vmkeep.cli.commands import group

app = group("Back up, restore and diagnose running VMs on QEMU/KVM, with Azure Backup's words.")
app.command(name="up", epilog=up.EPILOG)(up.up)
app.command(name="doctor", epilog=doctor.EPILOG)(doctor.doctor)
app.add_typer(vm.app, name="vm")
app.add_typer(fabric.app, name="fabric")
app.add_typer(vault.app, name="vault")
app.add_typer(policy.app, name="policy")
app.add_typer(protection.app, name="protection")
app.add_typer(item.app, name="item")
app.add_typer(job.app, name="job")
app.add_typer(recoverypoint.app, name="recoverypoint")
app.add_typer(restore.app, name="restore")
app.add_typer(restore_point.app, name="restore-point")
app.add_typer(repository.app, name="repository")
keyvault.app.add_typer(keyvault_key.app, name="key")
keyvault.app.add_typer(keyvault_secret.app, name="secret")
app.add_typer(keyvault.app, name="keyvault")
app.add_typer(lock.app, name="lock")
app.add_typer(resource.app, name="resource")
app.add_typer(resource.group_app, name="group")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"vmkeep {version('vmkeep')}")
        raise typer.Exit


@app.callback()
def root(
    context: typer.Context,
    client_file: Annotated[
        Path | None,
        typer.Option(
            envvar="VMKEEP_CLIENT_FILE",
            help="File that says where the service is and how to log in; 'vmkeep up' writes it.",
        ),
    ] = None,
    show_version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Hold what all commands share."""
    del show_version  # handled by its callback
    context.obj = client_file


def main() -> None:
    """Run the command line."""
    app()
