"""`vmkeep policy`: when backups run and how long they are kept."""

import json
from calendar import day_abbr
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from vmkeep.base.clock import SystemClock
from vmkeep.base.errors import InvalidValue
from vmkeep.cli.commands import example, group
from vmkeep.cli.connection import connect
from vmkeep.cli.options import Output, OutputOption, VaultOption
from vmkeep.cli.policy_preview import preview_json, print_preview
from vmkeep.cli.printing import Column, print_facts, print_json, print_list
from vmkeep.client.backup import Backup, one_named
from vmkeep.client.policy_wishes import PolicyWishes
from vmkeep.client.session import Json
from vmkeep.model.errors import InvalidPolicy
from vmkeep.model.policy_terms import read_schedule
from vmkeep.model.preview import preview_points

app = group("Make, change and preview backup policies.")


_KINDS = ("daily", "weekly", "monthly", "yearly")


class AutoRemedy(StrEnum):
    """What is mended by itself."""

    OFF = "off"
    SAFE = "safe"


NameArgument = Annotated[str, typer.Argument(help="Name of the policy.")]
FileOption = Annotated[
    Path | None,
    typer.Option("--policy", help="JSON file with the policy, as `vmkeep policy show -o json` prints it."),
]
AtOption = Annotated[str | None, typer.Option("--at", help="Time of day of the (first) backup, HH:MM.")]
EveryOption = Annotated[
    int | None, typer.Option("--every", help="Hours between backups: 4, 6, 8, 12 or 24 (enhanced policy).")
]
ForOption = Annotated[
    int | None,
    typer.Option("--for", help="With --every: hours from the first backup to the last; default 24."),
]
OnOption = Annotated[
    list[str] | None, typer.Option("--on", help="Weekday, for backups once a week; may be repeated.")
]
ZoneOption = Annotated[
    str | None, typer.Option("--time-zone", help="Such as Europe/Berlin or 'Pacific Standard Time'.")
]
InstantOption = Annotated[int | None, typer.Option("--instant-days", help="Days in the instant tier.")]
DaysOption = Annotated[int | None, typer.Option("--days", help="Days that every point is kept.")]
WeeksOption = Annotated[int | None, typer.Option("--weeks", help="Weeks that a weekly point is kept.")]
MonthsOption = Annotated[int | None, typer.Option("--months", help="Months that a monthly point is kept.")]
AutoRemedyOption = Annotated[
    AutoRemedy | None,
    typer.Option(
        "--auto-remedy",
        help="safe: a proven cause of a bad backup is mended by itself when that takes nothing away; default off.",
    ),
]
YearsOption = Annotated[int | None, typer.Option("--years", help="Years that a yearly point is kept.")]


def _kept(policy: Json) -> str:
    retention = policy["properties"]["retentionPolicy"]
    spans = [(retention.get(f"{kind}Schedule") or {}).get("retentionDuration") for kind in _KINDS]
    texts = [f"{span['count']} {span['durationType'].lower()}" for span in spans if span]
    return ", ".join(texts) or "see the policy"


def _frequency(policy: Json) -> str:
    try:
        schedule = read_schedule(policy["properties"])
    except InvalidPolicy as error:
        return f"never: {error}"
    times = ", ".join(f"{at:%H:%M}" for at in schedule.times)
    window = policy["properties"]["schedulePolicy"].get("hourlySchedule")
    if window:
        return f"every {window['interval']} hours: {times}"
    if len(schedule.weekdays) == len(day_abbr):
        return f"daily {times}"
    return f"{', '.join(day_abbr[day] for day in sorted(schedule.weekdays))} {times}"


