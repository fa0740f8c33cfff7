"""Rules that a backup must pass before the guest is touched. Each is a pure function of facts.

What only the hypervisor can tell (the VM's state, room for layers, files that vanished) is the fabric's to refuse,
likewise before it touches the guest: `FabricPort.capture_obstacles`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from vmkeep.base.errors import VmkeepError
from vmkeep.model.disk_key import KeyReference, KeyVaultRights
from vmkeep.model.disk_selection import is_selected
from vmkeep.model.lock import Lock
from vmkeep.model.machine import Disk, VirtualMachine
from vmkeep.model.protection import ProtectedItem, ProtectionState, RecoveryPoint
from vmkeep.model.retention import plan_expiry
from vmkeep.workflows.disk_key_errors import DiskKeyNotNamed, KeyVaultPermissionsMissing, key_trouble
from vmkeep.workflows.errors import (
    LimitCause,
    NotActivelyProtected,
    ProtectedVmGone,
    RestorePointLimitReached,
    TooManyDisks,
    UnsupportedDiskSize,
    name_locks,
)
from vmkeep.workflows.limits import Limits
from vmkeep.workflows.pillars import Pillars
from vmkeep.workflows.restore_point_locks import locks_on_restore_points


@dataclass(frozen=True, slots=True)
class Facts:
    """What the rules look at. `restore_points` counts those of the VM in all vaults."""

    item: ProtectedItem
    machine: VirtualMachine
    restore_points: int
    limits: Limits
    locks: tuple[Lock, ...] = ()
    """Those that keep restore points from being deleted."""
    rights: Mapping[KeyReference, KeyVaultRights | None] = field(default_factory=dict)
    """By the secret of an encrypted disk; None: its key vault is not there."""
    key_error: VmkeepError | None = None
    """What keeps a key vault from saying which rights there are."""
    expired: int = 0
    """Restore points that are too old and still there."""

    @property
    def disks(self) -> list[Disk]:
        """Return the disks that would be backed up."""
        selection = self.item.disk_selection
        return [disk for disk in self.machine.disks if is_selected(selection, disk.name, disk.lun)]


Rule = Callable[[Facts], VmkeepError | None]


def protection_is_active(facts: Facts) -> NotActivelyProtected | None:
    """No backup of an item whose protection was stopped."""
    item = facts.item
    return NotActivelyProtected(vm=item.vm_name, state=item.state) if item.state.stopped else None


def disks_are_not_too_large(facts: Facts) -> UnsupportedDiskSize | None:
    """No disk above the limit; one that is left out may have any size."""
    limit = facts.limits.disk_bytes
    large = {disk.name: disk.size_bytes for disk in facts.disks if disk.size_bytes > limit}
    if not large:
        return None
    return UnsupportedDiskSize(vm=facts.machine.name, disks=large, limit_bytes=limit)


def disks_are_not_too_many(facts: Facts) -> TooManyDisks | None:
    """No more disks than the limit."""
    count, limit = len(facts.disks), facts.limits.disks
    return TooManyDisks(vm=facts.machine.name, disks=count, limit=limit) if count > limit else None


def disk_keys_are_named(facts: Facts) -> DiskKeyNotNamed | None:
    """No encrypted disk whose key nobody can find."""
    nameless = [disk.name for disk in facts.disks if disk.encrypted and disk.key is None]
    return DiskKeyNotNamed(vm=facts.machine.name, disks=", ".join(nameless)) if nameless else None


def key_vaults_permit(facts: Facts) -> KeyVaultPermissionsMissing | None:
    """No key vault of an encrypted disk that keeps the service out."""
    for reference, rights in facts.rights.items():
        if rights and rights.missing:
            return KeyVaultPermissionsMissing(
                vm=facts.machine.name,
                key_vault=reference.key_vault,
                identity=rights.identity,
                missing=list(rights.missing),
                grant=rights.grant,
            )
    return None


def key_vaults_answer(facts: Facts) -> VmkeepError | None:
    """No key vault elsewhere that is out of reach, or whose secret is not there."""
    return facts.key_error


def restore_points_are_not_too_many(facts: Facts) -> RestorePointLimitReached | None:
    """Room for one more restore point."""
    held, limit = facts.restore_points, facts.limits.instant_points
    if held < limit:
        return None
    unlocked = LimitCause.CLEAN_UP_BEHIND if facts.expired else LimitCause.SEVERAL_BACKUPS_A_DAY
    return RestorePointLimitReached(
        vm=facts.machine.name,
        restore_points=held,
        limit=limit,
        cause=LimitCause.LOCK if facts.locks else unlocked,
        locks=name_locks(facts.locks),
    )


RULES: tuple[Rule, ...] = (
    protection_is_active,
    disks_are_not_too_large,
    disks_are_not_too_many,
    disk_keys_are_named,
    key_vaults_permit,
    key_vaults_answer,
    restore_points_are_not_too_many,
)


def gather(pillars: Pillars, item: ProtectedItem) -> Facts:
    """Look at everything the rules need; raises ProtectedVmGone."""
    machine = _get_machine(pillars, item)
    rights, key_error = _ask_key_vaults(pillars, item, machine)
    return Facts(
        item=item,
        machine=machine,
        rights=rights,
        key_error=key_error,
        restore_points=count_restore_points(pillars, item.vm_uuid),
        limits=pillars.limits,
        locks=tuple(locks_on_restore_points(pillars, item)),
        expired=_count_expired(pillars, item),
    )


def _get_machine(pillars: Pillars, item: ProtectedItem) -> VirtualMachine:
    try:
        return pillars.fabric.get_machine(item.vm_uuid)
    except VmkeepError as error:
        if error.code != "VmNotFound":
            raise
        raise ProtectedVmGone(vm=item.vm_name, vm_uuid=item.vm_uuid) from error


def _ask_key_vaults(
    pillars: Pillars, item: ProtectedItem, machine: VirtualMachine
) -> tuple[dict[KeyReference, KeyVaultRights | None], VmkeepError | None]:
    """Return the rights on each secret that is needed; after the first key vault that cannot tell, what it says."""
    rights = dict[KeyReference, KeyVaultRights | None]()
    for disk in machine.disks:
        needed = disk.encrypted and is_selected(item.disk_selection, disk.name, disk.lun)
        if not needed or disk.key is None or disk.key in rights:
            continue
        try:
            rights[disk.key] = pillars.key_vaults.find_rights(disk.key)
        except VmkeepError as error:
            return rights, key_trouble(machine.name, disk.name, disk.key, error)
    return rights, None


def _count_expired(pillars: Pillars, item: ProtectedItem) -> int:
    if not item.policy_name:
        return 0
    points = pillars.catalog.list_recovery_points(item.id)
    policy = pillars.catalog.get_policy(item.vault_id, item.policy_name)
    plan = plan_expiry(points, policy, now=pillars.clock.now(), most_instant=len(points))
    return count_held(expiry.point for expiry in plan)


def as_if_protected(machine: VirtualMachine, now: datetime) -> ProtectedItem:
    """Return the item a VM would have, to ask the rules about one that nobody protects yet."""
    return ProtectedItem(
        id="",
        vault_id="",
        vm_uuid=machine.uuid,
        vm_name=machine.name,
        resource_group="",
        policy_name="",
        state=ProtectionState.IR_PENDING,
        created=now,
    )


def count_restore_points(pillars: Pillars, vm_uuid: str) -> int:
    """Return how many recovery points of a VM, in whatever vault, are in the instant tier."""
    catalog = pillars.catalog
    items = catalog.list_items_for_vm(vm_uuid)
    return sum(count_held(catalog.list_recovery_points(item.id)) for item in items)


def count_held(points: Iterable[RecoveryPoint]) -> int:
    """Return how many of some recovery points are in the instant tier."""
    return sum(point.restore_point is not None for point in points)


def broken_rules(facts: Facts, rules: Sequence[Rule] = RULES) -> list[VmkeepError]:
    """Return what every broken rule says."""
    return [error for error in (rule(facts) for rule in rules) if error is not None]


def check(pillars: Pillars, item: ProtectedItem) -> None:
    """Raise what the first broken rule says, or ProtectedVmGone; or why the vault's key cannot be used."""
    for error in broken_rules(gather(pillars, item)):
        raise error
    check_key(pillars, item)


def check_key(pillars: Pillars, item: ProtectedItem) -> None:
    """Raise when the key that opens the item's vault was revoked: such a vault neither takes nor gives."""
    pillars.repositories.check_key(pillars.catalog.get_vault_by_id(item.vault_id))
