"""Containers and protectable items: the VMs of this host as the vault sees them."""

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from vmkeep.arm.errors import OperationNotFound, ResourceNotFound
from vmkeep.arm.filters import Filter
from vmkeep.arm.members import Json
from vmkeep.arm.names import VAULTS, MachineName, container_id, read_item_name
from vmkeep.arm.operations import finished_answer
from vmkeep.arm.paging import page
from vmkeep.arm.recoveryservices.scope import (
    CONTAINER,
    FABRIC,
    VAULT,
    FilterText,
    TheVault,
    find_item,
    machine_of,
)
from vmkeep.arm.service import Here, Service
from vmkeep.base.ids import new_guid
from vmkeep.model.machine import VirtualMachine
from vmkeep.model.protection import Vault

router = APIRouter()
_VM_KIND = "Microsoft.Compute/virtualMachines"


@router.post(f"{FABRIC}/refreshContainers")
def refresh(request: Request, here: Here, vault: TheVault, fabric: str) -> Response:
    """Look at the host's VMs anew; raises when the host cannot be asked."""
    here.fabric.list_machines()
    operation_id = new_guid()
    here.finished.add(operation_id, here.clock.now())
    version = request.query_params.get("api-version", "2026-10-01")
    base = f"{str(request.base_url).rstrip('/')}{here.vault_id(vault)}/backupFabrics/{fabric}"
    location = f"{base}/operationResults/{operation_id}?api-version={version}"
    return Response(status_code=202, headers={"Location": location, "Retry-After": "0"})


@router.get(f"{FABRIC}/operationResults/{{operation_id}}")
def refresh_result(here: Here, operation_id: str) -> Response:
    """Return 204: a refresh is over when it is answered."""
    if here.finished.find(operation_id) is None:
        raise OperationNotFound(id=operation_id)
    return Response(status_code=204)


@router.get(f"{FABRIC}/operationsStatus/{{operation_id}}")
def refresh_status(request: Request, here: Here, operation_id: str) -> JSONResponse:
    """Return the state of a refresh."""
    ended = here.finished.find(operation_id)
    if ended is None:
        raise OperationNotFound(id=operation_id)
    return finished_answer(operation_id, ended, request.url.path)


@router.get(f"{VAULT}/backupProtectableItems")
def list_protectable(request: Request, here: Here, vault: TheVault, filter_text: FilterText = None) -> Json:
    """Return the VMs that no vault protects and this one has no item of, stopped or not."""
    wanted = Filter(filter_text).accepts("backupManagementType", "AzureIaasVM")
    items = here.catalog.list_items()
    taken = {item.vm_uuid for item in items if item.vault_id == vault.id or not item.state.stopped}
    free = [vm for vm in here.fabric.list_machines() if vm.uuid not in taken] if wanted else []
    return page(request, free, lambda vm: _show_protectable(here, vault, vm))


@router.get(f"{VAULT}/backupProtectionContainers")
def list_containers(request: Request, here: Here, vault: TheVault, filter_text: FilterText = None) -> Json:
    """Return the containers of the VMs that this vault protects."""
    asked = Filter(filter_text)
    wanted = asked.accepts("backupManagementType", "AzureIaasVM") and asked.accepts("status", "Registered")
    items = [
        item for item in here.catalog.list_items(vault.id) if asked.accepts("friendlyName", item.vm_name)
    ]
    return page(request, items if wanted else [], lambda item: _show_container(here, vault, machine_of(item)))


@router.get(CONTAINER)
def get_container(here: Here, vault: TheVault, container: str) -> Json:
    """Return the container of a VM that this vault protects."""
    machine = read_item_name(container)
    item = find_item(here, vault, machine)
    if item is None:
        raise ResourceNotFound(
            type=f"{VAULTS}/protectionContainers", name=container, resource_group=vault.resource_group
        )
    return _show_container(here, vault, machine_of(item))


@router.get(f"{VAULT}/backupDeletedProtectionContainers")
def list_deleted(vault: TheVault) -> Json:  # noqa: ARG001 - only to refuse unknown vaults
    """Return none: what is deleted is gone, there is no soft delete."""
    return {"value": []}


def _show_protectable(here: Service, vault: Vault, vm: VirtualMachine) -> Json:
    machine = here.machine_name(vm.name)
    container = container_id(here.vault_id(vault), machine)
    return {
        "id": f"{container}/protectableItems/vm;{machine.short}",
        "name": machine.short,
        "type": f"{VAULTS}/backupFabrics/protectionContainers/protectableItems",
        "properties": {
            "protectableItemType": _VM_KIND,
            "backupManagementType": "AzureIaasVM",
            "workloadType": "VM",
            "friendlyName": vm.name,
            "protectionState": "NotProtected",
            "virtualMachineId": here.ids.machine(machine),
            "virtualMachineVersion": "Compute",
            "resourceGroup": machine.resource_group,
        },
    }


def _show_container(here: Service, vault: Vault, machine: MachineName) -> Json:
    return {
        "id": container_id(here.vault_id(vault), machine),
        "name": machine.container,
        "type": f"{VAULTS}/backupFabrics/protectionContainers",
        "properties": {
            "friendlyName": machine.name,
            "backupManagementType": "AzureIaasVM",
            "registrationStatus": "Registered",
            "healthStatus": "Healthy",
            "containerType": _VM_KIND,
            "protectableObjectType": _VM_KIND,
            "virtualMachineId": here.ids.machine(machine),
            "virtualMachineVersion": "Compute",
            "resourceGroup": machine.resource_group,
        },
    }
