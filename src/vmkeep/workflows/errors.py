"""What can go wrong where the pillars meet.

    NotActivelyProtected · VmNotProtected               nobody wants the backup
    ProtectedVmGone · UnsupportedDiskSize · TooManyDisks
                                                        refused before the guest is touched
    RestorePointLimitReached                            the same
    DiskKeyNotNamed · KeyVaultPermissionsMissing · DiskKeyUnavailable
                                                        an encrypted VM whose key is not to be had
    ScopeLocked · OnlyCopyInCollection                  restore points that must not be deleted
    CollectionDeletionTimedOut                          not all were deleted in the time there was
    RecoveryPointUnusable · InstantRestorePointNotFound
    VmNameTaken · TargetTaken                           a restore that cannot be done
    JobInterrupted                                      vmkeep stopped and cannot take the job up again
    CancelNotSupported                                  the job runs to its end
    InternalFailure                                     a mistake of ours

`Cancelled` and `Closing` are no errors: they unwind a running step.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from vmkeep.base.errors import Retry, VmkeepError
from vmkeep.base.units import GIB
from vmkeep.model.job import JobOperation
from vmkeep.model.lock import Change, Lock


class Cancelled(Exception):
    """The user wants the job to stop."""


class Closing(BaseException):
    """The service is closing: the step is left as it is and taken up at the next start.

    No `Exception`, so that neither a library nor the journal takes it for the step's outcome.
    """


@dataclass(eq=False)
class NotActivelyProtected(VmkeepError):
    """A backup was asked for an item whose protection is stopped. Code and sentence are Azure Backup's."""

    code = "UserErrorBcmDatasourceNotPresent"
    retry = Retry.AFTER_CHANGE
    text = "Backup failed: This virtual machine is not (actively) protected by Azure Backup."
    remedy = "Resume its protection, then back it up: vmkeep protection resume --vm {e.vm}"
    vm: str
    state: str


@dataclass(eq=False)
class VmNotProtected(VmkeepError):
    """No vault protects the VM."""

    retry = Retry.AFTER_CHANGE
    text = "VM '{e.vm}' is not protected, so there will be no backup"
    remedy = "Protect it: vmkeep protection enable-for-vm --vm {e.vm}"
    vm: str


@dataclass(eq=False)
class UnsupportedDiskSize(VmkeepError):
    """A disk is larger than backups are allowed to be. Code and sentence are Azure Backup's.

    `disks` are sizes in bytes by name; a GB is 2**30 bytes, as in Azure's limits.
    """

    code = "UserErrorUnsupportedDiskSize"
    retry = Retry.AFTER_CHANGE
    text = "The configured disk size(s) is currently not supported by Azure Backup."
    remedy = (
        "Of VM '{e.vm}', {e.sizes}; the limit is {e.limit_gb} GB. Split the disk, leave it out "
        "(vmkeep protection update-for-vm --disk-list-setting exclude), or raise the setting disk_limit_gb."
    )
    vm: str
    disks: dict[str, int]
    limit_bytes: int

    @property
    def sizes(self) -> str:
        """Return the disks and their sizes as part of a sentence."""
        return ", ".join(f"disk {name} has {-(-size // GIB)} GB" for name, size in self.disks.items())

    @property
    def limit_gb(self) -> int:
        """The limit in GB, rounded down."""
        return self.limit_bytes // GIB


@dataclass(eq=False)
class TooManyDisks(VmkeepError):
    """The VM has more disks than can be captured at one instant. The code is Azure Backup's."""

    code = "UserErrorBcmUnsupportedDiskCount"
    retry = Retry.AFTER_CHANGE
    text = "VM '{e.vm}' has {e.disks} disks to back up, the limit is {e.limit}"
    remedy = "Leave some out: vmkeep protection update-for-vm --vm {e.vm} --disk-list-setting exclude"
    vm: str
    disks: int
    limit: int


class LimitCause(StrEnum):
    """Why a VM came to have as many restore points as it may have."""

    LOCK = "lock"
    SEVERAL_BACKUPS_A_DAY = "several-backups-a-day"
    CLEAN_UP_BEHIND = "clean-up-behind"
    """Restore points have expired, nothing forbids to merge them, and they are not merged yet."""


