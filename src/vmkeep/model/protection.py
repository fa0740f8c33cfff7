"""Vaults, policies, protected items and recovery points."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from vmkeep.model.disk_key import CarriedKey
from vmkeep.model.disk_selection import DiskSelection
from vmkeep.model.keeping import Retention
from vmkeep.model.machine import Consistency
from vmkeep.model.policy_terms import read_retention, read_schedule
from vmkeep.model.restore_point import PointDisk, RestorePoint, Warned
from vmkeep.model.schedule import Schedule


class Tier(StrEnum):
    """Where a recovery point's data is."""

    INSTANT = "instant"
    """Backed by a restore point on the host."""
    VAULT = "vault"
    """Backed by a manifest in the vault's repository."""


class ProtectionState(StrEnum):
    """The wire spelling of Azure Backup."""

    IR_PENDING = "IRPending"
    """Protected, first backup still to come."""
    PROTECTED = "Protected"
    PROTECTION_STOPPED = "ProtectionStopped"
    """No more backups; the recovery points stay for ever."""
    BACKUPS_SUSPENDED = "BackupsSuspended"
    """No more backups; the recovery points age as the policy says, but for the last one."""

    @property
    def stopped(self) -> bool:
        """Whether no more backups are made."""
        return self in {ProtectionState.PROTECTION_STOPPED, ProtectionState.BACKUPS_SUSPENDED}


@dataclass(frozen=True, slots=True)
class Vault:
    """Holds protected items and recovery points. `wrapped_key` is the repository's data key, wrapped."""

    id: str
    """GUID."""
    name: str
    resource_group: str
    location: str
    repository_url: str
    wrapped_key: bytes
    created: datetime
    properties: dict[str, Any] = field(default_factory=dict)  # JSON as ARM clients sent it
    tags: dict[str, str] = field(default_factory=dict)


AUTO_REMEDY_OFF, AUTO_REMEDY_SAFE = "off", "safe"


@dataclass(frozen=True, slots=True)
class Policy:
    """Schedule and retention, kept as the wire's JSON `properties`."""

    vault_id: str
    name: str
    properties: dict[str, Any]  # JSON as ARM clients sent it

    @property
    def instant_days(self) -> int:
        """Days a recovery point stays in the instant tier."""
        return int(self.properties.get("instantRpRetentionRangeInDays") or 2)

    @property
    def mends(self) -> bool:
        """Whether safe remedies are carried out by themselves after a failed backup; Azure has nothing like it."""
        return (self.properties.get("vmkeep") or {}).get("autoRemedy") == AUTO_REMEDY_SAFE

    @property
    def schedule(self) -> Schedule | None:
        """When backups are due; None: never by themselves. Raises InvalidPolicy."""
        return read_schedule(self.properties) if self.properties.get("schedulePolicy") else None

    @property
    def retention(self) -> Retention:
        """How long points stay in the vault; raises InvalidPolicy."""
        return read_retention(self.properties)


@dataclass(frozen=True, slots=True)
class ProtectedItem:
    """One VM under a policy in a vault."""

    id: str
    """GUID."""
    vault_id: str
    vm_uuid: str
    vm_name: str
    resource_group: str
    policy_name: str
    state: ProtectionState
    created: datetime
    last_backup: datetime | None = None
    last_backup_status: str = ""
    last_recovery_point: datetime | None = None
    disk_selection: DiskSelection | None = None
    """None: all disks."""
    least_consistency: Consistency = Consistency.CRASH
    """Below this rung a backup of the running VM fails instead of warning."""


@dataclass(frozen=True, slots=True)
class RecoveryPoint:
    """A moment an item can be recovered to. Has a restore point, a manifest, or both: those are its tiers."""

    id: str
    """Decimal digits, as Azure's."""
    item_id: str
    time: datetime
    consistency: Consistency
    restore_point: RestorePoint | None = None
    manifest_id: str = ""
    retain_until: datetime | None = None
    """Asked for by the user; None: the policy decides."""
    size_bytes: int = 0
    stored_bytes: int = 0
    machine_xml: str = ""
    warnings: tuple[Warned, ...] = ()
    disks: tuple[PointDisk, ...] = ()
    """The disks the VM had, those left out as well; empty for points that are older than this list."""
    disk_keys: tuple[CarriedKey, ...] = ()
    """The keys of its encrypted disks."""

    @property
    def known_disks(self) -> tuple[PointDisk, ...]:
        """Return `disks`, for older points as long as the host holds them; else none."""
        return self.disks or (self.restore_point.all_disks if self.restore_point else ())

    @property
    def tiers(self) -> frozenset[Tier]:
        """The tiers the point can be restored from."""
        tiers = set()
        if self.restore_point is not None:
            tiers.add(Tier.INSTANT)
        if self.manifest_id:
            tiers.add(Tier.VAULT)
        return frozenset(tiers)
