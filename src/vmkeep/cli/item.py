"""`vmkeep item`: protected VMs, when they are backed up next, and the policy they are under."""

from typing import Annotated

import typer

from vmkeep.cli.commands import example, group
from vmkeep.cli.connection import connect
from vmkeep.cli.options import Output, OutputOption, VaultOption, VmOption
from vmkeep.cli.printing import Column, local_time, print_facts, print_list

app = group("Look at protected VMs, change their policy.")

_COLUMNS: list[Column] = [
    ("VM", lambda item: item["properties"]["friendlyName"]),
    ("State", lambda item: item["properties"]["protectionState"]),
    ("Policy", lambda item: item["properties"]["policyName"] or ""),
    ("Last backup", lambda item: local_time(item["properties"]["lastBackupTime"])),
    ("Status", lambda item: item["properties"]["lastBackupStatus"] or ""),
    ("Next backup", lambda item: local_time(item["properties"]["vmkeep"]["nextBackup"])),
]


@app.command("list", epilog=example("vmkeep item list --vault main"))
def list_items(
    context: typer.Context, vault: VaultOption = None, output: OutputOption = Output.TABLE
) -> None:
    """List the protected VMs of a vault."""
    backup = connect(context)
    items = backup.items(backup.vault(vault))
    print_list(output, _COLUMNS, items, empty="The vault protects no VM.")


@app.command(epilog=example("vmkeep item show --vm web01"))
def show(
    context: typer.Context, vm: VmOption, vault: VaultOption = None, output: OutputOption = Output.TABLE
) -> None:
    """Show one protected VM."""
    _, item = connect(context).item(vm, vault)
    print_facts(output, [(title, value(item)) for title, value in _COLUMNS], item)


@app.command("set-policy", epilog=example("vmkeep item set-policy --vm web01 --policy-name nightly"))
def set_policy(
    context: typer.Context,
    vm: VmOption,
    policy_name: Annotated[str, typer.Option(help="The policy to put the VM under.")],
    vault: VaultOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Put a protected VM under another policy of its vault."""
    backup = connect(context)
    found, item = backup.item(vm, vault)
    backup.change_item(found, item, policy=policy_name)
    show(context, vm, found["name"], output)
