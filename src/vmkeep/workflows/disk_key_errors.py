"""What can keep a backup from the keys of encrypted disks."""

from dataclasses import dataclass

from vmkeep.base.errors import Retry, VmkeepError
from vmkeep.model.disk_key import KeyReference


@dataclass(eq=False)
class DiskKeyNotNamed(VmkeepError):
    """A VM has encrypted disks, and nobody has said where their keys are."""

    retry = Retry.AFTER_CHANGE
    text = "VM '{e.vm}' is encrypted, and it is not known in which key vault the key of {e.disks} is"
    remedy = (
        "Keep the disk's passphrase as a secret in a key vault and name it: vmkeep vm encryption set {e.vm} "
        "--disk-encryption-keyvault KEYVAULT --secret SECRET"
    )
    vm: str
    disks: str


@dataclass(eq=False)
class KeyVaultPermissionsMissing(VmkeepError):
    """The service may not get the key of an encrypted VM. Code and sentence are Azure Backup's."""

    code = "UserErrorKeyvaultPermissionsNotConfigured"
    retry = Retry.AFTER_CHANGE
    text = "Backup doesn't have sufficient permissions to the key vault for backup of encrypted VMs."
    remedy = (
        "On the key vault '{e.key_vault}', the backup service '{e.identity}' lacks {e.lacking} (VM '{e.vm}'). Grant them: "
        "{e.grant}. "
        "Permissions just granted may take a moment to hold: if they have been, try again a little later."
    )
    vm: str
    key_vault: str
    identity: str
    missing: list[str]
    """Kind and right of each, such as `secrets get`."""
    grant: str
    """The command that grants them in that key vault."""

    @property
    def lacking(self) -> str:
        """The missing permissions as part of a sentence."""
        return ", ".join(self.missing)


@dataclass(eq=False)
class DiskKeyUnavailable(VmkeepError):
    """The key vault does not give the key of a disk, or is not there."""

    retry = Retry.AFTER_CHANGE
    text = (
        "the key of disk {e.disk} of VM '{e.vm}' cannot be had from the secret '{e.secret}' "
        "in the key vault '{e.key_vault}': {e.why}"
    )
    remedy = "Put the secret back, or name another one: vmkeep vm encryption set {e.vm}. {e.advice_there}"
    vm: str
    disk: str
    key_vault: str
    secret: str
    why: str
    advice_there: str = ""


def key_trouble(vm: str, disk: str, key: KeyReference, error: VmkeepError) -> VmkeepError:
    """Return what an error of a key vault means for a disk: one that passes by itself says enough as it is."""
    if error.retry is Retry.LATER:
        return error
    made = DiskKeyUnavailable(
        vm=vm,
        disk=disk,
        key_vault=key.key_vault,
        secret=key.secret,
        why=str(error),
        advice_there=error.advice,
    )
    made.__cause__ = error
    return made
