"""The keys of encrypted disks: fetched from key vaults for a backup, carried by the recovery point from then on."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import structlog

from vmkeep.base.errors import VmkeepError
from vmkeep.model.disk_key import CarriedKey, DiskKeys
from vmkeep.model.disk_selection import is_selected
from vmkeep.model.machine import Disk
from vmkeep.model.protection import ProtectedItem
from vmkeep.workflows.disk_key_errors import DiskKeyNotNamed, key_trouble
from vmkeep.workflows.pillars import Pillars

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class FetchedKeys:
    """The keys of a VM's selected disks as they are now, and as its recovery point is to carry them."""

    keys: DiskKeys = field(repr=False)
    carried: tuple[CarriedKey, ...]


def fetch_keys(pillars: Pillars, item: ProtectedItem, point_id: str) -> FetchedKeys:
    """Ask the key vaults for the keys of an item's encrypted disks; raises DiskKeyNotNamed, and as `key_trouble`."""
    disks = pillars.fabric.get_machine(item.vm_uuid).disks
    selected = [disk for disk in disks if is_selected(item.disk_selection, disk.name, disk.lun)]
    keys, carried = {}, []
    for disk in (disk for disk in selected if disk.encrypted):
        keys[disk.name], key = _fetch(pillars, item, point_id, disk)
        carried.append(key)
    return FetchedKeys(keys, tuple(carried))


def _fetch(pillars: Pillars, item: ProtectedItem, point_id: str, disk: Disk) -> tuple[str, CarriedKey]:
    if disk.key is None:
        raise DiskKeyNotNamed(vm=item.vm_name, disks=disk.name)
    try:
        found = pillars.key_vaults.fetch(disk.key)
    except VmkeepError as error:
        raise key_trouble(item.vm_name, disk.name, disk.key, error) from error
    vault = pillars.catalog.get_vault_by_id(item.vault_id)
    sealed = pillars.repositories.seal(
        vault, found.passphrase.encode(), context=_context(item.vault_id, point_id, disk.name)
    )
    log.info("backup.disk_key.fetched", vm=item.vm_name, disk=disk.name, version=found.version)
    return found.passphrase, CarriedKey(disk.name, disk.key, found.version, sealed, found.secret_backup)


def open_keys(pillars: Pillars, vault_id: str, point_id: str, carried: Sequence[CarriedKey]) -> DiskKeys:
    """Return the keys that a recovery point carries; no key vault is asked but the one that opens the vault."""
    if not carried:
        return {}
    vault = pillars.catalog.get_vault_by_id(vault_id)
    return {
        key.disk: pillars.repositories.unseal(
            vault, key.sealed, context=_context(vault_id, point_id, key.disk)
        ).decode()
        for key in carried
    }


def _context(vault_id: str, point_id: str, disk: str) -> str:
    """Bind a key to its place: moved to another point or disk, it does not open."""
    return f"disk key {vault_id}/{point_id}/{disk}"
