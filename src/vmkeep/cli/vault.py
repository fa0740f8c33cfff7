"""`vmkeep vault`: where backups are kept."""

from typing import Annotated

import typer

from vmkeep.cli.commands import example, group
from vmkeep.cli.connection import connect
from vmkeep.cli.options import Output, OutputOption
from vmkeep.cli.printing import Column, print_facts, print_json, print_list
from vmkeep.client.session import Json

app = group("Make, look at and delete vaults.")
NameArgument = Annotated[str, typer.Argument(help="Name of the vault.")]
_COLUMNS: list[Column] = [
    ("Name", lambda vault: vault["name"]),
    ("Resource group", lambda vault: vault["id"].split("/")[4]),
    ("Repository", lambda vault: vault["properties"]["vmkeep"]["repositoryUrl"]),
]


@app.command(
    epilog=example("vmkeep vault create main", "vmkeep vault create off --repository s3://bucket/vmkeep")
)
def create(
    context: typer.Context,
    name: NameArgument,
    repository: Annotated[
        str | None,
        typer.Option(help="Folder or s3:// URL of the repository; default: below the state folder."),
    ] = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Make a vault with its repository and the policies DefaultPolicy and EnhancedPolicy."""
    _print(connect(context).create_vault(name, repository), output)


@app.command("list", epilog=example("vmkeep vault list"))
def list_vaults(context: typer.Context, output: OutputOption = Output.TABLE) -> None:
    """List all vaults."""
    empty = "There is no vault yet. Make one: vmkeep vault create main"
    print_list(output, _COLUMNS, connect(context).vaults(), empty=empty)


@app.command(epilog=example("vmkeep vault show main"))
def show(context: typer.Context, name: NameArgument, output: OutputOption = Output.TABLE) -> None:
    """Show one vault and what it protects."""
    backup = connect(context)
    vault = backup.vault(name)
    vms = [item["properties"]["friendlyName"] for item in backup.items(vault)]
    _print(vault, output, ("Protects", ", ".join(vms) or "nothing yet"))


@app.command(epilog=example("vmkeep vault delete main"))
def delete(context: typer.Context, name: NameArgument, output: OutputOption = Output.TABLE) -> None:
    """Delete a vault that protects nothing any more. Its repository's folder stays where it is."""
    backup = connect(context)
    vault = backup.vault(name)
    backup.delete(vault)
    if output is Output.JSON:
        print_json({"deleted": vault["id"]})
        return
    typer.echo(f"Vault '{vault['name']}' is deleted.")


def _print(vault: Json, output: Output, *more: tuple[str, str]) -> None:
    facts = [(title, value(vault)) for title, value in _COLUMNS]
    print_facts(output, [*facts, ("Id", vault["id"]), *more], vault)
