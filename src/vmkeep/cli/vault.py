"""`vmkeep vault`: where backups are kept."""

from typing import Annotated

import typer

from vmkeep.cli.commands import example, group
from vmkeep.cli.connection import connect
from vmkeep.cli.options import Output, OutputOption
from vmkeep.cli.printing import Column, print_facts, print_json, print_list
from vmkeep.client.session import Json

app = group("Make, look at and delete vaults.")
encryption_app = group("Choose the key that opens a vault.")
app.add_typer(encryption_app, name="encryption")
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
    encryption_key_id: Annotated[
        str | None, typer.Option(help="Key of a key vault that opens the vault; default: the master key.")
    ] = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Make a vault with its repository and the policies DefaultPolicy and EnhancedPolicy."""
    _print(connect(context).create_vault(name, repository, encryption_key_id), output)


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


@encryption_app.command("show", epilog=example("vmkeep vault encryption show main"))
def show_encryption(context: typer.Context, name: NameArgument, output: OutputOption = Output.TABLE) -> None:
    """Show which key opens a vault."""
    backup = connect(context)
    _print_encryption(backup.encryption(backup.vault(name)), output)


@encryption_app.command(
    "update",
    epilog=example(
        "vmkeep vault encryption update main --encryption-key-id https://kv1.vault.localhost:8443/keys/backup",
        "vmkeep vault encryption update main --master-key",
    ),
)
def update_encryption(
    context: typer.Context,
    name: NameArgument,
    encryption_key_id: Annotated[
        str | None,
        typer.Option(
            help="Key of a key vault, here or elsewhere; without a version its rotation is followed."
        ),
    ] = None,
    master_key: Annotated[
        bool, typer.Option("--master-key", help="Go back to the service's own master key.")
    ] = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Choose the key that opens a vault. Its data key is wrapped anew; nothing that is stored is written again.

    The backup service needs the key permissions get, wrapKey and unwrapKey:
    vmkeep keyvault set-policy --name KEY-VAULT --backup-service. Without them backups and restores fail at once.
    """
    if (encryption_key_id is None) is not master_key:
        raise typer.BadParameter("name either --encryption-key-id or --master-key")
    backup = connect(context)
    _print_encryption(backup.set_encryption(backup.vault(name), encryption_key_id), output)


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


def _print_encryption(encryption: Json, output: Output) -> None:
    facts = encryption["properties"]
    key = facts.get("keyUri")
    lines = [
        ("Opened by", key or "the master key of this installation"),
        ("Version in use", facts["vmkeep"]["keyInUse"] if key else ""),
    ]
    print_facts(output, lines, encryption)
