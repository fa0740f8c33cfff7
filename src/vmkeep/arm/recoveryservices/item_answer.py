"""A protected item as ARM shows it."""

from datetime import datetime

from vmkeep.arm.members import Json
from vmkeep.arm.names import MACHINES, VAULTS, item_id, policy_id
from vmkeep.arm.recoveryservices.disk_selection import show_selection
from vmkeep.arm.recoveryservices.scope import machine_of
from vmkeep.arm.service import Service
from vmkeep.arm.wire_time import find_time
from vmkeep.model.errors import InvalidPolicy
from vmkeep.model.lock import Change, locks_against
from vmkeep.model.protection import ProtectedItem, Vault
from vmkeep.workflows.errors import name_locks


def show_item(here: Service, vault: Vault, item: ProtectedItem) -> Json:
    """Return the item. `az` needs some members to exist even when they are null."""
    machine = machine_of(item)
    vault_id = here.vault_id(vault)
    return {
        "id": item_id(vault_id, machine),
        "name": machine.item,
        "type": f"{VAULTS}/backupFabrics/protectionContainers/protectedItems",
        "properties": {
            "protectedItemType": MACHINES,
            "backupManagementType": "AzureIaasVM",
            "workloadType": "VM",
            "friendlyName": item.vm_name,
            "containerName": machine.short,
            "virtualMachineId": here.ids.machine(machine),
            "sourceResourceId": here.ids.machine(machine),
            "sourceLocation": here.location,
            "vaultId": vault_id,
            "policyId": _policy(vault_id, item),
            "policyName": item.policy_name,
            "policyType": _find_policy(here, item).get("policyType", "V1"),
            "protectionState": item.state.value,
            "lastBackupStatus": item.last_backup_status or None,
            "lastBackupTime": find_time(item.last_backup),
            "lastRecoveryPoint": find_time(item.last_recovery_point),
            "protectedItemDataId": item.id,
            "isArchiveEnabled": False,
            "softDeleteRetentionPeriod": 0,
            "softDeleteRetentionPeriodInDays": 0,
            "extendedProperties": show_selection(item.disk_selection),
            "vmkeep": {"nextBackup": find_time(_find_next_backup(here, item))},
            **_health(here, item),
        },
    }


def _find_policy(here: Service, item: ProtectedItem) -> Json:
    """Return the properties of the item's policy; empty when it has none."""
    return here.catalog.get_policy(item.vault_id, item.policy_name).properties if item.policy_name else {}


def _find_next_backup(here: Service, item: ProtectedItem) -> datetime | None:
    """Return when the item is due next; None when it never is by itself."""
    if item.state.stopped or not item.policy_name:
        return None
    try:
        schedule = here.catalog.get_policy(item.vault_id, item.policy_name).schedule
    except InvalidPolicy:
        return None
    return schedule.next_due(here.clock.now()) if schedule else None


def _policy(vault_id: str, item: ProtectedItem) -> str:
    """Return the policy's id; a stopped item is under none, though it keeps the name to resume by."""
    return "" if item.state.stopped else policy_id(vault_id, item.policy_name)


def _health(here: Service, item: ProtectedItem) -> Json:
    failed = item.last_backup_status == "Failed"
    locked = _locked_clean_up(here, item)
    detail = {
        "code": 400239,
        "title": "IaasVmHealthGreenDefault",
        "message": "Backup pre-check status of this virtual machine is OK.",
        "recommendations": [],
    }
    return {
        "protectionStatus": "Unhealthy" if failed else "Healthy",
        "healthStatus": "ActionRequired" if failed else "ActionSuggested" if locked else "Passed",
        "healthDetails": [locked] if locked else [] if failed else [detail],
    }


def _locked_clean_up(here: Service, item: ProtectedItem) -> Json | None:
    """Return why restore points pile up, when a lock keeps them."""
    collection = here.place.collection_id(item.vm_name)
    locks = locks_against(here.catalog.list_locks(), collection, Change.DELETE)
    if not locks:
        return None
    held = sum(point.restore_point is not None for point in here.catalog.list_recovery_points(item.id))
    return {
        "code": 400240,
        "title": "RestorePointCleanUpLocked",
        "message": f"A lock prevents the automatic clean-up of restore points; {held} are held. "
        "When there are too many, backups fail.",
        "recommendations": [f"Remove {name_locks(locks)}."],
    }
