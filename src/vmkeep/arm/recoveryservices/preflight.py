"""Will a backup of a VM work? Azure's validation of a VM to protect, and our own, fuller outlook."""

from fastapi import APIRouter

from vmkeep.arm.compute.machines import find_machine
from vmkeep.arm.errors import ItemInOtherVault
from vmkeep.arm.members import Body, Json
from vmkeep.arm.names import MACHINES, last_segment, read_machine_id
from vmkeep.arm.service import Here, MachineGroup, Service
from vmkeep.model.machine import VirtualMachine
from vmkeep.model.outlook import OutlookLine

router = APIRouter()
_SUBSCRIPTION = "/subscriptions/{subscription}"
_ABOUT_PROTECTION = "Protection"


class ValidationBody(Body):
    """A VM to be protected, and the vault that is to do it."""

    resource_id: str
    vault_id: str = ""


@router.post(f"{_SUBSCRIPTION}/resourceGroups/{{group}}/providers/{MACHINES}/{{vm_name}}/vmkeepBackupOutlook")
def outlook(here: Here, group: MachineGroup, vm_name: str) -> Json:  # noqa: ARG001 - checked
    """Return all that a backup of the VM would meet if it ran now."""
    found = here.engine.outlook(find_machine(here, vm_name).uuid)
    vault = here.catalog.get_vault_by_id(found.vault_id) if found.vault_id else None
    return {
        "vmName": found.vm_name,
        "vaultId": here.vault_id(vault) if vault else None,
        "willWork": not found.failures,
        "lines": [_show(line) for line in found.lines],
    }


@router.post(
    f"{_SUBSCRIPTION}/providers/Microsoft.RecoveryServices/locations/{{location}}/backupPreValidateProtection"
)
def validate(here: Here, location: str, body: ValidationBody) -> Json:  # noqa: ARG001 - one location only
    """Return whether a VM can be protected in a vault and backed up, and the first thing in the way."""
    machine = find_machine(here, read_machine_id(body.resource_id).name)
    obstacle = _other_vault(here, machine, body.vault_id) or next(
        (line for line in here.engine.outlook(machine.uuid).failures if line.subject != _ABOUT_PROTECTION),
        None,
    )
    name = here.machine_name(machine.name)
    return {
        "status": "Failed" if obstacle else "Succeeded",
        "errorCode": obstacle.code if obstacle else "Success",
        "errorMessage": obstacle.message if obstacle else "",
        "recommendation": obstacle.advice if obstacle else "",
        "containerName": name.container,
        "protectedItemName": name.item,
    }


def _other_vault(here: Service, machine: VirtualMachine, vault_id: str) -> OutlookLine | None:
    item = here.catalog.find_item_for_vm(machine.uuid)
    if item is None or item.state.stopped or not vault_id:
        return None
    name = here.catalog.get_vault_by_id(item.vault_id).name
    if name.lower() == last_segment(vault_id).lower():
        return None
    return OutlookLine.of(_ABOUT_PROTECTION, ItemInOtherVault(vm=machine.name, vault=name))


def _show(line: OutlookLine) -> Json:
    return {
        "subject": line.subject,
        "weight": line.weight.value,
        "code": line.code,
        "message": line.message,
        "advice": line.advice,
    }
