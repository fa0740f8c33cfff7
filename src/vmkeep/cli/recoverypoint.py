"""`vmkeep recoverypoint`: what a VM can be recovered to."""

import typer

from vmkeep.base.units import format_size
from vmkeep.cli.commands import example, group
from vmkeep.cli.connection import connect
from vmkeep.cli.options import Output, OutputOption, VaultOption, VmOption
from vmkeep.cli.printing import Column, local_time, print_list
from vmkeep.client.session import Json

app = group("Look at recovery points.")
_TIERS = {"InstantRP": "instant", "HardenedRP": "vault"}


def _tiers(point: Json) -> str:
    return " + ".join(_TIERS[tier["type"]] for tier in point["properties"]["recoveryPointTierDetails"])


def _ours(point: Json) -> Json:
    facts: Json = point["properties"]["vmkeep"]
    return facts


def _left_out(point: Json) -> str:
    configuration = point["properties"]["recoveryPointDiskConfiguration"] or {}
    return ", ".join(disk["name"] for disk in configuration.get("excludedDiskList", ()))


_COLUMNS: list[Column] = [
    ("Recovery point", lambda point: point["name"]),
    ("Time", lambda point: local_time(point["properties"]["recoveryPointTime"])),
    ("Consistency", lambda point: _ours(point)["consistency"]),
    ("Tier", _tiers),
    ("Encrypted", lambda point: "yes" if point["properties"]["isSourceVMEncrypted"] else "-"),
    ("Size", lambda point: format_size(_ours(point)["sizeBytes"])),
    ("Stored", lambda point: format_size(_ours(point)["storedBytes"])),
    ("Keep until", lambda point: local_time(point["properties"]["recoveryPointProperties"]["expiryTime"])),
    ("Left out", _left_out),
    ("Warnings", lambda point: ", ".join(warning["code"] for warning in _ours(point)["warnings"])),
]


@app.command("list", epilog=example("vmkeep recoverypoint list --vm web01"))
def list_points(
    context: typer.Context, vm: VmOption, vault: VaultOption = None, output: OutputOption = Output.TABLE
) -> None:
    """List the recovery points of a VM, newest first."""
    backup = connect(context)
    _, item = backup.item(vm, vault)
    empty = f"There is no recovery point yet. Make one: vmkeep protection backup-now --vm {vm}"
    print_list(output, _COLUMNS, backup.points(item), empty=empty)
