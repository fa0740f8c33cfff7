"""Where the keys of a VM's encrypted disks are kept. Ours alone: docs/formats/arm-extensions.md."""

from fastapi import APIRouter

from vmkeep.arm.compute.machine_answer import show_machine
from vmkeep.arm.compute.machines import find_machine
from vmkeep.arm.members import Body, Json
from vmkeep.arm.names import MACHINES
from vmkeep.arm.service import Here, MachineGroup
from vmkeep.model.disk_key import KeyReference

router = APIRouter()


class DiskKeysBody(Body):
    """The secret that opens some disks."""

    key_vault: str
    secret: str
    disks: list[str] | None = None


@router.post(
    f"/subscriptions/{{subscription}}/resourceGroups/{{group}}/providers/{MACHINES}/{{vm_name}}/vmkeepSetDiskKeys"
)
def set_disk_keys(here: Here, group: MachineGroup, vm_name: str, body: DiskKeysBody) -> Json:  # noqa: ARG001 - checked
    """Note where the keys of encrypted disks are, of all of them unless some are named; returns the VM."""
    vm = find_machine(here, vm_name)
    named = [disk.name for disk in vm.disks if disk.encrypted] if body.disks is None else body.disks
    here.key_vaults.get(body.key_vault)
    here.fabric.set_disk_keys(vm.uuid, {disk: KeyReference(body.key_vault, body.secret) for disk in named})
    return show_machine(here, here.fabric.get_machine(vm.uuid))
