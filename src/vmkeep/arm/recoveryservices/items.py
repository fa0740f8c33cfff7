"""Protected items: protect, stop and resume protection, delete, back up now."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter, Request
from fastapi.responses import Response

from vmkeep.arm.authorization.lock_guard import check_locks
from vmkeep.arm.errors import BadRequestBody, ItemInOtherVault
from vmkeep.arm.filters import Filter
from vmkeep.arm.members import Body, Json, any_case
from vmkeep.arm.names import MachineName, item_id, last_segment, read_item_name, read_machine_id
from vmkeep.arm.operations import accepted
from vmkeep.arm.paging import page
from vmkeep.arm.recoveryservices.disk_selection import ExtendedProperties, read_selection
from vmkeep.arm.recoveryservices.item_answer import show_item
from vmkeep.arm.recoveryservices.scope import (
    ITEM,
    VAULT,
    FilterText,
    TheItem,
    TheVault,
    find_item,
    machine_of,
)
from vmkeep.arm.service import Here, Service
from vmkeep.base.ids import new_guid
from vmkeep.model.job import Job, JobOperation, JobStatus
from vmkeep.model.lock import Change
from vmkeep.model.machine import Consistency, VirtualMachine
from vmkeep.model.protection import ProtectedItem, ProtectionState, Vault

router = APIRouter()


class WantedState(StrEnum):
    """States a client may ask for."""

    STOPPED = "ProtectionStopped"
    SUSPENDED = "BackupsSuspended"
    PROTECTED = "Protected"
    PENDING = "IRPending"


_STOPPED = {
    WantedState.STOPPED: ProtectionState.PROTECTION_STOPPED,
    WantedState.SUSPENDED: ProtectionState.BACKUPS_SUSPENDED,
}


class ItemOptions(Body):
    """What Azure has no word for."""

    least_consistency: Annotated[Consistency | None, any_case(Consistency)] = None


class ItemProperties(Body):
    """What a client wants of an item."""

    source_resource_id: str = ""
    policy_id: str = ""
    protection_state: Annotated[WantedState | None, any_case(WantedState)] = None
    extended_properties: ExtendedProperties | None = None
    vmkeep: ItemOptions = ItemOptions()


class ItemBody(Body):
    """An item as clients send it."""

    properties: ItemProperties


class BackupProperties(Body):
    """Options of a backup on demand."""

    recovery_point_expiry_time_in_utc: datetime | None = None


class BackupBody(Body):
    """A backup on demand as clients send it."""

    properties: BackupProperties = BackupProperties()


@router.put(ITEM)
def put_item(request: Request, here: Here, vault: TheVault, item_name: str, body: ItemBody) -> Response:
    """Protect a VM, change its policy, or stop its protection, as the body says."""
    wanted = body.properties
    machine = _machine(wanted, item_name)
    item = find_item(here, vault, machine)
    stopped = _STOPPED.get(wanted.protection_state) if wanted.protection_state else None
    if stopped:
        if item is None:
            raise BadRequestBody(why=f"VM '{machine.name}' is not protected in this vault")
        here.catalog.update_item(item.id, state=stopped)
        job = _done(here, item, JobOperation.DISABLE_BACKUP)
    else:
        item = _changed(here, item, wanted) if item else _protected_anew(here, vault, machine, wanted)
        job = _done(here, item, JobOperation.CONFIGURE_BACKUP)
    return accepted(request, item_id(here.vault_id(vault), machine), job.id)


@router.get(ITEM)
def get_item(here: Here, vault: TheVault, item: TheItem) -> Json:
    """Return one item."""
    return show_item(here, vault, item)


@router.delete(ITEM)
def delete_item(request: Request, here: Here, vault: TheVault, item_name: str) -> Response:
    """Delete an item and all its recovery points; 204 when there is none."""
    item = find_item(here, vault, read_item_name(item_name))
    if item is None:
        return Response(status_code=204)
    if any(point.restore_point for point in here.catalog.list_recovery_points(item.id)):
        check_locks(here, here.place.collection_id(item.vm_name), Change.DELETE)
    job = here.engine.start_delete_item_data(item, reason="user: delete backup data")
    return accepted(request, item_id(here.vault_id(vault), machine_of(item)), job.id)


@router.get(f"{VAULT}/backupProtectedItems")
def list_items(request: Request, here: Here, vault: TheVault, filter_text: FilterText = None) -> Json:
    """Return the items of a vault."""
    asked = Filter(filter_text)
    wanted = asked.accepts("backupManagementType", "AzureIaasVM") and asked.accepts("itemType", "VM")
    items = [
        item for item in here.catalog.list_items(vault.id) if asked.accepts("policyName", item.policy_name)
    ]
    return page(request, items if wanted else [], lambda item: show_item(here, vault, item))


@router.post(f"{ITEM}/backup")
def backup(request: Request, here: Here, vault: TheVault, item: TheItem, body: BackupBody) -> Response:
    """Start a backup now."""
    until = body.properties.recovery_point_expiry_time_in_utc
    if until is not None and until.tzinfo is None:
        raise BadRequestBody(why="recoveryPointExpiryTimeInUTC needs a time zone, such as Z")
    if until is not None and until <= here.clock.now():
        raise BadRequestBody(why=f"recoveryPointExpiryTimeInUTC {until.isoformat()} is in the past")
    job = here.engine.start_backup(item, reason="user: backup-now", retain_until=until)
    return accepted(request, item_id(here.vault_id(vault), machine_of(item)), job.id)


def _machine(wanted: ItemProperties, item_name: str) -> MachineName:
    machine = read_item_name(item_name)
    if wanted.source_resource_id:
        source = read_machine_id(wanted.source_resource_id)
        if source.name.lower() != machine.name.lower():
            raise BadRequestBody(why=f"sourceResourceId names VM '{source.name}', the path '{machine.name}'")
    return machine


def _changed(here: Service, item: ProtectedItem, wanted: ItemProperties) -> ProtectedItem:
    """Put an item under a policy, again or another one, its disks and least consistency as asked; what is not said stays."""
    policy = here.catalog.get_policy(item.vault_id, last_segment(wanted.policy_id) or item.policy_name)
    if item.state.stopped:
        _refuse_second_vault(here, item.vm_uuid, item.vm_name)
    selection = item.disk_selection
    if wanted.extended_properties is not None:
        selection = read_selection(wanted.extended_properties, here.fabric.get_machine(item.vm_uuid))
    state = ProtectionState.PROTECTED if item.last_recovery_point else ProtectionState.IR_PENDING
    here.catalog.update_item(
        item.id,
        state=state,
        policy_name=policy.name,
        disk_selection=selection,
        least_consistency=wanted.vmkeep.least_consistency or item.least_consistency,
    )
    return here.catalog.get_item(item.id)


def _protected_anew(
    here: Service, vault: Vault, machine: MachineName, wanted: ItemProperties
) -> ProtectedItem:
    """Protect a VM; raises when policy or VM do not exist, or another vault protects the VM."""
    name = last_segment(wanted.policy_id)
    if not name:
        raise BadRequestBody(why="properties.policyId is missing")
    policy = here.catalog.get_policy(vault.id, name)
    vm = _find_machine(here, machine)
    _refuse_second_vault(here, vm.uuid, vm.name)
    item = ProtectedItem(
        id=new_guid(),
        vault_id=vault.id,
        vm_uuid=vm.uuid,
        vm_name=vm.name,
        resource_group=here.resource_group,
        policy_name=policy.name,
        state=ProtectionState.IR_PENDING,
        created=here.clock.now(),
        disk_selection=read_selection(wanted.extended_properties or ExtendedProperties(), vm),
        least_consistency=wanted.vmkeep.least_consistency or Consistency.CRASH,
    )
    here.catalog.put_item(item)
    return item


def _find_machine(here: Service, machine: MachineName) -> VirtualMachine:
    """Return the VM, its name's case ignored; raises VmNotFound."""
    names = {vm.name.lower(): vm.uuid for vm in here.fabric.list_machines()}
    return here.fabric.get_machine(names.get(machine.name.lower(), machine.name))


def _refuse_second_vault(here: Service, vm_uuid: str, vm_name: str) -> None:
    other = here.catalog.find_item_for_vm(vm_uuid)
    if other is not None and not other.state.stopped:
        raise ItemInOtherVault(vm=vm_name, vault=here.catalog.get_vault_by_id(other.vault_id).name)


def _done(here: Service, item: ProtectedItem, operation: JobOperation) -> Job:
    """Leave a job that says what was done to the item; it is over at once."""
    now = here.clock.now()
    job = Job(
        id=new_guid(),
        vault_id=item.vault_id,
        operation=operation,
        status=JobStatus.COMPLETED,
        reason=f"user: {operation.value}",
        started=now,
        ended=now,
        item_id=item.id,
        item_name=item.vm_name,
        properties={"Policy Name": item.policy_name},
    )
    here.catalog.create_job(job)
    return job
