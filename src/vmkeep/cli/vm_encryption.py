"""`vmkeep vm encryption`: where the keys of a VM's encrypted disks are kept."""

from typing import Annotated

import typer

from vmkeep.cli.commands import example, group
from vmkeep.cli.connection import connect
from vmkeep.cli.options import Output, OutputOption
from vmkeep.cli.printing import Column, print_list
from vmkeep.client.session import Json

app = group("Encrypted VMs: where their keys are kept.")

NameArgument = Annotated[str, typer.Argument(help="Name of the VM.")]


def _disks(machine: Json) -> list[Json]:
    return [disk for disk in machine["properties"]["vmkeep"]["disks"] if disk["encrypted"]]


def _of_key(disk: Json, member: str) -> str:
    return disk["key"][member] if disk["key"] else "not named"


_COLUMNS: list[Column] = [
    ("Disk", lambda disk: disk["name"]),
    ("LUN", lambda disk: str(disk["lun"])),
    ("Key vault", lambda disk: _of_key(disk, "keyVault")),
    ("Secret", lambda disk: _of_key(disk, "secret")),
]


def _print(machine: Json, output: Output) -> None:
    empty = f"VM '{machine['name']}' has no encrypted disk."
    print_list(output, _COLUMNS, _disks(machine), empty=empty)


@app.command(
    "set",
    epilog=example(
        "vmkeep vm encryption set web01 --disk-encryption-keyvault kv1 --secret web01-disk",
        "vmkeep vm encryption set web01 --disk-encryption-keyvault kv1 --secret data-disk --disk vdb",
        "vmkeep vm encryption set web01 --secret https://kv1.vault.azure.net/secrets/web01-disk",
    ),
)
def set_keys(
    context: typer.Context,
    name: NameArgument,
    secret: Annotated[
        str, typer.Option(help="Name of the secret whose value is the disk's passphrase, or its URL.")
    ],
    key_vault: Annotated[
        str,
        typer.Option(
            "--disk-encryption-keyvault",
            help="Name of the key vault, or the URL of one elsewhere; not needed when the secret is named by its URL.",
        ),
    ] = "",
    disks: Annotated[
        list[str] | None,
        typer.Option("--disk", help="Name of a disk, once for each; default: all encrypted."),
    ] = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Say in which secret of a key vault the passphrase of encrypted disks is; the VM itself is not changed."""
    backup = connect(context)
    backup.set_disk_keys(name, key_vault=key_vault, secret=secret, disks=disks)
    _print(backup.machine(name), output)


@app.command(epilog=example("vmkeep vm encryption show web01"))
def show(context: typer.Context, name: NameArgument, output: OutputOption = Output.TABLE) -> None:
    """Show a VM's encrypted disks and where their keys are."""
    _print(connect(context).machine(name), output)
