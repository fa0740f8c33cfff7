"""What the workflows need from the pillars: no more than the calls they make.

The suites in `tests/contracts` say what each call promises; every implementation passes them. Errors of the pillars
that workflows tell apart are known by code: `VmNotFound`, `VmVanished`, `WorkCancelled`.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path
from typing import Protocol

from vmkeep.base.errors import VmkeepError
from vmkeep.diagnosis.cause import Mend
from vmkeep.diagnosis.evidence import Evidence
from vmkeep.model.disk_io import DiskSource, DiskTarget, OnProgress
from vmkeep.model.disk_key import NO_KEYS, DiskKeys, FoundKey, KeyReference, KeyVaultRights
from vmkeep.model.disk_selection import DiskSelection
from vmkeep.model.machine import Consistency, DiskFormat, VirtualMachine
from vmkeep.model.network import Network
from vmkeep.model.protection import Vault
from vmkeep.model.restore_point import RestorePoint, Warned

OnPhase = Callable[[str], None]
OnBytes = Callable[[int, int], None]
"""Told how many bytes are done, and of how many; may raise to stop."""
IsCancelled = Callable[[], bool]


class DiskSet(Protocol):
    """The disks of a restore point, open for reading."""

    @property
    def disks(self) -> Sequence[DiskSource]:
        """One source per disk."""
        ...

    @property
    def healed(self) -> Sequence[Warned]:
        """Disks that are read whole because their chain is not what was recorded, and why."""
        ...


class FabricPort(Protocol):
    """This host's VMs. Calls about one VM wait for each other."""

    def get_machine(self, name_or_uuid: str) -> VirtualMachine:
        """Return a VM; raises VmNotFound."""
        ...

    def list_networks(self) -> Sequence[Network]:
        """Return all networks of this host."""
        ...

    def observe(self, vm_uuid: str) -> Sequence[Evidence]:
        """Return dated evidence from host and guest; changes nothing, takes a minute and some at most."""
        ...

    def mend(self, vm_uuid: str, mend: Mend) -> None:
        """Carry a remedy out in the guest."""
        ...

    def capture_obstacles(
        self, vm_uuid: str, *, selection: DiskSelection | None = None
    ) -> Sequence[VmkeepError]:
        """Return all that a capture would be refused for now; changes nothing."""
        ...

    def capture(
        self,
        vm_uuid: str,
        *,
        point_id: str,
        on_phase: OnPhase,
        cancelled: IsCancelled,
        selection: DiskSelection | None = None,
        keys: DiskKeys = NO_KEYS,
        least: Consistency = Consistency.CRASH,
    ) -> RestorePoint:
        """Freeze, add layers to the selected disks, thaw. The guest is thawed however this ends.

        The layers of encrypted disks are encrypted with their own keys; raises when one is missing or wrong. Raises
        WorkCancelled; of a running VM that does not reach the consistency `least`, why it does not.
        """
        ...

    def find_point(self, vm_uuid: str, point_id: str) -> RestorePoint | None:
        """Return a restore point this host holds, also one whose capture was cut short after its layers; or None."""
        ...

    def list_points(self, vm_uuid: str | None = None) -> Sequence[RestorePoint]:
        """Return the restore points this host holds, of one VM or all, unfinished ones too."""
        ...

    def find_successor(self, vm_uuid: str, point_ids: Collection[str]) -> str | None:
        """Return the VM that was defined on the disks of one that is gone, had it these points; None unless certain."""
        ...

    def take_over_points(self, vm_uuid: str, successor: str) -> None:
        """Give a VM's restore points to its successor; done already is no error."""
        ...

    def check(self) -> Sequence[Warned]:
        """Compare what the host has with what it should have."""
        ...

    def discard_capture(self, vm_uuid: str, point_id: str, *, keys: DiskKeys = NO_KEYS) -> None:
        """Undo a capture, whole or cut short; none there is no error. `keys` serve encrypted disks of a VM that is off."""
        ...

    def thaw(self, vm_uuid: str) -> int:
        """Thaw the guest's file systems; returns how many were frozen."""
        ...

    def sources(
        self, point: RestorePoint, *, since: RestorePoint | None, keys: DiskKeys = NO_KEYS
    ) -> AbstractContextManager[DiskSet]:
        """Open a restore point's disks: what changed since an older one, or all of it. Encrypted ones read as plaintext."""
        ...

    def merge(
        self, point: RestorePoint, *, on_progress: OnBytes, cancelled: IsCancelled, keys: DiskKeys = NO_KEYS
    ) -> None:
        """Fold a restore point's layer away; one that is gone is no error; raises WorkCancelled.

        `keys` are needed for encrypted disks of a VM that is off.
        """
        ...

    def create_disk(
        self,
        path: Path,
        *,
        size_bytes: int,
        format: DiskFormat,  # noqa: A002 - the word everywhere
        key: str | None = None,
    ) -> AbstractContextManager[DiskTarget]:
        """Make a new disk file, encrypted if there is a key; removed again when the block raises; raises when it exists."""
        ...

    def create_machine(
        self,
        source_xml: str,
        *,
        name: str,
        disk_paths: Mapping[str, Path],
        network: str | None,
        keys: DiskKeys = NO_KEYS,
    ) -> str:
        """Define a new VM from a definition with other disks, and let it open the encrypted ones; returns its UUID."""
        ...

    def delete_machine(self, uuid: str) -> None:
        """Remove a VM that `create_machine` made, with its disks; none there is no error."""
        ...


