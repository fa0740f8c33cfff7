"""`vmkeep protection`: protect VMs, back them up now, stop."""

from typing import Annotated

import typer

from vmkeep.cli.commands import example, group
from vmkeep.cli.connection import connect
from vmkeep.cli.dates import end_of_day
from vmkeep.cli.job_report import follow
from vmkeep.cli.options import NoWaitOption, Output, OutputOption, VaultOption, VmOption, YesOption
from vmkeep.cli.printing import print_facts, print_json
from vmkeep.client.backup import Backup
from vmkeep.client.session import Json

app = group("Protect VMs, back them up now, stop protection.")


@app.command(
    "enable-for-vm",
    epilog=example("vmkeep protection enable-for-vm --vm web01 --vault main --policy DefaultPolicy"),
)
def enable(
    context: typer.Context,
    vm: VmOption,
    vault: VaultOption = None,
    policy: Annotated[
        str | None, typer.Option(help="Policy; DefaultPolicy for a new VM, else the one it had.")
    ] = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Put a VM under a policy: protect it, resume its protection, or change its policy."""
    backup = connect(context)
    chosen = backup.vault(vault)
    backup.protect(chosen, vm, policy)
    _print_item(backup, vm, chosen["name"], output)


@app.command(
    "backup-now",
    epilog=example(
        "vmkeep protection backup-now --vm web01",
        "vmkeep protection backup-now --vm web01 --retain-until 2026-12-24 --no-wait",
    ),
)
def backup_now(
    context: typer.Context,
    vm: VmOption,
    vault: VaultOption = None,
    retain_until: Annotated[
        str | None, typer.Option(help="Keep the recovery point until the end of this day, YYYY-MM-DD.")
    ] = None,
    no_wait: NoWaitOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Back up a VM now and wait until that is done."""
    until = end_of_day(retain_until) if retain_until else None
    backup = connect(context)
    found, item = backup.item(vm, vault)
    follow(backup, found, backup.backup_now(item, until), output, wait=not no_wait)


@app.command(epilog=example("vmkeep protection disable --vm web01 --delete-backup-data --yes"))
def disable(
    context: typer.Context,
    vm: VmOption,
    vault: VaultOption = None,
    delete_backup_data: Annotated[
        bool, typer.Option("--delete-backup-data", help="Delete all recovery points as well.")
    ] = False,
    yes: YesOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Stop a VM's protection; its recovery points stay unless you say otherwise."""
    backup = connect(context)
    found, item = backup.item(vm, vault)
    if not delete_backup_data:
        backup.stop_protection(item)
        _print_item(backup, vm, found["name"], output)
        return
    if not yes:
        typer.confirm(f"Delete all recovery points of '{vm}' for good?", abort=True, err=True)
    backup.delete(item)
    if output is Output.JSON:
        print_json({"deleted": item["id"]})
        return
    typer.echo(f"'{vm}' is no longer protected and its recovery points are deleted.")


def _print_item(backup: Backup, vm: str, vault: str, output: Output) -> None:
    _, item = backup.item(vm, vault)
    properties: Json = item["properties"]
    facts = [
        ("VM", properties["friendlyName"]),
        ("Vault", vault),
        ("State", properties["protectionState"]),
        ("Policy", properties["policyName"] if properties["policyId"] else ""),
    ]
    print_facts(output, facts, item)
