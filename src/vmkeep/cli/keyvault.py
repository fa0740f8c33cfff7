"""`vmkeep keyvault`: key vaults and who may use them."""

from collections.abc import Sequence
from typing import Annotated

import typer

from vmkeep.cli.commands import example, group
from vmkeep.cli.connection import connect
from vmkeep.cli.options import Output, OutputOption, YesOption
from vmkeep.cli.printing import Column, local_time, print_facts, print_json, print_list
from vmkeep.client.key_vaults import BACKUP_SERVICE, KeyVaults
from vmkeep.client.session import Json

app = group("Keep keys and secrets, and say who may use them.")
NameOption = Annotated[str, typer.Option("--name", "-n", help="Name of the key vault.")]
ObjectOption = Annotated[str | None, typer.Option("--object-id", help="Client that gets or loses rights.")]
BackupServiceOption = Annotated[
    bool, typer.Option("--backup-service", help="The backups of this service, instead of --object-id.")
]
_FOR_BACKUPS = ("get", "wrapKey", "unwrapKey")


def _policies(key_vault: Json) -> str:
    return "\n".join(_policy(policy) for policy in key_vault["properties"]["accessPolicies"])


def _policy(policy: Json) -> str:
    who = "backup service" if policy["objectId"] == BACKUP_SERVICE else policy["objectId"]
    rights = [f"{kind} {', '.join(names)}" for kind, names in policy["permissions"].items() if names]
    return f"{who}: {'; '.join(rights) or 'nothing'}"


_COLUMNS: list[Column] = [
    ("Name", lambda one: one["name"]),
    ("Resource group", lambda one: one["id"].split("/")[4]),
    ("URL", lambda one: one["properties"]["vaultUri"]),
]
_DELETED: list[Column] = [
    ("Name", lambda one: one["name"]),
    ("Deleted", lambda one: local_time(one["properties"]["deletionDate"])),
    ("Gone for ever", lambda one: local_time(one["properties"]["scheduledPurgeDate"])),
]


@app.command(epilog=example("vmkeep keyvault create --name kv1"))
def create(
    context: typer.Context,
    name: NameOption,
    resource_group: Annotated[
        str | None, typer.Option("--resource-group", "-g", help="Resource group; default: that of the VMs.")
    ] = None,
    retention_days: Annotated[
        int, typer.Option(min=7, max=90, help="Days for which what is deleted can be recovered.")
    ] = 90,
    enable_purge_protection: Annotated[
        bool, typer.Option("--enable-purge-protection", help="Let nobody purge before those days are over.")
    ] = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Make a key vault in which you may do everything."""
    properties: Json = {"softDeleteRetentionInDays": retention_days}
    if enable_purge_protection:
        properties["enablePurgeProtection"] = True
    _print(_key_vaults(context).create(name, resource_group, properties), output)


@app.command("list", epilog=example("vmkeep keyvault list"))
def list_key_vaults(context: typer.Context, output: OutputOption = Output.TABLE) -> None:
    """List the key vaults."""
    empty = "There is no key vault yet. Make one: vmkeep keyvault create --name kv1"
    print_list(output, _COLUMNS, _key_vaults(context).key_vaults(), empty=empty)


@app.command(epilog=example("vmkeep keyvault show --name kv1"))
def show(context: typer.Context, name: NameOption, output: OutputOption = Output.TABLE) -> None:
    """Show a key vault and who may do what in it."""
    _print(_key_vaults(context).get(name), output)


@app.command(
    "set-policy",
    epilog=example(
        "vmkeep keyvault set-policy --name kv1 --backup-service",
        "vmkeep keyvault set-policy --name kv1 --object-id CLIENT --secret-permissions get --secret-permissions list",
    ),
)
def set_policy(
    context: typer.Context,
    name: NameOption,
    object_id: ObjectOption = None,
    backup_service: BackupServiceOption = False,
    key_permissions: Annotated[
        list[str] | None,
        typer.Option(
            help="What may be done with keys, once for each; with --backup-service get, wrapKey, unwrapKey."
        ),
    ] = None,
    secret_permissions: Annotated[
        list[str] | None, typer.Option(help="What may be done with secrets, once for each.")
    ] = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Say what a client, or the backup service, may do with keys or secrets; other clients keep their rights."""
    keys: Sequence[str] | None = key_permissions or (_FOR_BACKUPS if backup_service else None)
    said = {"keys": keys, "secrets": secret_permissions}
    rights = {kind: list(names) for kind, names in said.items() if names}
    if not rights:
        raise typer.BadParameter("name --key-permissions or --secret-permissions")
    _print(_key_vaults(context).set_policy(name, _identity(object_id, backup_service), rights), output)


@app.command("delete-policy", epilog=example("vmkeep keyvault delete-policy --name kv1 --backup-service"))
def delete_policy(
    context: typer.Context,
    name: NameOption,
    object_id: ObjectOption = None,
    backup_service: BackupServiceOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Take all rights of a client, or of the backup service, away."""
    _print(_key_vaults(context).delete_policy(name, _identity(object_id, backup_service)), output)


@app.command(epilog=example("vmkeep keyvault delete --name kv1"))
def delete(context: typer.Context, name: NameOption, output: OutputOption = Output.TABLE) -> None:
    """Delete a key vault; it can be recovered for its retention days. Vaults that its keys open stay shut meanwhile."""
    gone = _key_vaults(context).delete(name)
    _say(output, {"deleted": gone["id"]}, f"Key vault '{gone['name']}' is deleted and can be recovered.")


@app.command("list-deleted", epilog=example("vmkeep keyvault list-deleted"))
def list_deleted(context: typer.Context, output: OutputOption = Output.TABLE) -> None:
    """List the key vaults that can be recovered."""
    print_list(output, _DELETED, _key_vaults(context).deleted(), empty="There is none.")


@app.command(epilog=example("vmkeep keyvault recover --name kv1"))
def recover(context: typer.Context, name: NameOption, output: OutputOption = Output.TABLE) -> None:
    """Take a deletion back."""
    _print(_key_vaults(context).recover(name), output)


@app.command(epilog=example("vmkeep keyvault purge --name kv1 --yes"))
def purge(
    context: typer.Context, name: NameOption, yes: YesOption = False, output: OutputOption = Output.TABLE
) -> None:
    """Remove a deleted key vault for ever; refused while its keys open vaults."""
    if not yes:
        typer.confirm(f"Remove key vault '{name}' and all its keys and secrets for ever?", abort=True)
    _key_vaults(context).purge(name)
    _say(output, {"purged": name}, f"Key vault '{name}' is gone.")


def _identity(object_id: str | None, backup_service: bool) -> str:
    if (object_id is None) is not backup_service:
        raise typer.BadParameter("name either --object-id or --backup-service")
    return object_id or BACKUP_SERVICE


def _print(key_vault: Json, output: Output) -> None:
    facts = [(title, show_fact(key_vault)) for title, show_fact in _COLUMNS]
    print_facts(output, [*facts, ("May", _policies(key_vault)), ("Id", key_vault["id"])], key_vault)


def _say(output: Output, answer: Json, sentence: str) -> None:
    if output is Output.JSON:
        print_json(answer)
    else:
        typer.echo(sentence)


def _key_vaults(context: typer.Context) -> KeyVaults:
    return KeyVaults(connect(context).session)
