"""What can go wrong where the pillars meet.

    NotActivelyProtected · VmNotProtected               nobody wants the backup
    ProtectedVmGone · UnsupportedDiskSize · TooManyDisks
                                                        refused before the guest is touched
    RestorePointLimitReached                            the same
    RecoveryPointUnusable · VmNameTaken · TargetTaken   a restore that cannot be done
    JobInterrupted                                      vmkeep stopped and cannot take the job up again
    CancelNotSupported                                  the job runs to its end
    InternalFailure                                     a mistake of ours

`Cancelled` and `Closing` are no errors: they unwind a running step.
"""

from dataclasses import dataclass

from vmkeep.base.errors import Retry, VmkeepError
from vmkeep.base.units import GIB
from vmkeep.model.job import JobOperation


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
    """The VM has more disks than can be captured at one instant."""

    retry = Retry.AFTER_CHANGE
    text = "VM '{e.vm}' has {e.disks} disks to back up, the limit is {e.limit}"
    remedy = "Leave some out: vmkeep protection update-for-vm --vm {e.vm} --disk-list-setting exclude"
    vm: str
    disks: int
    limit: int


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
    remedy = (
        "VM '{e.vm}' has {e.restore_points} restore points, the limit is {e.limit}. Clean-up has been started: "
        "try again later. If it stays so, look at why layers are not merged: `vmkeep fabric check`."
    )
    vm: str
    restore_points: int
    limit: int


@dataclass(eq=False)
class RecoveryPointUnusable(VmkeepError):
    """The recovery point's data is in no tier any more."""

    text = "recovery point {e.recovery_point} cannot be restored: its restore point is gone and it is not in the vault"
    remedy = "Choose another recovery point."
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
}


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
