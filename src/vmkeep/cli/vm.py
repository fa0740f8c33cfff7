"""`vmkeep vm`: the VMs of this host."""

from typing import Annotated

import typer

from vmkeep.base.units import format_size
from vmkeep.cli import vm_encryption
from vmkeep.cli.commands import example, group
from vmkeep.cli.connection import connect
from vmkeep.cli.options import Output, OutputOption
from vmkeep.cli.printing import Column, print_facts, print_list
from vmkeep.client.session import Json

app = group("Look at the VMs of this host.")
app.add_typer(vm_encryption.app, name="encryption")


def _ours(machine: Json) -> Json:
    facts: Json = machine["properties"]["vmkeep"]
    return facts


def _size(machine: Json) -> str:
    return format_size(sum(disk["sizeBytes"] for disk in _ours(machine)["disks"]))


_COLUMNS: list[Column] = [
    ("Name", lambda vm: vm["name"]),
    ("State", lambda vm: _ours(vm)["state"]),
    ("Disks", lambda vm: str(len(_ours(vm)["disks"]))),
    ("Size", _size),
    ("IP", lambda vm: ", ".join(_ours(vm)["ips"])),
    ("Agent", lambda vm: _ours(vm)["agent"]),
    ("Guest agent", lambda vm: "answers" if _ours(vm)["guestAgent"] else "-"),
    ("Next backup", lambda vm: _ours(vm)["expectedConsistency"]),
]


@app.command("list", epilog=example("vmkeep vm list", "vmkeep vm list -o json"))
def list_machines(context: typer.Context, output: OutputOption = Output.TABLE) -> None:
    """List all VMs and the consistency their next backup should reach."""
    print_list(output, _COLUMNS, connect(context).machines(), empty="This host has no VMs.")


@app.command(epilog=example("vmkeep vm show web01"))
def show(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Name of the VM.")],
    output: OutputOption = Output.TABLE,
) -> None:
    """Show one VM: disks, networks, agents."""
    machine = connect(context).machine(name)
    ours = _ours(machine)
    agent = machine["properties"]["instanceView"]["vmAgent"]["statuses"][0]
    facts = [
        ("Name", machine["name"]),
        ("UUID", ours["uuid"]),
        ("State", ours["state"]),
        ("Networks", ", ".join(ours["networks"])),
        ("IP", ", ".join(ours["ips"])),
        ("Agent", f"{agent['displayStatus']} {ours['agentVersion']} ({agent['message']})"),
        ("Guest agent", "answers" if ours["guestAgent"] else "does not answer"),
        ("Encrypted", "yes" if any(disk["encrypted"] for disk in ours["disks"]) else "no"),
        ("Next backup", f"{ours['expectedConsistency']}-consistent"),
        *[
            (
                f"Disk {disk['name']}",
                f"{format_size(disk['sizeBytes'])} {disk['format']}, LUN {disk['lun']}, {disk['path']}"
                + (", encrypted" if disk["encrypted"] else ""),
            )
            for disk in ours["disks"]
        ],
        *[("Not backed up", text) for text in ours["excludedDisks"]],
    ]
    print_facts(output, facts, machine)