_LIMIT_REMEDY = {
    LimitCause.LOCK: (
        "A lock prevents the automatic clean-up of restore points: {e.locks}. Remove it with "
        "`vmkeep lock delete`, then start a backup on demand: it starts the clean-up, and may itself fail once more."
    ),
    LimitCause.SEVERAL_BACKUPS_A_DAY: (
        "Several backups a day are made and none of their restore points is old enough to go. One backup a day is "
        "recommended. Clean-up of the oldest that are in the vault has been started: try again later, "
        "or keep them for fewer days."
    ),
    LimitCause.CLEAN_UP_BEHIND: (
        "Expired restore points are not merged yet. Clean-up has been started: try again later. "
        "If it stays so, look at why layers are not merged: `vmkeep fabric check`."
    ),
}


@dataclass(eq=False)
class ProtectedVmGone(VmkeepError):
    """The VM was deleted, its protection was not. Code and sentence are Azure Backup's."""

    code = "UserErrorVmNotFoundV2"
    retry = Retry.AFTER_CHANGE
    text = "Could not perform the operation as VM no longer exists."
    remedy = (
        "VM '{e.vm}' with UUID {e.vm_uuid} is not defined on this host. Define it again, restore it from its latest "
        "recovery point, or stop its protection: its recovery points stay."
    )
    vm: str
    vm_uuid: str


@dataclass(eq=False)
class RestorePointLimitReached(VmkeepError):
    """The VM has as many restore points as it may have. Code and sentence are Azure Backup's."""

    code = "UserErrorRpCollectionLimitReached"
    retry = Retry.LATER
    text = "The Restore Point collection max limit has reached."
    vm: str
    restore_points: int
    limit: int
    cause: LimitCause
    locks: str = ""
    """Scopes and names of the locks, when they are the cause."""

    @property
    def advice(self) -> str:
        """What was found, and what to do about that cause."""
        held = f"VM '{self.vm}' has {self.restore_points} restore points, the limit is {self.limit}. "
        return held + _LIMIT_REMEDY[self.cause].format(e=self)


@dataclass(eq=False)
class ScopeLocked(VmkeepError):
    """A management lock forbids the change. Code and sentence are ARM's."""

    retry = Retry.AFTER_CHANGE
    text = (
        "The scope '{e.scope}' cannot perform {e.change} operation because following scope(s) are locked: "
        "'{e.locked}'. Please remove the lock and try again."
    )
    remedy = "See the locks with `vmkeep lock list`, remove one with `vmkeep lock delete`: {e.locks}."
    scope: str
    change: str
    locked: str
    locks: str

    @classmethod
    def by(cls, locks: Sequence[Lock], scope: str, change: Change) -> "ScopeLocked":
        """Return the error for a change of `scope` that these locks forbid."""
        locked = ",".join(dict.fromkeys(lock.scope for lock in locks))
        return cls(scope=scope, change=change.value, locked=locked, locks=name_locks(locks))


def name_locks(locks: Sequence[Lock]) -> str:
    """Return locks as people read them."""
    return ", ".join(f"{lock.level} lock '{lock.name}' on {lock.scope}" for lock in locks)


@dataclass(eq=False)
class OnlyCopyInCollection(VmkeepError):
    """Restore points that are in no vault would be lost with their collection."""

    retry = Retry.AFTER_CHANGE
    text = (
        "restore points of VM '{e.vm}' cannot be deleted: recovery point(s) {e.recovery_points} are not in the "
        "vault, so these are the only copy"
    )
    remedy = "Back the VM up until the transfer to the vault succeeds, or delete them too with `--force`."
    vm: str
    recovery_points: str


@dataclass(eq=False)
class CollectionDeletionTimedOut(VmkeepError):
    """Not all restore points of a collection could be deleted in time; those that were stay deleted."""

    retry = Retry.LATER
    text = (
        "Long running operation has timed out: {e.deleted} restore point(s) of VM '{e.vm}' were deleted "
        "within {e.limit_s:.0f} s, {e.left} are left"
    )
    remedy = "Delete the collection again: it goes on where this ended."
    vm: str
    deleted: int
    left: int
    limit_s: float


@dataclass(eq=False)
class RecoveryPointUnusable(VmkeepError):
    """The recovery point's data is in no tier any more."""

    text = "recovery point {e.recovery_point} cannot be restored: its restore point is gone and it is not in the vault"
    remedy = "Choose another recovery point."
    recovery_point: str


