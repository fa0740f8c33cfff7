"""`vmkeep restore-point`: what the host itself holds of each VM, for restores in seconds."""

from typing import Annotated

import typer

from vmkeep.cli.commands import example, group
from vmkeep.cli.connection import connect
from vmkeep.cli.options import Output, OutputOption, YesOption
from vmkeep.cli.printing import Column, local_time, print_json, print_list
from vmkeep.client.resources import Resources

app = group("Look at restore points, the instant tier of recovery points.")
collection_app = group("Look at collections of restore points, one per VM, and delete them.")
app.add_typer(collection_app, name="collection")

NameArgument = Annotated[str, typer.Argument(help="Name of the collection, or of its VM.")]
_COLLECTIONS: list[Column] = [
    ("Name", lambda one: one["name"]),
    ("Resource group", lambda one: one["id"].split("/")[4]),
    ("VM", lambda one: one["properties"]["vmkeep"]["vm"]),
    ("Restore points", lambda one: str(one["properties"]["vmkeep"]["restorePoints"])),
]
_POINTS: list[Column] = [
    ("Restore point", lambda point: point["name"]),
    ("Time", lambda point: local_time(point["properties"]["timeCreated"])),
    ("Consistency", lambda point: point["properties"]["consistencyMode"]),
    ("Recovery point", lambda point: point["properties"]["vmkeep"]["recoveryPoint"]),
    ("In vault", lambda point: "yes" if point["properties"]["vmkeep"]["inVault"] else "no"),
]


@collection_app.command("list", epilog=example("vmkeep restore-point collection list"))
def list_collections(context: typer.Context, output: OutputOption = Output.TABLE) -> None:
    """List the collections, and how many restore points each holds."""
    found = Resources(connect(context).session).collections()
    print_list(output, _COLLECTIONS, found, empty="No VM has a restore point.")


@collection_app.command(epilog=example("vmkeep restore-point collection show web01"))
def show(context: typer.Context, name: NameArgument, output: OutputOption = Output.TABLE) -> None:
    """Show the restore points of a collection, newest first."""
    found = Resources(connect(context).session).collection(name)
    if output is Output.JSON:
        print_json(found)
        return
    print_list(output, _POINTS, found["properties"]["restorePoints"], empty="It is empty.")


@collection_app.command(epilog=example("vmkeep restore-point collection delete web01 --yes"))
def delete(
    context: typer.Context,
    name: NameArgument,
    yes: YesOption = False,
    force: Annotated[
        bool, typer.Option("--force", help="Also delete restore points that are not in the vault.")
    ] = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Delete all restore points of a VM. What is in the vault stays; the next backup reads whole disks.

    A deletion that takes too long ends with an error and keeps what it has done: delete again to go on.
    """
    resources = Resources(connect(context).session)
    found = resources.collection(name)
    if not yes:
        count = found["properties"]["vmkeep"]["restorePoints"]
        typer.confirm(
            f"Delete {count} restore point(s) of collection '{found['name']}'?", abort=True, err=True
        )
    resources.delete_collection(found, force=force)
    if output is Output.JSON:
        print_json({"deleted": found["id"]})
        return
    typer.echo(f"Collection '{found['name']}' is deleted.")
