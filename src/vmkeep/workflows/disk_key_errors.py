"""What can keep a backup from the keys of encrypted disks."""

from dataclasses import dataclass

from vmkeep.base.errors import Retry, VmkeepError


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
        "vmkeep keyvault set-policy --name {e.key_vault} --object-id {e.identity} {e.options}. "
        "Permissions just granted may take a moment to hold: if they have been, try again a little later."
    )
    vm: str
    key_vault: str
    identity: str
    missing: list[str]
    """Kind and right of each, such as `secrets get`."""
    wanted: list[str]
    """What to grant, in the same words: what it has already included, for granting replaces the rights of a kind."""

    @property
    def lacking(self) -> str:
        """The missing permissions as part of a sentence."""
        return ", ".join(self.missing)

    @property
    def options(self) -> str:
        """The command line's options that grant them."""
        named = (one.split() for one in self.wanted)
        return " ".join(f"--{kind.removesuffix('s')}-permissions {right}" for kind, right in named)


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
