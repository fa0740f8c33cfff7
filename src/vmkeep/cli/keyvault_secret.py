"""`vmkeep keyvault secret`: texts that must stay secret."""

from pathlib import Path
from typing import Annotated

import typer

from vmkeep.cli.commands import example, group
from vmkeep.cli.files import read_text_file
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

app = group("Keep secrets.")
WORD = "secret"


@app.command(
    "set",
    epilog=example(
        "vmkeep keyvault secret set --vault-name kv1 --name disk-key --file key.txt",
        "vmkeep keyvault secret set --vault-name kv1 --name greeting --value hello",
    ),
)
def set_secret(
    context: typer.Context,
    vault_name: KeyVaultOption,
    name: NameOption,
    value: Annotated[
        str | None, typer.Option(help="The secret; others on this machine may see it while the command runs.")
    ] = None,
    file: Annotated[Path | None, typer.Option("--file", "-f", help="File with the secret, UTF-8.")] = None,
    content_type: Annotated[
        str | None, typer.Option("--content-type", "--description", help="What kind of text it is.")
    ] = None,
    disabled: DisabledOption = False,
    tag: TagsOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Keep a secret, or the next version of one. It is not printed, unless as JSON."""
    if (value is None) is (file is None):
        raise typer.BadParameter("name either --value or --file")
    text = value if file is None else read_text_file(file)
    body = wishes(disabled=disabled, tags=tag)
    if content_type:
        body["contentType"] = content_type
    print_entry(open_entries(context, vault_name, WORD).set_secret(name, text or "", body), output)


@app.command(epilog=example("vmkeep keyvault secret show --vault-name kv1 --name disk-key"))
def show(
    context: typer.Context,
    vault_name: KeyVaultOption,
    name: NameOption,
    version: VersionOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show a secret, its value too."""
    found = open_entries(context, vault_name, WORD).get(name, version)
    print_entry(found, output, ("Value", found["value"]))


add_shared_commands(app, WORD)
