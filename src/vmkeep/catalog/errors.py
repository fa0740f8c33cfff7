"""What can go wrong with what is remembered.

CatalogUnavailable · CatalogTooNew                        the database itself
VaultNotFound · PolicyNotFound · ItemNotFound
RecoveryPointNotFound · JobNotFound · SettingNotFound     asked for, not there
AlreadyExists · AlreadyProtected                          a second one is refused
VaultNotEmpty · PolicyInUse · ItemHasRecoveryPoints       something still needs it
OperationInProgress · JobNotInProgress                    the job's state forbids it
"""

from dataclasses import dataclass

from vmkeep.base.errors import Retry, VmkeepError


@dataclass(eq=False)
class CatalogUnavailable(VmkeepError):
    """The database did not answer or refused to write."""

    retry = Retry.LATER
    text = "the catalog's database cannot be used: {e.why}"
    remedy = "Check that the database runs and that its disk has free space, then try again."
    why: str


@dataclass(eq=False)
class CatalogTooNew(VmkeepError):
    """A newer vmkeep has changed the database; this one must not touch it."""

    retry = Retry.AFTER_CHANGE
    text = "the catalog was written by a newer vmkeep (schema {e.found}, this one knows up to {e.known})"
    remedy = "Start the newer vmkeep, or restore the catalog from before the upgrade."
    found: str
    known: str


@dataclass(eq=False)
class VaultNotFound(VmkeepError):
    """No vault of that name or id."""

    text = "there is no vault '{e.vault}'"
    remedy = "Look at the vaults with `vmkeep vault list`."
    vault: str


@dataclass(eq=False)
class PolicyNotFound(VmkeepError):
    """The vault has no policy of that name."""

    text = "the vault has no backup policy '{e.policy}'"
    remedy = "Look at the policies with `vmkeep policy list`."
    policy: str


@dataclass(eq=False)
class ItemNotFound(VmkeepError):
    """No protected item of that id or VM."""

    text = "'{e.item}' is not a protected item"
    remedy = "Protect the VM first: `vmkeep protection enable-for-vm`."
    item: str


@dataclass(eq=False)
class RecoveryPointNotFound(VmkeepError):
    """The item has no recovery point of that id."""

    text = "there is no recovery point '{e.recovery_point}'"
    remedy = "Look at the recovery points with `vmkeep recoverypoint list`."
    recovery_point: str


@dataclass(eq=False)
class JobNotFound(VmkeepError):
    """No job of that id."""

    text = "there is no job '{e.job}'"
    remedy = "Look at the jobs with `vmkeep job list`."
    job: str


@dataclass(eq=False)
class SettingNotFound(VmkeepError):
    """Nobody has put that setting."""

    text = "the catalog has no setting '{e.key}'"
    key: str


@dataclass(eq=False)
class AlreadyExists(VmkeepError):
    """The name is taken."""

    retry = Retry.AFTER_CHANGE
    text = "{e.what} '{e.name}' already exists"
    remedy = "Choose another name."
    what: str
    name: str


@dataclass(eq=False)
class AlreadyProtected(VmkeepError):
    """The VM is protected already, by another item."""

    retry = Retry.AFTER_CHANGE
    text = "VM '{e.vm}' is already protected"
    remedy = "Stop its protection before protecting it elsewhere; its recovery points may stay."
    vm: str


@dataclass(eq=False)
class VaultNotEmpty(VmkeepError):
    """A vault that protects something cannot be deleted."""

    retry = Retry.AFTER_CHANGE
    text = "vault '{e.vault}' cannot be deleted: it holds {e.items} protected item(s)"
    remedy = "Stop protection and delete the backup data of its VMs first."
    vault: str
    items: int


@dataclass(eq=False)
class PolicyInUse(VmkeepError):
    """A policy that protects something cannot be deleted."""

    retry = Retry.AFTER_CHANGE
    text = "policy '{e.policy}' cannot be deleted: protected items use it"
    remedy = "Put those VMs under another policy first."
    policy: str


@dataclass(eq=False)
class ItemHasRecoveryPoints(VmkeepError):
    """An item that can still be recovered cannot be removed."""

    retry = Retry.AFTER_CHANGE
    text = "'{e.item}' cannot be removed: it still has recovery points"
    remedy = "Delete its backup data first: `vmkeep protection disable --delete-backup-data`."
    item: str


@dataclass(eq=False)
class OperationInProgress(VmkeepError):
    """Another job of the VM is still running, perhaps in its old vault. Code and sentence are Azure Backup's."""

    code = "UserErrorBackupOperationInProgress"
    retry = Retry.LATER
    text = "Unable to initiate backup as another backup operation is currently in progress"
    remedy = (
        "Wait until job {e.job} of '{e.item}' in vault '{e.vault}' ends, or stop it: `vmkeep job stop {e.job}`. "
        "Then try again."
    )
    item: str
    job: str
    vault: str


@dataclass(eq=False)
class JobNotInProgress(VmkeepError):
    """The job has ended, so it cannot be cancelled. The sentence is Azure Backup's."""

    text = "Backup can't cancel the job because it isn't in progress"
    remedy = "Job {e.job} has ended: {e.status}. There is nothing left to stop."
    job: str
    status: str
