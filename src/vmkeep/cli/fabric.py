"""`vmkeep fabric`: this host."""

from typing import Annotated

import typer

from vmkeep.cli.commands import example, group
from vmkeep.cli.connection import connect
from vmkeep.cli.options import Output, OutputOption
from vmkeep.cli.printing import Column, print_json, print_list

app = group("Prepare and check this host.")
network_app = group("Look at the networks of this host.")
app.add_typer(network_app, name="network")

_NETWORKS: list[Column] = [
    ("Name", lambda network: network["name"]),
    ("Bridge", lambda network: network["properties"]["bridge"]),
    ("Subnet", lambda network: network["properties"]["subnet"]),
    ("Active", lambda network: "yes" if network["properties"]["active"] else "no"),
    ("Attached", lambda network: "yes" if network["properties"]["attached"] else "no"),
]
_FINDINGS: list[Column] = [
    ("Code", lambda found: found["code"]),
    ("What", lambda found: found["message"]),
]


@app.command(epilog=example("vmkeep fabric attach default"))
def attach(
    context: typer.Context,
    network: Annotated[str, typer.Argument(help="Name of a libvirt network.")],
    output: OutputOption = Output.TABLE,
) -> None:
    """Let the agents of a network's VMs reach the service. A second time changes nothing."""
    answer = connect(context).attach_network(network)
    if output is Output.JSON:
        print_json(answer)
        return
    for change in answer["changes"] or [f"Network '{network}' is attached already; nothing had to change."]:
        typer.echo(change)


@app.command(epilog=example("vmkeep fabric detach default"))
def detach(
    context: typer.Context,
    network: Annotated[str, typer.Argument(help="Name of a libvirt network.")],
    output: OutputOption = Output.TABLE,
) -> None:
    """Take back what 'attach' changed: its VMs' agents no longer reach the service. A second time changes nothing."""
    answer = connect(context).detach_network(network)
    if output is Output.JSON:
        print_json(answer)
    else:
        typer.echo(f"Network '{network}' is detached; running guests forget when they renew their lease.")


@network_app.command("list", epilog=example("vmkeep fabric network list"))
def list_networks(context: typer.Context, output: OutputOption = Output.TABLE) -> None:
    """List the networks, and which let their VMs' agents reach the service."""
    print_list(output, _NETWORKS, connect(context).networks(), empty="This host has no libvirt networks.")


@app.command(epilog=example("vmkeep fabric check", "vmkeep fabric check --repair"))
def check(
    context: typer.Context,
    repair: Annotated[
        bool, typer.Option("--repair", help="Make catalog and layers agree where no data is given up.")
    ] = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Compare layers, restore points and recovery points with each other. Exits with 1 when something is amiss."""
    report = connect(context).check_fabric(repair=repair)
    found, repaired = report["value"], report["repaired"]
    if repair and output is Output.JSON:
        print_json(report)
    else:
        if repaired:
            print_list(
                output, [("Repaired", lambda one: f"{one['code']}: {one['message']}")], repaired, empty=""
            )
        print_list(output, _FINDINGS, found, empty="All is as it should be.")
    if found:
        raise typer.Exit(1)
