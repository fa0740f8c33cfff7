"""VMs of this host."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from vmkeep.arm.compute.machine_answer import show_instance_view, show_machine
from vmkeep.arm.members import Json
from vmkeep.arm.names import MACHINES
from vmkeep.arm.paging import page
from vmkeep.arm.service import Here, MachineGroup, Service
from vmkeep.model.machine import VirtualMachine

router = APIRouter()
_SUBSCRIPTION = "/subscriptions/{subscription}"
_LIST = f"{_SUBSCRIPTION}/resourceGroups/{{group}}/providers/{MACHINES}"
_ONE = f"{_LIST}/{{vm_name}}"
Expand = Annotated[str, Query(alias="$expand")]


@router.get(f"{_SUBSCRIPTION}/providers/{MACHINES}")
def list_all(request: Request, here: Here) -> Json:
    """Return all VMs."""
    return page(request, here.fabric.list_machines(), lambda vm: show_machine(here, vm))


@router.get(_LIST)
def list_of_group(request: Request, here: Here, group: MachineGroup) -> Json:  # noqa: ARG001 - checked
    """Return all VMs: they are in one resource group."""
    return list_all(request, here)


@router.get(_ONE)
def get(here: Here, group: MachineGroup, vm_name: str, expand: Expand = "") -> Json:  # noqa: ARG001 - checked
    """Return one VM, with its instance view when asked."""
    vm = find_machine(here, vm_name)
    shown = show_machine(here, vm)
    if expand.lower() == "instanceview":
        shown["properties"]["instanceView"] = show_instance_view(here, vm)
    return shown


@router.get(f"{_ONE}/instanceView")
def instance_view(here: Here, group: MachineGroup, vm_name: str) -> Json:  # noqa: ARG001 - checked
    """Return how a VM is right now."""
    return show_instance_view(here, find_machine(here, vm_name))


@router.post(f"{_ONE}/vmkeepCollect")
def collect(here: Here, group: MachineGroup, vm_name: str) -> Response:  # noqa: ARG001 - checked
    """Return our side's logs and what the agent left in the guest as a tar.gz."""
    return Response(here.fabric.collect(find_machine(here, vm_name).uuid), media_type="application/gzip")


def find_machine(here: Service, name: str) -> VirtualMachine:
    """Return a VM by name, the name's case ignored unless that is ambiguous; raises VmNotFound."""
    machines = here.fabric.list_machines()
    alike = [vm for vm in machines if vm.name.lower() == name.lower()]
    exact = [vm for vm in alike if vm.name == name]
    if len(alike) == 1 or exact:
        return (exact or alike)[0]
    return here.fabric.get_machine(name)
