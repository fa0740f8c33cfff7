"""`vmkeep resource` and `vmkeep group`: what there is, hidden types included."""

from typing import Annotated

import typer

from vmkeep.cli.commands import example, group
from vmkeep.cli.connection import connect
from vmkeep.cli.options import Output, OutputOption
from vmkeep.cli.printing import Column, print_list
from vmkeep.client.resources import Resources

app = group("Look at resources of every type.")
group_app = group("Look at resource groups.")

_RESOURCES: list[Column] = [
    ("Name", lambda resource: resource["name"]),
    ("Resource group", lambda resource: resource["id"].split("/")[4]),
    ("Type", lambda resource: resource["type"]),
]
_GROUPS: list[Column] = [
    ("Name", lambda group: group["name"]),
    ("Location", lambda group: group["location"]),
]


@app.command(
    "list",
    epilog=example(
        "vmkeep resource list",
        "vmkeep resource list --resource-type Microsoft.Compute/restorePointCollections",
    ),
)
def list_resources(
    context: typer.Context,
    resource_group: Annotated[
        str | None, typer.Option("--resource-group", "-g", help="Only resources of this group.")
    ] = None,
    resource_type: Annotated[
        str | None, typer.Option("--resource-type", help="Only resources of this type.")
    ] = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """List all resources, restore point collections among them."""
    given = {"resourceGroup": resource_group, "resourceType": resource_type}
    conditions = {key: value for key, value in given.items() if value}
    found = Resources(connect(context).session).resources(conditions)
    print_list(output, _RESOURCES, found, empty="There are no such resources.")


@group_app.command("list", epilog=example("vmkeep group list"))
def list_groups(context: typer.Context, output: OutputOption = Output.TABLE) -> None:
    """List the resource groups, that of the restore points among them."""
    print_list(output, _GROUPS, Resources(connect(context).session).groups(), empty="There are none.")
