"""A protected VM is known by its UUID: what to do when people renamed it, or defined it anew on its disks."""

from collections.abc import Iterator
from dataclasses import replace

from vmkeep.base.errors import VmkeepError
from vmkeep.model.machine import VirtualMachine
from vmkeep.model.protection import ProtectedItem, RecoveryPoint
from vmkeep.model.restore_point import RestorePoint, Warned
from vmkeep.workflows.errors import ProtectedVmGone
from vmkeep.workflows.job_run import JobRun
from vmkeep.workflows.pillars import Pillars


def follow_vm(pillars: Pillars, run: JobRun, item: ProtectedItem) -> ProtectedItem:
    """Return the item as its VM is now, and warn of what changed; raises ProtectedVmGone when none is certainly the one."""
    machine = _find_machine(pillars, item)
    if machine.uuid != item.vm_uuid:
        what = f"VM '{item.vm_name}' has another UUID: {machine.uuid} instead of {item.vm_uuid}"
        run.warn(Warned("VmRedefined", f"{what}; it is on the same disks and goes on as the same item"))
        others = [one for one in pillars.catalog.list_items_for_vm(item.vm_uuid) if one.id != item.id]
        for one in (*others, item):  # this one last: it is what is looked at after a crash
            pillars.catalog.update_item(one.id, vm_uuid=machine.uuid)
    if machine.name != item.vm_name and _is_free(pillars, item, machine.name):
        what = f"VM '{item.vm_name}' is named '{machine.name}' now"
        run.warn(Warned("VmRenamed", f"{what}, and so is its item; older jobs keep the old name"))
        pillars.catalog.update_item(item.id, vm_name=machine.name)
    return pillars.catalog.get_item(item.id)


def _find_machine(pillars: Pillars, item: ProtectedItem) -> VirtualMachine:
    try:
        return pillars.fabric.get_machine(item.vm_uuid)
    except VmkeepError as error:
        if error.code != "VmNotFound":
            raise
        held = {held.id: (point, held) for point, held in _restore_points(pillars, item.vm_uuid)}
        successor = pillars.fabric.find_successor(item.vm_uuid, held)
        if successor is None or pillars.catalog.find_item_for_vm(successor) is not None:
            raise ProtectedVmGone(vm=item.vm_name, vm_uuid=item.vm_uuid) from error
        pillars.fabric.take_over_points(item.vm_uuid, successor)
        for point, restore_point in held.values():
            moved = replace(restore_point, vm_uuid=successor)
            pillars.catalog.put_recovery_point(replace(point, restore_point=moved))
        return pillars.fabric.get_machine(successor)


def _restore_points(pillars: Pillars, vm_uuid: str) -> Iterator[tuple[RecoveryPoint, RestorePoint]]:
    """Yield the recovery points of a VM, in whatever vault, that are in the instant tier."""
    for item in pillars.catalog.list_items_for_vm(vm_uuid):
        for point in pillars.catalog.list_recovery_points(item.id):
            if point.restore_point is not None:
                yield point, point.restore_point


def _is_free(pillars: Pillars, item: ProtectedItem, name: str) -> bool:
    """Whether no other item of the vault has that name."""
    others = (other for other in pillars.catalog.list_items(item.vault_id) if other.id != item.id)
    return all(other.vm_name.lower() != name.lower() for other in others)