_COLUMNS: list[Column] = [
    ("Name", lambda policy: policy["name"]),
    ("Kind", lambda policy: policy["properties"]["policyType"]),
    ("Backups", _frequency),
    ("Time zone", lambda policy: policy["properties"].get("timeZone", "UTC")),
    ("Instant tier", lambda policy: f"{policy['properties']['instantRpRetentionRangeInDays']} days"),
    ("Kept", _kept),
    ("Auto remedy", lambda policy: (policy["properties"].get("vmkeep") or {}).get("autoRemedy", "off")),
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
    _print_policy(_find(backup, backup.vault(vault), name), output)


@app.command(
    epilog=example(
        "vmkeep policy create nightly --at 02:30 --time-zone Europe/Berlin --days 30 --weeks 12 --months 12",
        "vmkeep policy create often --every 4 --at 08:00 --for 12 --instant-days 7",
        "vmkeep policy create like-azure --policy policy.json",
    )
)
def create(
    context: typer.Context,
    name: NameArgument,
    vault: VaultOption = None,
    policy: FileOption = None,
    at: AtOption = None,
    every: EveryOption = None,
    lasting: ForOption = None,
    on: OnOption = None,
    time_zone: ZoneOption = None,
    instant_days: InstantOption = None,
    days: DaysOption = None,
    weeks: WeeksOption = None,
    months: MonthsOption = None,
    years: YearsOption = None,
    auto_remedy: AutoRemedyOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Make a policy: what is not said is as in DefaultPolicy, and weekly backups are kept 12 weeks."""
    backup = connect(context)
    found = backup.vault(vault)
    if any(one["name"].lower() == name.lower() for one in backup.policies(found)):
        raise InvalidValue(what="policy", value=name, why="there is one; change it with `vmkeep policy set`")
    base = _read(policy) if policy else _find(backup, found, "DefaultPolicy")["properties"]
    weeks = weeks or (12 if on else None)
    wishes = PolicyWishes(
        at, every, lasting, tuple(on or ()), time_zone, instant_days, days, weeks, months, years, auto_remedy
    )
    _print_policy(backup.put_policy(found, name, wishes.apply(base)), output)


@app.command(
    "set",
    epilog=example(
        "vmkeep policy set nightly --at 03:00 --years 7", "vmkeep policy set nightly --auto-remedy safe"
    ),
)
def set_policy(
    context: typer.Context,
    name: NameArgument,
    vault: VaultOption = None,
    policy: FileOption = None,
    at: AtOption = None,
    every: EveryOption = None,
    lasting: ForOption = None,
    on: OnOption = None,
    time_zone: ZoneOption = None,
    instant_days: InstantOption = None,
    days: DaysOption = None,
    weeks: WeeksOption = None,
    months: MonthsOption = None,
    years: YearsOption = None,
    auto_remedy: AutoRemedyOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Change a policy; its VMs follow from their next backup on, their points at the next expiry."""
    backup = connect(context)
    found = backup.vault(vault)
    present = _find(backup, found, name)
    base = _read(policy) if policy else present["properties"]
    wishes = PolicyWishes(
        at, every, lasting, tuple(on or ()), time_zone, instant_days, days, weeks, months, years, auto_remedy
    )
    _print_policy(backup.put_policy(found, present["name"], wishes.apply(base)), output)


@app.command(epilog=example("vmkeep policy delete nightly"))
def delete(context: typer.Context, name: NameArgument, vault: VaultOption = None) -> None:
    """Delete a policy that no VM is under."""
    backup = connect(context)
    backup.delete(_find(backup, backup.vault(vault), name))


@app.command(epilog=example("vmkeep policy preview nightly"))
def preview(
    context: typer.Context,
    name: NameArgument,
    vault: VaultOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show the backups of the next year and which of their points are left at its end."""
    backup = connect(context)
    policy = _find(backup, backup.vault(vault), name)
    now = SystemClock().now()
    points = preview_points(policy["properties"], now)
    if output is Output.JSON:
        print_json(preview_json(points))
    else:
        print_preview(points, now)


def _find(backup: Backup, vault: Json, name: str) -> Json:
    return one_named(backup.policies(vault), name, "policy", "vmkeep policy list")


def _read(file: Path) -> Json:
    """Return the properties in a policy's file, which may hold the whole policy."""
    try:
        body: Json = json.loads(file.read_text())
        return dict(body.get("properties", body))
    except (OSError, ValueError, AttributeError) as error:
        raise InvalidValue(what="policy file", value=str(file), why=str(error)) from error


def _print_policy(policy: Json, output: Output) -> None:
    facts = [(title, value(policy)) for title, value in _COLUMNS]
    details = [
        (title, json.dumps(policy["properties"][key], indent=2))
        for title, key in (("Schedule", "schedulePolicy"), ("Retention", "retentionPolicy"))
    ]
    print_facts(output, [*facts, *details], policy)
