"""Protected items."""

from dataclasses import replace
from datetime import datetime
from typing import TypedDict, Unpack

from sqlalchemy import RowMapping, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.sql import ColumnElement

from vmkeep.catalog.errors import (
    AlreadyProtected,
    ItemHasRecoveryPoints,
    ItemNotFound,
    PolicyNotFound,
    VaultNotFound,
)
from vmkeep.catalog.rows import Records, delete_rows, put_row, values_of
from vmkeep.catalog.schema import items, policies, vaults
from vmkeep.model.disk_selection import DiskSelection
from vmkeep.model.machine import Consistency
from vmkeep.model.protection import ProtectedItem, ProtectionState


class ItemChanges(TypedDict, total=False):
    """What may change about an item."""

    vm_uuid: str
    vm_name: str
    state: ProtectionState
    policy_name: str
    disk_selection: DiskSelection | None
    least_consistency: Consistency
    last_backup: datetime | None
    last_backup_status: str
    last_recovery_point: datetime | None


class ItemRecords(Records):
    """The protected items of all vaults. A VM has one active item; stopped ones keep its points in other vaults."""

    def put_item(self, item: ProtectedItem) -> None:
        """Keep an item, new or changed; raises AlreadyProtected, PolicyNotFound, VaultNotFound."""
        try:
            with self._database.writing() as connection:
                put_row(connection, items, {**values_of(item), "policy_name": item.policy_name or None})
        except IntegrityError as error:
            raise self._why_refused(item) from error

    def update_item(self, item_id: str, **changes: Unpack[ItemChanges]) -> None:
        """Change something about an item, and nothing else; an item that is gone stays gone.

        Raises AlreadyProtected, PolicyNotFound.
        """
        try:
            with self._database.writing() as connection:
                connection.execute(update(items).where(items.c.id == item_id).values(**changes))
        except IntegrityError as error:
            changed = replace(self.get_item(item_id), policy_name=changes.get("policy_name", ""))
            raise self._why_refused(changed) from error

    def find_item_for_vm(self, vm_uuid: str) -> ProtectedItem | None:
        """Return the item that protects a VM, the newest of the stopped ones when none does, or None."""
        found = self.list_items_for_vm(vm_uuid)
        return next((item for item in found if not item.state.stopped), found[0] if found else None)

    def list_items_for_vm(self, vm_uuid: str) -> list[ProtectedItem]:
        """Return all items of a VM, newest first: an active one, and stopped ones in old vaults."""
        query = select(items).where(items.c.vm_uuid == vm_uuid).order_by(items.c.created.desc(), items.c.id)
        with self._database.reading() as connection:
            return [_item(row) for row in connection.execute(query).mappings()]

    def get_item(self, item_id: str) -> ProtectedItem:
        """Return an item; raises ItemNotFound."""
        item = self._find_item(items.c.id == item_id)
        if item is None:
            raise ItemNotFound(item=item_id)
        return item

    def get_item_by_name(self, vault_id: str, resource_group: str, vm_name: str) -> ProtectedItem:
        """Return the item of a vault for the VM of that name; raises ItemNotFound."""
        item = self._find_item(
            items.c.vault_id == vault_id,
            func.lower(items.c.resource_group) == resource_group.lower(),
            func.lower(items.c.vm_name) == vm_name.lower(),
        )
        if item is None:
            raise ItemNotFound(item=vm_name)
        return item

    def list_items(self, vault_id: str | None = None) -> list[ProtectedItem]:
        """Return the items by VM name, of one vault or of all."""
        query = select(items).order_by(items.c.vm_name, items.c.id)
        if vault_id is not None:
            query = query.where(items.c.vault_id == vault_id)
        with self._database.reading() as connection:
            return [_item(row) for row in connection.execute(query).mappings()]

    def delete_item(self, item_id: str) -> None:
        """Forget an item that has no recovery points; raises ItemNotFound, ItemHasRecoveryPoints."""
        try:
            with self._database.writing() as connection:
                found = delete_rows(connection, items, items.c.id == item_id)
        except IntegrityError as error:
            raise ItemHasRecoveryPoints(item=self.get_item(item_id).vm_name) from error
        if not found:
            raise ItemNotFound(item=item_id)

    def _find_item(self, *where: ColumnElement[bool]) -> ProtectedItem | None:
        with self._database.reading() as connection:
            row = connection.execute(select(items).where(*where)).mappings().first()
        return _item(row) if row else None

    def _why_refused(self, item: ProtectedItem) -> AlreadyProtected | PolicyNotFound | VaultNotFound:
        has_vault = select(vaults.c.id).where(vaults.c.id == item.vault_id)
        has_policy = select(policies.c.name).where(
            policies.c.vault_id == item.vault_id, policies.c.name == item.policy_name
        )
        with self._database.reading() as connection:
            if connection.execute(has_vault).first() is None:
                return VaultNotFound(vault=item.vault_id)
            if item.policy_name and connection.execute(has_policy).first() is None:
                return PolicyNotFound(policy=item.policy_name)
        return AlreadyProtected(vm=item.vm_name)


def _item(row: RowMapping) -> ProtectedItem:
    return ProtectedItem(**{**row, "policy_name": row["policy_name"] or ""})
