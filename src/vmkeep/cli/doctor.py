"""`vmkeep doctor`: what is wrong with a VM's backups, proven by evidence, and the remedy."""

from pathlib import Path
from typing import Annotated

import typer

from vmkeep.cli.collect import collect_logs
from vmkeep.cli.commands import example
from vmkeep.cli.connection import connect
from vmkeep.cli.evidence import print_evidence
from vmkeep.cli.job_report import follow
from vmkeep.cli.options import Output, OutputOption, VmOption, YesOption
from vmkeep.cli.printing import print_facts, print_json
from vmkeep.client.backup import Backup
from vmkeep.client.errors import ClientError
from vmkeep.client.session import Json

EPILOG = example(
    "vmkeep doctor --vm web01",
    "vmkeep doctor --vm web01 --apply",
    "vmkeep doctor --vm web01 --collect /tmp",
)
FLIP_LIMIT_S = 180
_NEEDS_CONSENT = "RemedyNeedsConsent"


def doctor(
    context: typer.Context,
    vm: VmOption,
    apply: Annotated[
        bool,
        typer.Option(
            "--apply", help="Carry out the proven cause's remedy, look again, and back up when it helped."
        ),
    ] = False,
    yes: YesOption = False,
    verbose_logs: Annotated[
        bool | None,
        typer.Option(
            "--verbose-logs/--normal-logs",
            help="Instead, have the guest's agent say more in its log from now on, or as much as it usually does.",
        ),
    ] = None,
    collect: Annotated[
        Path | None,
        typer.Option(
            help="Instead, write an archive of logs, configuration and state of both sides to this folder, secrets taken out."
        ),
    ] = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Look for what is wrong with a VM's backups, also when none failed. Exits with 1 when a cause is proven."""
    backup = connect(context)
    if verbose_logs is not None:
        backup.set_agent_logs(vm, verbose=verbose_logs)
        how = "says more in its log now" if verbose_logs else "logs as it usually does"
        typer.echo(f"The agent of '{vm}' was restarted and {how}.", err=True)
        return
    if collect:
        collect_logs(backup, vm, collect, output)
        return
    if apply:
        _apply(backup, vm, output, yes=yes)
        return
    found = backup.diagnose(vm)
    _print(found, output)
    if found["cause"]:
        raise typer.Exit(1)


def _apply(backup: Backup, vm: str, output: Output, *, yes: bool) -> None:
    mended = _consented(backup, vm, yes=yes)["cause"]
    typer.echo(f"Applied the remedy for {mended['id']}: {mended['title']}. Looking again …", err=True)
    found = backup.diagnose_until(vm, mended["id"], limit_s=FLIP_LIMIT_S)
    if mended["id"] in found["refuted"]:
        typer.echo(f"{mended['id']} is refuted now. Backing up to prove it …", err=True)
    elif found["cause"] and found["cause"]["id"] == mended["id"] and found["cause"]["recorded"]:
        typer.echo("Only a backup can tell whether it helped. Backing up …", err=True)
    else:
        _print(found, output)
        raise typer.Exit(1)
    vault, item = backup.item(vm, None)
    follow(backup, vault, backup.backup_now(item, None), output, wait=True)


def _consented(backup: Backup, vm: str, *, yes: bool) -> Json:
    try:
        return backup.apply_remedy(vm, consent=yes)
    except ClientError as error:
        if error.service_code != _NEEDS_CONSENT:
            raise
        typer.confirm(f"{error}. Shall it?", abort=True)
        return backup.apply_remedy(vm, consent=True)


def _print(found: Json, output: Output) -> None:
    if output is Output.JSON:
        print_json(found)
        return
    facts = [
        ("VM", found["vmName"]),
        ("Verdict", found["verdict"]),
        ("Remedy", found["remedy"]),
        *[("In the guest", step) for step in found["steps"]],
        ("", f"vmkeep does it: vmkeep doctor --vm {found['vmName']} --apply" if found["canApply"] else ""),
        *[("Holds as well", f"{one['id']}: {one['title']}") for one in found["supposed"]],
        ("Refuted", ", ".join(found["refuted"])),
        *[("Not seen from", vantage) for vantage in found["missingVantages"]],
        *[("Not excluded", f"{one['id']}: needs {one['missing']}") for one in found["remaining"]],
    ]
    print_facts(output, facts, found)
    print_evidence(found, output)
