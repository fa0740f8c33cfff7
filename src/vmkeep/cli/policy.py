"""`vmkeep policy`: when backups run and how long they are kept."""

import json
from typing import Annotated

import typer

from vmkeep.cli.commands import example, group
from vmkeep.cli.connection import connect
from vmkeep.cli.options import Output, OutputOption, VaultOption
from vmkeep.cli.printing import Column, print_facts, print_list
from vmkeep.client.backup import one_named
from vmkeep.client.session import Json

app = group("Look at backup policies.")


def _days(policy: Json) -> str:
    daily = policy["properties"]["retentionPolicy"].get("dailySchedule") or {}
    count = (daily.get("retentionDuration") or {}).get("count")
    return f"{count} days" if count else "see the policy"


def _frequency(policy: Json) -> str:
    schedule = policy["properties"]["schedulePolicy"]
    text = str(schedule.get("scheduleRunFrequency", ""))
    hourly = schedule.get("hourlySchedule")
    return f"every {hourly['interval']} hours" if hourly else text.lower()


_COLUMNS: list[Column] = [
    ("Name", lambda policy: policy["name"]),
    ("Kind", lambda policy: policy["properties"]["policyType"]),
    ("Backups", _frequency),
    ("Instant tier", lambda policy: f"{policy['properties']['instantRpRetentionRangeInDays']} days"),
    ("Kept", _days),
    ("VMs", lambda policy: str(policy["properties"]["protectedItemsCount"])),
]


@app.command("list", epilog=example("vmkeep policy list --vault main"))
def list_policies(
    context: typer.Context, vault: VaultOption = None, output: OutputOption = Output.TABLE
) -> None:
    """List the policies of a vault."""
    backup = connect(context)
    print_list(output, _COLUMNS, backup.policies(backup.vault(vault)), empty="The vault has no policies.")


@app.command(epilog=example("vmkeep policy show DefaultPolicy"))
def show(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Name of the policy.")],
    vault: VaultOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show one policy with its schedule and retention."""
    backup = connect(context)
    policy = one_named(backup.policies(backup.vault(vault)), name, "policy", "vmkeep policy list")
    facts = [(title, value(policy)) for title, value in _COLUMNS]
    details = [
        (title, json.dumps(policy["properties"][key], indent=2))
        for title, key in (("Schedule", "schedulePolicy"), ("Retention", "retentionPolicy"))
    ]
    print_facts(output, [*facts, *details], policy)
