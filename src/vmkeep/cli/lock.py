"""`vmkeep lock`: what must not be deleted or changed."""

from enum import StrEnum
from typing import Annotated

import typer

from vmkeep.cli.commands import example, group
from vmkeep.cli.connection import connect
from vmkeep.cli.options import Output, OutputOption
from vmkeep.cli.printing import Column, print_facts, print_json, print_list
from vmkeep.client.resources import LOCKS, Resources, Scope
from vmkeep.client.session import Json

app = group("Lock resources against deletion and change.")


class LockType(StrEnum):
    """What a lock forbids."""

    CAN_NOT_DELETE = "CanNotDelete"
    READ_ONLY = "ReadOnly"


NameOption = Annotated[str, typer.Option("--name", "-n", help="Name of the lock.")]
GroupOption = Annotated[
    str | None, typer.Option("--resource-group", "-g", help="Resource group; default: the subscription.")
]
ResourceOption = Annotated[
    str | None, typer.Option("--resource-name", "--resource", help="One resource, such as a VM or a vault.")
]
TypeOption = Annotated[
    str | None,
    typer.Option("--resource-type", help="Its type, such as Microsoft.Compute/virtualMachines."),
]


def _scope(lock: Json) -> str:
    return str(lock["id"]).removesuffix(f"/{LOCKS}/{lock['name']}")


_COLUMNS: list[Column] = [
    ("Name", lambda lock: lock["name"]),
    ("Level", lambda lock: lock["properties"]["level"]),
    ("Scope", _scope),
    ("Notes", lambda lock: lock["properties"]["notes"]),
]


@app.command(
    epilog=example(
        "vmkeep lock create --name keep --lock-type CanNotDelete --resource-group local",
        "vmkeep lock create --name still --lock-type ReadOnly --resource-name main",
    )
)
def create(
    context: typer.Context,
    name: NameOption,
    lock_type: Annotated[
        LockType, typer.Option("--lock-type", "-t", case_sensitive=False, help="CanNotDelete or ReadOnly.")
    ],
    resource_group: GroupOption = None,
    resource_name: ResourceOption = None,
    resource_type: TypeOption = None,
    notes: Annotated[str | None, typer.Option(help="Why it is locked.")] = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Lock the subscription, a resource group or a resource, and all that is below it.

    CanNotDelete forbids deletion, ReadOnly every change. A lock on the resource group of restore points also stops
    their automatic clean-up: they pile up until backups fail.
    """
    scope = Scope(resource_group, resource_name, resource_type)
    lock = _resources(context).create_lock(scope, name, lock_type.value, notes)
    print_facts(output, [(title, show(lock)) for title, show in _COLUMNS], lock)


@app.command("list", epilog=example("vmkeep lock list", "vmkeep lock list --resource-group local"))
def list_locks(
    context: typer.Context,
    resource_group: GroupOption = None,
    resource_name: ResourceOption = None,
    resource_type: TypeOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """List the locks that reach a scope: of itself, of what is above it and below it."""
    scope = Scope(resource_group, resource_name, resource_type)
    print_list(output, _COLUMNS, _resources(context).locks(scope), empty="Nothing is locked.")


@app.command(epilog=example("vmkeep lock delete --name keep"))
def delete(
    context: typer.Context,
    name: NameOption,
    resource_group: GroupOption = None,
    resource_name: ResourceOption = None,
    resource_type: TypeOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Take a lock away."""
    scope = Scope(resource_group, resource_name, resource_type)
    lock = _resources(context).delete_lock(scope, name)
    if output is Output.JSON:
        print_json({"deleted": lock["id"]})
        return
    typer.echo(f"Lock '{lock['name']}' on {_scope(lock)} is deleted.")


def _resources(context: typer.Context) -> Resources:
    return Resources(connect(context).session)
