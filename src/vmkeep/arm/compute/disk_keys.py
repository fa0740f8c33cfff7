"""Where the keys of a VM's encrypted disks are kept. Ours alone: docs/formats/arm-extensions.md."""

from fastapi import APIRouter, Request

from vmkeep.arm.compute.machine_answer import show_machine
from vmkeep.arm.compute.machines import find_machine
from vmkeep.arm.keyvault.addresses import find_own_key_vault
from vmkeep.arm.members import Body, Json
from vmkeep.arm.names import MACHINES
from vmkeep.arm.service import Here, MachineGroup, Service
from vmkeep.model.disk_key import KeyReference

router = APIRouter()


class DiskKeysBody(Body):
    """The secret that opens some disks: names of ours, or URLs; the URL of a secret says its key vault too."""

    key_vault: str = ""
    secret: str
    disks: list[str] | None = None


@router.post(
    f"/subscriptions/{{subscription}}/resourceGroups/{{group}}/providers/{MACHINES}/{{vm_name}}/vmkeepSetDiskKeys"
)
def set_disk_keys(
    request: Request,
    here: Here,
    group: MachineGroup,  # noqa: ARG001 - checked
    vm_name: str,
    body: DiskKeysBody,
) -> Json:
    """Note where the keys of encrypted disks are, of all of them unless some are named; returns the VM."""
    vm = find_machine(here, vm_name)
    named = [disk.name for disk in vm.disks if disk.encrypted] if body.disks is None else body.disks
    key = _read_reference(here, request, body)
    here.fabric.set_disk_keys(vm.uuid, dict.fromkeys(named, key))
    return show_machine(here, here.fabric.get_machine(vm.uuid))


def _read_reference(here: Service, request: Request, body: DiskKeysBody) -> KeyReference:
    """Return which secret is meant; raises InvalidValue, and KeyVaultNotFound for one of ours that is not there."""
    key = KeyReference.parse(body.key_vault, body.secret)
    own = find_own_key_vault(here, request, key.key_vault) if key.is_elsewhere else key.key_vault
    if own is None:
        return key
    return KeyReference(here.key_vaults.get(own).name, key.secret)
