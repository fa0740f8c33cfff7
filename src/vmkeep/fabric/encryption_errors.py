"""What can go wrong with encrypted disks."""

from dataclasses import dataclass

from vmkeep.base.errors import Retry, VmkeepError


@dataclass(eq=False)
class DiskKeyMissing(VmkeepError):
    """An encrypted image is to be opened, and nobody gave its key."""

    retry = Retry.LATER
    text = "the image {e.path} is encrypted, and its key was not given"
    remedy = "Start the VM and try again: under a running VM layers are merged without the key. Or see to its key vault."
    path: str


@dataclass(eq=False)
class DiskKeyWrong(VmkeepError):
    """The key given does not open an encrypted image."""

    retry = Retry.AFTER_CHANGE
    text = "the key of the image {e.path} does not open it"
    remedy = (
        "Set the secret in the key vault to the passphrase that opens the disk now, or name the right secret: "
        "vmkeep vm encryption set."
    )
    path: str


@dataclass(eq=False)
class KeyNotTimed(VmkeepError):
    """QEMU could not tell how long it takes to derive a key: the thread's CPU clock stood still meanwhile."""

    retry = Retry.LATER
    text = "QEMU could not measure how long the key of {e.path} takes to derive"
    remedy = "Try again: it depends on chance."
    path: str


@dataclass(eq=False)
class DiskNotEncrypted(VmkeepError):
    """A key was named for a disk that has none."""

    retry = Retry.AFTER_CHANGE
    text = "VM '{e.vm}' has no encrypted disk '{e.disk}'; its encrypted disks: {e.encrypted}"
    remedy = "Name one of those disks; see them with: vmkeep vm show {e.vm}"
    vm: str
    disk: str
    encrypted: str


@dataclass(eq=False)
class EncryptionMixed(VmkeepError):
    """A disk's files are partly encrypted, and its definition does not say so of its newest one."""

    retry = Retry.AFTER_CHANGE
    text = "disk {e.disk} stands on the encrypted file {e.path}, but its definition names no key for what is written now"
    remedy = "Put the disk on one encrypted image: the guest's writes would lie in plaintext on the host."
    disk: str
    path: str