@dataclass(eq=False)
class InstantRestorePointNotFound(VmkeepError):
    """The instant tier was asked for and is not there. Code and sentence are Azure Backup's."""

    code = "UserErrorInstantRpNotFound"
    retry = Retry.AFTER_CHANGE
    text = "Restore failed because the snapshot of the VM was not found"
    remedy = (
        "Recovery point {e.recovery_point} has no restore point on this host any more. "
        "Restore it from the vault tier, or choose another recovery point."
    )
    recovery_point: str


@dataclass(eq=False)
class VmNameTaken(VmkeepError):
    """A VM with the wanted name exists."""

    retry = Retry.AFTER_CHANGE
    text = "a VM named '{e.name}' exists already"
    remedy = "Choose another name for the restored VM."
    name: str


@dataclass(eq=False)
class TargetTaken(VmkeepError):
    """A restore would overwrite what is there."""

    retry = Retry.AFTER_CHANGE
    text = "cannot restore to {e.path}: it exists already"
    remedy = "Choose another folder or name, or move it away."
    path: str


@dataclass(eq=False)
class TargetUnusable(VmkeepError):
    """The folder for restored disks cannot be made or written."""

    retry = Retry.AFTER_CHANGE
    text = "cannot write to {e.path}: {e.why}"
    remedy = "Make the folder writable, or choose another one."
    path: str
    why: str


@dataclass(eq=False)
class DiskNotInRecoveryPoint(VmkeepError):
    """A disk was asked for that the recovery point does not have."""

    retry = Retry.AFTER_CHANGE
    text = "recovery point {e.recovery_point} has no disk '{e.disk}', only {e.disks}"
    remedy = "Name one of its disks."
    recovery_point: str
    disk: str
    disks: str


@dataclass(eq=False)
class JobInterrupted(VmkeepError):
    """The job stopped with the service and cannot be taken up again."""

    retry = Retry.LATER
    text = "the job ended when vmkeep stopped: {e.why}"
    remedy = "Start it again."
    why: str


@dataclass(eq=False)
class CancelNotSupported(VmkeepError):
    """Some jobs run to their end. The sentence is Azure Backup's."""

    text = "Cancellation isn't supported for this job type"
    remedy = "Wait until job {e.job} ({e.operation}) ends."
    job: str
    operation: str


_INTERNAL = {
    JobOperation.BACKUP: ("BackUpOperationFailed", "Backup"),
    JobOperation.RESTORE: ("RestoreOperationFailed", "Restore"),
    JobOperation.DELETE_BACKUP_DATA: ("DeleteOperationFailed", "Deleting backup data"),
    JobOperation.DELETE_RESTORE_POINTS: ("DeleteOperationFailed", "Deleting restore points"),
}


@dataclass(eq=False)
class NothingToApply(VmkeepError):
    """No cause is proven that vmkeep could mend by itself."""

    retry = Retry.AFTER_CHANGE
    text = "there is no remedy that vmkeep could apply to VM '{e.vm}': {e.verdict}"
    remedy = "Do what the diagnosis says by hand: vmkeep doctor --vm {e.vm}."
    vm: str
    verdict: str


@dataclass(eq=False)
class RemedyNeedsConsent(VmkeepError):
    """The remedy would take something away that somebody may have meant."""

    retry = Retry.AFTER_CHANGE
    text = "{e.verdict}; the remedy would {e.would}"
    remedy = "Say so: vmkeep doctor --vm {e.vm} --apply --yes."
    vm: str
    verdict: str
    would: str


@dataclass(eq=False)
class InternalFailure(VmkeepError):
    """An error nobody foresaw. Azure Backup's code and sentence; the exception's text is in the facts."""

    retry = Retry.LATER
    text = "{e.work} failed with an internal error - Please retry the operation in a few minutes"
    remedy = "Try again in a few minutes. The log has the details ({e.exception})."
    work: str
    exception: str

    @classmethod
    def of(cls, operation: JobOperation, error: BaseException) -> "tuple[str, InternalFailure]":
        """Return the code and the error for an exception in a job."""
        code, work = _INTERNAL.get(operation, ("OperationFailed", operation.value))
        return code, cls(work=work, exception=f"{type(error).__name__}: {error}")