class StoredDisk(Protocol):
    """One disk of a manifest."""

    @property
    def name(self) -> str:
        """Stable name of the disk inside the VM, such as `vda`."""
        ...

    @property
    def size_bytes(self) -> int:
        """Virtual size."""
        ...


class Manifest(Protocol):
    """All disks of one vault-tier point."""

    @property
    def id(self) -> str:
        """Its name in the repository."""
        ...

    @property
    def disks(self) -> Sequence[StoredDisk]:
        """The disks, in order."""
        ...

    @property
    def attributes(self) -> Mapping[str, str]:
        """What `ingest` was given."""
        ...


class IngestReport(Protocol):
    """What an ingest did."""

    @property
    def manifest_id(self) -> str:
        """The new manifest."""
        ...

    @property
    def read_bytes(self) -> int:
        """Bytes read from the disks."""
        ...

    @property
    def stored_bytes(self) -> int:
        """Bytes added to the object store, after compression."""
        ...


class Repository(Protocol):
    """The repository behind one vault."""

    def ingest(
        self,
        disks: Sequence[DiskSource],
        *,
        parent: str | None,
        attributes: Mapping[str, str],
        on_progress: OnProgress | None,
    ) -> IngestReport:
        """Keep the disks as a new manifest. When `on_progress` raises, no manifest is left and that is raised."""
        ...

    def manifest(self, manifest_id: str) -> Manifest:
        """Return a manifest; raises when there is none."""
        ...

    def list_manifests(self) -> Sequence[Manifest]:
        """Return all manifests."""
        ...

    def restore_disk(
        self, manifest_id: str, disk_name: str, target: DiskTarget, *, on_progress: OnProgress | None
    ) -> object:
        """Write one disk of a manifest to an empty target."""
        ...

    def delete_manifest(self, manifest_id: str) -> None:
        """Remove a manifest; none there is no error."""
        ...

    def prune(self, *, grace: timedelta) -> object:
        """Remove what no manifest needs and has not needed for `grace`."""
        ...


class RepositoryPort(Protocol):
    """The repositories behind the vaults."""

    def open(self, vault: Vault) -> Repository:
        """Return a vault's repository."""
        ...

    def check_key(self, vault: Vault) -> None:
        """Raise when the key vault's key that opens a vault cannot be used now."""
        ...

    def seal(self, vault: Vault, secret: bytes, *, context: str) -> bytes:
        """Seal a few secret bytes with a vault's data key, for one context."""
        ...

    def unseal(self, vault: Vault, sealed: bytes, *, context: str) -> bytes:
        """Return what `seal` was given; raises when it is not authentic or for another context."""
        ...


class KeyVaultPort(Protocol):
    """The key vaults, as the backup service may use them."""

    def find_rights(self, reference: KeyReference) -> KeyVaultRights | None:
        """Return which rights a backup that needs this secret lacks; None when there is no such key vault.

        Takes a minute or two at most; raises as the key vault does when it does not answer.
        """
        ...

    def grant(self, reference: KeyReference) -> None:
        """Give backups the rights that `find_rights` misses; raises RightsNotOurs for a key vault elsewhere."""
        ...

    def grant_key(self, key: str) -> None:
        """Give backups the rights that they need on the key that opens a vault; raises RightsNotOurs likewise."""
        ...

    def fetch(self, reference: KeyReference) -> FoundKey:
        """Return the newest version of a secret; raises as the key vault does."""
        ...
