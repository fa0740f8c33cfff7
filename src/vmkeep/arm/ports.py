"""What the API needs from the parts below it: no more than the calls it makes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from vmkeep.diagnosis.verdict import Diagnosis
from vmkeep.keyvault.key_id import KeyId
from vmkeep.model.disk_key import KeyReference
from vmkeep.model.job import Job
from vmkeep.model.machine import DiskFormat, VirtualMachine
from vmkeep.model.network import Network
from vmkeep.model.outlook import Outlook
from vmkeep.model.protection import ProtectedItem, RecoveryPoint, Tier, Vault
from vmkeep.model.restore_point import Warned


@dataclass(frozen=True, slots=True)
class NewRepository:
    """Where a vault's data goes and its data key, wrapped."""

    url: str
    wrapped_key: bytes


class FabricPort(Protocol):
    """This host's VMs and networks."""

    def list_machines(self) -> list[VirtualMachine]:
        """Return all VMs of this host."""
        ...

    def get_machine(self, name_or_uuid: str) -> VirtualMachine:
        """Return one VM; raises VmNotFound."""
        ...

    def set_disk_keys(self, vm_uuid: str, references: Mapping[str, KeyReference]) -> None:
        """Note where the keys of some encrypted disks are kept; raises DiskNotEncrypted."""
        ...

    def collect(self, vm_uuid: str) -> bytes:
        """Return our side's logs and what the agent left in a VM's guest as a tar.gz; raises VmNotFound."""
        ...

    def list_networks(self) -> list[Network]:
        """Return all networks of this host."""
        ...

    def attach_network(self, name: str) -> Sequence[str]:
        """Let the VMs of a network reach the wire server; returns what was changed, one sentence each."""
        ...

    def detach_network(self, name: str) -> None:
        """Take back what `attach_network` did; a second time changes nothing."""
        ...


class HostReport(Protocol):
    """Where the host differs from what backups need, and what was done about it."""

    @property
    def found(self) -> Sequence[Warned]:
        """What is amiss now."""
        ...

    @property
    def repaired(self) -> Sequence[Warned]:
        """What was amiss and no longer is."""
        ...


class EnginePort(Protocol):
    """Starts long work; every call returns as soon as the job exists."""

    def start_backup(self, item: ProtectedItem, *, reason: str, retain_until: datetime | None) -> Job:
        """Start a backup; raises NotActivelyProtected, OperationInProgress."""
        ...

    def start_restore_vm(
        self,
        item: ProtectedItem,
        recovery_point: RecoveryPoint,
        *,
        new_name: str,
        network: str | None,
        tier: Tier | None,
        reason: str,
    ) -> Job:
        """Start making a new VM out of a recovery point."""
        ...

    def start_restore_disks(
        self,
        item: ProtectedItem,
        recovery_point: RecoveryPoint,
        *,
        folder: Path,
        disk_format: DiskFormat,
        disk_names: tuple[str, ...] | None,
        tier: Tier | None,
        reason: str,
    ) -> Job:
        """Start writing a recovery point's disks to a folder of the host."""
        ...

    def start_delete_item_data(self, item: ProtectedItem, *, reason: str) -> Job:
        """Start deleting an item and all its recovery points."""
        ...

    def start_delete_restore_points(
        self, item: ProtectedItem, restore_points: tuple[str, ...], *, force: bool, reason: str
    ) -> Job:
        """Start deleting restore points by id; raises OnlyCopyInCollection unless forced."""
        ...

    def check_host(self, *, repair: bool) -> HostReport:
        """Compare chains, journal and catalog; with `repair`, make them agree where that is safe."""
        ...

    def outlook(self, vm_uuid: str) -> Outlook:
        """Return what a backup of a VM would meet if it ran now; changes nothing."""
        ...

    def diagnose(self, vm_uuid: str) -> Diagnosis:
        """Return what is wrong with a VM's backups, proven or not; changes nothing."""
        ...

    def set_verbose_logs(self, vm_uuid: str, *, verbose: bool) -> None:
        """Have a guest's agent say more in its log, or as much as it usually does."""
        ...

    def apply_remedy(self, vm_uuid: str, *, consent: bool) -> Diagnosis:
        """Carry the proven cause's remedy out; return the diagnosis it was for.

        Raises NothingToApply, and RemedyNeedsConsent without `consent`.
        """
        ...

    def stop(self, job_id: str) -> Job:
        """Ask a job to stop; raises when it cannot be."""
        ...


class RepositoriesPort(Protocol):
    """The repositories behind the vaults."""

    def create(self, vault_id: str, url: str, key: KeyId | None = None) -> NewRepository:
        """Make an empty repository for a new vault; an empty `url` means the default place, no `key` the master key."""
        ...

    def wrap_anew(self, vault: Vault, key: KeyId | None) -> None:
        """Wrap a vault's data key under another key, for None the master key."""
        ...

    def check(self, vault: Vault, *, read_data: bool) -> dict[str, Any]:  # a report as JSON values
        """Compare the repository with what it claims."""
        ...

    def prune(self, vault: Vault) -> dict[str, Any]:  # a report as JSON values
        """Remove what no recovery point needs."""
        ...
