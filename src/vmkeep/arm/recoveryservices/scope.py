"""What a path under a vault means: the vault, the item, the recovery point, found once for every route."""

from typing import Annotated

from fastapi import Depends, Query

from vmkeep.arm.errors import ResourceNotFound
from vmkeep.arm.names import VAULTS, MachineName, read_item_name
from vmkeep.arm.service import Here, Service
from vmkeep.model.protection import ProtectedItem, RecoveryPoint, Vault

GROUP = "/subscriptions/{subscription}/resourceGroups/{group}"
VAULT = f"{GROUP}/providers/{VAULTS}/{{vault_name}}"
FABRIC = f"{VAULT}/backupFabrics/{{fabric}}"
CONTAINER = f"{FABRIC}/protectionContainers/{{container}}"
ITEM = f"{CONTAINER}/protectedItems/{{item_name}}"
POINT = f"{ITEM}/recoveryPoints/{{point_id}}"


def _vault(here: Here, group: str, vault_name: str) -> Vault:
    found = here.catalog.find_vault(group, vault_name)
    if found is None:
        raise ResourceNotFound(type=VAULTS, name=vault_name, resource_group=group)
    return found


TheVault = Annotated[Vault, Depends(_vault)]


def find_item(here: Service, vault: Vault, machine: MachineName) -> ProtectedItem | None:
    """Return the item of a VM in a vault, the names' case ignored unless that is ambiguous, or None."""
    items = [
        item
        for item in here.catalog.list_items(vault.id)
        if item.resource_group.lower() == machine.resource_group.lower()
        and item.vm_name.lower() == machine.name.lower()
    ]
    exact = [item for item in items if item.vm_name == machine.name]
    return next(iter(exact or items), None)


def _item(here: Here, vault: TheVault, item_name: str) -> ProtectedItem:
    machine = read_item_name(item_name)
    found = find_item(here, vault, machine)
    if found is None:
        raise ResourceNotFound(
            type=f"{VAULTS}/protectedItems", name=machine.item, resource_group=vault.resource_group
        )
    return found


TheItem = Annotated[ProtectedItem, Depends(_item)]


def _point(here: Here, item: TheItem, point_id: str) -> RecoveryPoint:
    return here.catalog.get_recovery_point(item.id, point_id)


ThePoint = Annotated[RecoveryPoint, Depends(_point)]


def machine_of(item: ProtectedItem) -> MachineName:
    """Return the wire name of an item's VM."""
    return MachineName(resource_group=item.resource_group, name=item.vm_name)


FilterText = Annotated[str | None, Query(alias="$filter")]
