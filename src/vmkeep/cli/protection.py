"""`vmkeep protection`: protect VMs, back them up now, stop and resume, look ahead."""

from enum import StrEnum
from typing import Annotated

import typer

from vmkeep.cli.commands import example, group
from vmkeep.cli.connection import connect
from vmkeep.cli.dates import end_of_day
from vmkeep.cli.disk_options import (
    LunsOption,
    MoreLunsArgument,
    OnlyOsDiskOption,
    SettingOption,
    read_disks,
    show_disks,
)
from vmkeep.cli.job_report import follow
from vmkeep.cli.options import NoWaitOption, Output, OutputOption, VaultOption, VmOption, YesOption
from vmkeep.cli.printing import Column, print_facts, print_json, print_list
from vmkeep.client.backup import Backup
from vmkeep.client.session import Json

app = group("Protect VMs, back them up now, stop and resume protection.")


class Consistency(StrEnum):
    """The ladder's rungs, best first."""

    APPLICATION = "application"
    FILE_SYSTEM = "file-system"
    CRASH = "crash"


ConsistencyOption = Annotated[
    Consistency | None,
    typer.Option(
        "--consistency",
        help="Least consistency of a backup of the running VM; one that reaches less fails. Default: crash, any.",
    ),
]
_OUTLOOK: list[Column] = [
    ("Subject", lambda line: line["subject"]),
    ("", lambda line: {"good": "ok", "warning": "warning", "failure": "FAILS"}[line["weight"]]),
    ("What", lambda line: f"{line['code']}: {line['message']}" if line["code"] else line["message"]),
    ("What to do", lambda line: line["advice"]),
]


@app.command(
    "enable-for-vm",
    epilog=example(
        "vmkeep protection enable-for-vm --vm web01 --vault main --policy DefaultPolicy",
        "vmkeep protection enable-for-vm --vm web01 --disk-list-setting exclude --diskslist 0 1",
        "vmkeep protection enable-for-vm --vm db01 --consistency application",
    ),
)
def enable(
    context: typer.Context,
    vm: VmOption,
    vault: VaultOption = None,
    policy: Annotated[
        str | None, typer.Option(help="Policy; DefaultPolicy for a new VM, else the one it had.")
    ] = None,
    disk_list_setting: SettingOption = None,
    diskslist: LunsOption = None,
    more_luns: MoreLunsArgument = None,
    only_os_disk: OnlyOsDiskOption = False,
    consistency: ConsistencyOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Put a VM under a policy: protect it, resume its protection, or change its policy, disks or consistency."""
    disks = read_disks(disk_list_setting, diskslist, more_luns, only_os_disk=only_os_disk)
    backup = connect(context)
    chosen = backup.vault(vault)
    backup.protect(chosen, vm, policy, _wishes(disks, consistency))
    _print_item(backup, vm, chosen["name"], output)


@app.command(
    "update-for-vm",
    epilog=example(
        "vmkeep protection update-for-vm --vm web01 --disk-list-setting exclude --diskslist 0",
        "vmkeep protection update-for-vm --vm web01 --disk-list-setting resetexclusionsettings",
        "vmkeep protection update-for-vm --vm web01 --consistency file-system",
    ),
)
def update(
    context: typer.Context,
    vm: VmOption,
    vault: VaultOption = None,
    disk_list_setting: SettingOption = None,
    diskslist: LunsOption = None,
    more_luns: MoreLunsArgument = None,
    only_os_disk: OnlyOsDiskOption = False,
    consistency: ConsistencyOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Say anew which disks of a protected VM are backed up (the OS disk always is), and how consistent at least."""
    disks = read_disks(disk_list_setting, diskslist, more_luns, only_os_disk=only_os_disk)
    wishes = _wishes(disks, consistency)
    if not wishes:
        raise typer.BadParameter("say what: --disk-list-setting, --exclude-all-data-disks or --consistency")
    backup = connect(context)
    found, item = backup.active_item(vm, vault)
    backup.change_item(found, item, wishes=wishes)
    _print_item(backup, vm, found["name"], output)


@app.command("check-vm", epilog=example("vmkeep protection check-vm --vm web01"))
def check_vm(context: typer.Context, vm: VmOption, output: OutputOption = Output.TABLE) -> None:
    """Tell whether tonight's backup of a VM will work, without doing it. Exits with 1 when it will not."""
    outlook = connect(context).outlook(vm)
    if output is Output.JSON:
        print_json(outlook)
    else:
        typer.echo(f"Vault: {outlook['vaultId'] or 'none'}")
        print_list(output, _OUTLOOK, outlook["lines"], empty="")
        typer.echo("A backup would work now." if outlook["willWork"] else "A backup would FAIL now.")
    if not outlook["willWork"]:
        raise typer.Exit(1)


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


@app.command(
    epilog=example(
        "vmkeep protection disable --vm web01 --retain",
        "vmkeep protection disable --vm web01 --delete-backup-data --yes",
    )
)
def disable(
    context: typer.Context,
    vm: VmOption,
    vault: VaultOption = None,
    delete_backup_data: Annotated[
        bool,
        typer.Option(
            "--delete-backup-data/--retain", help="Delete all recovery points as well, or retain them."
        ),
    ] = False,
    as_per_policy: Annotated[
        bool,
        typer.Option(
            "--retain-recovery-points-as-per-policy",
            help="Let the recovery points age as the policy says; the last one stays.",
        ),
    ] = False,
    yes: YesOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Stop a VM's protection; its recovery points stay for ever unless you say otherwise."""
    if delete_backup_data and as_per_policy:
        raise typer.BadParameter("recovery points are either deleted or retained")
    backup = connect(context)
    found, item = backup.item(vm, vault)
    if not delete_backup_data:
        backup.stop_protection(item, as_per_policy=as_per_policy)
        _print_item(backup, vm, found["name"], output)
        return
    if not yes:
        typer.confirm(f"Delete all recovery points of '{vm}' for good?", abort=True, err=True)
    backup.delete(item)
    if output is Output.JSON:
        print_json({"deleted": item["id"]})
        return
    typer.echo(f"'{vm}' is no longer protected and its recovery points are deleted.")


@app.command(epilog=example("vmkeep protection resume --vm web01 --policy-name DefaultPolicy"))
def resume(
    context: typer.Context,
    vm: VmOption,
    vault: VaultOption = None,
    policy_name: Annotated[str | None, typer.Option(help="Policy; default: the one it had.")] = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Protect a VM again whose protection was stopped; what it had is gone on from."""
    backup = connect(context)
    found, item = backup.item(vm, vault)
    backup.change_item(found, item, policy=policy_name)
    _print_item(backup, vm, found["name"], output)


def _wishes(disks: Json | None, consistency: Consistency | None) -> Json:
    """Return what the options say as properties of an item; what is not said is not in them."""
    wishes: Json = {} if disks is None else {"extendedProperties": disks}
    if consistency is not None:
        wishes["vmkeep"] = {"leastConsistency": consistency.value}
    return wishes


def _print_item(backup: Backup, vm: str, vault: str, output: Output) -> None:
    _, item = backup.item(vm, vault)
    properties: Json = item["properties"]
    facts = [
        ("VM", properties["friendlyName"]),
        ("Vault", vault),
        ("State", properties["protectionState"]),
        ("Policy", properties["policyName"] if properties["policyId"] else ""),
        ("Disks", show_disks(item)),
        ("Least consistency", properties["vmkeep"]["leastConsistency"]),
    ]
    print_facts(output, facts, item)
