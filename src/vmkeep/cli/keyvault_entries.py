"""What `vmkeep keyvault key` and `vmkeep keyvault secret` have in common."""

from pathlib import Path
from typing import Annotated

import typer

from vmkeep.base.clock import from_seconds
from vmkeep.cli.commands import example
from vmkeep.cli.connection import connect
from vmkeep.cli.files import read_file, write_new_file
from vmkeep.cli.options import Output, OutputOption, YesOption
from vmkeep.cli.printing import Column, local_time, print_facts, print_json, print_list
from vmkeep.client.key_vaults import Entries, KeyVaults
from vmkeep.client.session import Json

KeyVaultOption = Annotated[str, typer.Option("--vault-name", help="Name of the key vault.")]
NameOption = Annotated[str, typer.Option("--name", "-n", help="Name of it.")]
VersionOption = Annotated[str | None, typer.Option("--version", "-v", help="Version; default: the newest.")]
FileOption = Annotated[Path, typer.Option("--file", "-f", help="File of the backup.")]
TagsOption = Annotated[list[str] | None, typer.Option("--tag", help="NAME=VALUE, once for each tag.")]
DisabledOption = Annotated[bool, typer.Option("--disabled", help="Make it unusable for now.")]


def entry_id(entry: Json) -> str:
    """Return an entry's own id, wherever it stands."""
    return str(entry.get("kid") or entry.get("id") or entry["key"]["kid"])


def _name(entry: Json) -> str:
    return entry_id(entry).split("/")[4]


def _version(entry: Json) -> str:
    return entry_id(entry).split("/")[-1]


def _time(seconds: int | None) -> str:
    return "" if seconds is None else local_time(from_seconds(seconds).isoformat())


def _enabled(entry: Json) -> str:
    return "yes" if entry["attributes"]["enabled"] else "no"


def _updated(entry: Json) -> str:
    return _time(entry["attributes"]["updated"])


_ENTRIES: list[Column] = [("Name", _name), ("Enabled", _enabled), ("Updated", _updated)]
_VERSIONS: list[Column] = [("Version", _version), ("Enabled", _enabled), ("Updated", _updated)]
_DELETED: list[Column] = [
    ("Name", _name),
    ("Deleted", lambda one: _time(one["deletedDate"])),
    ("Gone for ever", lambda one: _time(one["scheduledPurgeDate"])),
]


def open_entries(context: typer.Context, key_vault: str, word: str) -> Entries:
    """Return a key vault's keys or secrets."""
    return KeyVaults(connect(context).session).entries(key_vault, f"{word}s")


def print_entry(entry: Json, output: Output, *more: tuple[str, str]) -> None:
    """Print a key or secret."""
    attributes = entry["attributes"]
    facts = [
        ("Name", _name(entry)),
        ("Version", _version(entry)),
        *more,
        ("Enabled", _enabled(entry)),
        ("Not before", _time(attributes.get("nbf"))),
        ("Expires", _time(attributes.get("exp"))),
        ("Updated", _updated(entry)),
        ("Tags", ", ".join(f"{name}={value}" for name, value in (entry.get("tags") or {}).items())),
        ("Id", entry_id(entry)),
    ]
    print_facts(output, facts, entry)


def wishes(*, disabled: bool, tags: list[str] | None) -> Json:
    """Return what is said about an entry, as the API wants it."""
    body: Json = {"attributes": {"enabled": False}} if disabled else {}
    if tags:
        body["tags"] = dict(tag.partition("=")[::2] for tag in tags)
    return body


def add_shared_commands(app: typer.Typer, word: str) -> None:
    """Add the commands that keys and secrets both have; `word` is key or secret."""
    _add_lists(app, word)
    _add_changes(app, word)
    _add_deletions(app, word)
    _add_backups(app, word)


def _shown(word: str, command: str, more: str = " --name one") -> str:
    return example(f"vmkeep keyvault {word} {command} --vault-name kv1{more}")


