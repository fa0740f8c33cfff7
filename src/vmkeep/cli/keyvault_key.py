"""`vmkeep keyvault key`: RSA keys."""

from typing import Annotated

import typer

from vmkeep.cli.commands import example, group
from vmkeep.cli.keyvault_entries import (
    DisabledOption,
    KeyVaultOption,
    NameOption,
    TagsOption,
    VersionOption,
    add_shared_commands,
    open_entries,
    print_entry,
    wishes,
)
from vmkeep.cli.options import Output, OutputOption
from vmkeep.client.session import Json

app = group("Keep keys; their private halves never leave the key vault.")
WORD = "key"


@app.command(epilog=example("vmkeep keyvault key create --vault-name kv1 --name backup --size 3072"))
def create(
    context: typer.Context,
    vault_name: KeyVaultOption,
    name: NameOption,
    size: Annotated[int, typer.Option(help="Bits: 2048, 3072 or 4096.")] = 2048,
    ops: Annotated[
        list[str] | None,
        typer.Option(
            help="What it is for, once for each: encrypt, decrypt, wrapKey, unwrapKey; default: all."
        ),
    ] = None,
    disabled: DisabledOption = False,
    tag: TagsOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Make an RSA key, or the next version of one."""
    body: Json = {**wishes(disabled=disabled, tags=tag), "key_size": size}
    if ops:
        body["key_ops"] = ops
    _print(open_entries(context, vault_name, WORD).create_key(name, body), output)


@app.command(epilog=example("vmkeep keyvault key show --vault-name kv1 --name backup"))
def show(
    context: typer.Context,
    vault_name: KeyVaultOption,
    name: NameOption,
    version: VersionOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show a key's public half and what it may be used for."""
    _print(open_entries(context, vault_name, WORD).get(name, version), output)


@app.command(epilog=example("vmkeep keyvault key rotate --vault-name kv1 --name backup"))
def rotate(
    context: typer.Context,
    vault_name: KeyVaultOption,
    name: NameOption,
    output: OutputOption = Output.TABLE,
) -> None:
    """Make the next version of a key. Vaults that it opens follow when they are next used; keep the old one until then."""
    _print(open_entries(context, vault_name, WORD).rotate_key(name), output)


add_shared_commands(app, WORD)


def _print(key: Json, output: Output) -> None:
    print_entry(key, output, ("For", ", ".join(key["key"]["key_ops"])))