def _add_lists(app: typer.Typer, word: str) -> None:
    @app.command("list", epilog=_shown(word, "list", ""), help=f"List the {word}s, without versions.")
    def list_entries(
        context: typer.Context, vault_name: KeyVaultOption, output: OutputOption = Output.TABLE
    ) -> None:
        found = open_entries(context, vault_name, word).entries()
        print_list(output, _ENTRIES, found, empty=f"There is no {word} yet.")

    @app.command(
        "list-versions", epilog=_shown(word, "list-versions"), help=f"List the versions of a {word}."
    )
    def list_versions(
        context: typer.Context,
        vault_name: KeyVaultOption,
        name: NameOption,
        output: OutputOption = Output.TABLE,
    ) -> None:
        found = open_entries(context, vault_name, word).versions(name)
        print_list(output, _VERSIONS, found, empty="There is none.")

    @app.command(
        "list-deleted",
        epilog=_shown(word, "list-deleted", ""),
        help=f"List the {word}s that can be recovered.",
    )
    def list_deleted(
        context: typer.Context, vault_name: KeyVaultOption, output: OutputOption = Output.TABLE
    ) -> None:
        found = open_entries(context, vault_name, word).deleted()
        print_list(output, _DELETED, found, empty="There is none.")


def _add_changes(app: typer.Typer, word: str) -> None:
    @app.command(
        "set-attributes",
        epilog=_shown(word, "set-attributes", " --name one --enabled"),
        help=f"Enable or disable a {word}, or change its tags.",
    )
    def set_attributes(
        context: typer.Context,
        vault_name: KeyVaultOption,
        name: NameOption,
        version: VersionOption = None,
        enabled: Annotated[
            bool | None, typer.Option("--enabled/--disabled", help="Whether it may be used.")
        ] = None,
        tag: TagsOption = None,
        output: OutputOption = Output.TABLE,
    ) -> None:
        body = wishes(disabled=False, tags=tag)
        if enabled is not None:
            body["attributes"] = {"enabled": enabled}
        print_entry(open_entries(context, vault_name, word).change(name, version, body), output)


def _add_deletions(app: typer.Typer, word: str) -> None:
    @app.command("delete", epilog=_shown(word, "delete"), help=f"Delete a {word}; it can be recovered.")
    def delete(
        context: typer.Context,
        vault_name: KeyVaultOption,
        name: NameOption,
        output: OutputOption = Output.TABLE,
    ) -> None:
        print_entry(open_entries(context, vault_name, word).delete(name), output)

    @app.command("recover", epilog=_shown(word, "recover"), help=f"Take the deletion of a {word} back.")
    def recover(
        context: typer.Context,
        vault_name: KeyVaultOption,
        name: NameOption,
        output: OutputOption = Output.TABLE,
    ) -> None:
        print_entry(open_entries(context, vault_name, word).recover(name), output)

    @app.command(
        "purge", epilog=_shown(word, "purge", " --name one --yes"), help=f"Remove a deleted {word} for ever."
    )
    def purge(
        context: typer.Context,
        vault_name: KeyVaultOption,
        name: NameOption,
        yes: YesOption = False,
        output: OutputOption = Output.TABLE,
    ) -> None:
        if not yes:
            typer.confirm(f"Remove the deleted {word} '{name}' for ever?", abort=True)
        open_entries(context, vault_name, word).purge(name)
        if output is Output.JSON:
            print_json({"purged": name})
            return
        typer.echo(f"The {word} '{name}' is gone.")


def _add_backups(app: typer.Typer, word: str) -> None:
    @app.command(
        "backup",
        epilog=_shown(word, "backup", f" --name one --file one.{word}"),
        help=f"Write a {word} with all versions to a file, sealed: only this installation can restore it.",
    )
    def backup(
        context: typer.Context,
        vault_name: KeyVaultOption,
        name: NameOption,
        file: FileOption,
        output: OutputOption = Output.TABLE,
    ) -> None:
        blob = open_entries(context, vault_name, word).backup(name)
        write_new_file(file, blob)
        if output is Output.JSON:
            print_json({"file": str(file)})
            return
        typer.echo(f"The {word} '{name}' is in {file}.")

    @app.command(
        "restore",
        epilog=_shown(word, "restore", f" --file one.{word}"),
        help=f"Put back a {word} that `backup` wrote.",
    )
    def restore(
        context: typer.Context,
        vault_name: KeyVaultOption,
        file: FileOption,
        output: OutputOption = Output.TABLE,
    ) -> None:
        print_entry(open_entries(context, vault_name, word).restore(read_file(file)), output)
