"""How the snapshot extension can fail in a guest, in Azure Backup's codes and sentences.

A sentence that Azure prints nowhere is our own: those of GuestAgentCertificateNotFound, UserErrorUnableToOpenMount,
UserErrorFsFreezeTimeout, the snapshot rate, the installation and the encoding of vmbackup.conf.
"""

import re
from dataclasses import dataclass
from typing import ClassVar

from vmkeep.base.errors import Retry, VmkeepError


@dataclass(eq=False)
class ExtensionFailed(VmkeepError):
    """The extension ended its task badly, or the agent could not run it, and nothing more exact is known.

    `ended_with` is its code (docs/formats/wire-extension.md), from 1000 the agent's own; `said` are its words,
    `mount` the mount point they are about.
    """

    code = "ExtensionOperationFailedForManagedDisks"
    retry = Retry.LATER
    text = "VMSnapshot extension operation failed"
    remedy = "VM '{e.vm}' says: {e.said} (code {e.ended_with}). {e.cure}"
    cure: ClassVar[str] = "Read the extension's log in /var/log/azure of the guest, then back it up again."
    vm: str
    ended_with: int
    said: str
    mount: str = ""


@dataclass(eq=False)
class ExtensionNotRun(ExtensionFailed):
    """The agent could not run the extension; the exit code, if there is one, says why."""

    code = ExtensionFailed.code
    retry = Retry.AFTER_CHANGE

    @property
    def cure(self) -> str:  # type: ignore[override] # what is one sentence elsewhere depends on the exit code here
        """What to do about this exit code."""
        found = re.search(r"[Nn]on-zero exit code: (-?\d+)", self.said)
        return _CURES.get(int(found.group(1)) if found else 0, _REINSTALL)


_REINSTALL = (
    "Files of the extension are missing or damaged: see what deletes them (a virus scanner?), remove "
    "/var/lib/waagent/*VMSnapshotLinux-9.* in the guest and restart the agent: it installs the extension again."
)
_KILLED = (
    "Something killed it: see the guest's kernel log for the out-of-memory killer, then the virus scanner."
)
_CURES = {
    72: "Install Python 3.6 or newer in the guest.",
    74: "Free space on the guest's root file system, or mount it writable.",
    120: "Free space on the guest's root file system: the extension could not even write a line.",
    126: "Something forbids to run it: a noexec mount of /var/lib, AppArmor or SELinux. Exclude /var/lib/waagent.",
    137: _KILLED,
    -9: _KILLED,
}


@dataclass(eq=False)
class ExtensionNotInstalled(ExtensionNotRun):
    """The agent could not install the extension."""

    code = "ExtensionInstallationFailure"
    text = "The backup extension could not be installed on the virtual machine"


@dataclass(eq=False)
class SettingsRefused(ExtensionFailed):
    """The extension cannot make sense of what it was asked."""

    code = "ExtensionConfigParsingFailure"
    text = "Failure in parsing the config for the backup extension."
    cure = "Restart the VM agent, which fetches the settings anew, then back the VM up again."


@dataclass(eq=False)
class CertificateNotFound(ExtensionFailed):
    """The extension's settings cannot be read or opened with the agent's certificate."""

    code = "GuestAgentCertificateNotFound"
    text = "The backup extension could not read its settings with the VM agent's certificate"
    cure = (
        "Correct the guest's clock if it is wrong and restart the VM agent, which fetches certificates anew."
    )


@dataclass(eq=False)
class NothingToBackUp(ExtensionFailed):
    """The disks asked for leave none to back up; the service never asks so."""

    code = "BackUpOperationFailedV2"
    text = "Backup failed with an internal error - Please retry the operation in a few minutes"
    cure = "Choose the disks anew: vmkeep protection update-for-vm."


@dataclass(eq=False)
class SnapshotWithoutNetwork(ExtensionFailed):
    """The guest cannot reach the host's snapshot service, although its agent is heard."""

    code = "ExtensionSnapshotFailedNoNetwork"
    retry = Retry.AFTER_CHANGE
    text = "Snapshot operation failed due to no network connectivity on the virtual machine"
    cure = "Let the guest reach 168.63.129.16 on TCP port 80: look at its firewall, routes and proxy."


@dataclass(eq=False)
class SnapshotLimitReached(ExtensionFailed):
    """Microsoft's extension was told that a disk has too many snapshots; ours never is."""

    code = "ExtensionFailedSnapshotLimitReachedError"
    text = "Snapshot operation failed as snapshot limit is exceeded for some of the disks attached"
    cure = "Delete snapshots of those disks that other products made."


@dataclass(eq=False)
class SnapshotRateExceeded(ExtensionFailed):
    """Microsoft's extension was told that a disk had a snapshot a moment ago; ours never is."""

    code = "ExtensionFailedSnapshotRateExceededError"
    text = "Snapshot operation failed because snapshots of a disk were taken too fast one after the other"
    cure = "See that no other product backs up these disks at the same time."


@dataclass(eq=False)
class FreezeFailed(ExtensionFailed):
    """A mount cannot be frozen."""

    code = "UserErrorFsFreezeFailed"
    retry = Retry.AFTER_CHANGE
    text = "Failed to freeze one or more mount-points of the VM to take a file-system consistent snapshot."
    cure = (
        "Unmount it, check it with fsck and mount it again; see that nothing else freezes it; or name it in "
        "MountsToSkip of /etc/azure/vmbackup.conf."
    )


@dataclass(eq=False)
class FreezeTimedOut(FreezeFailed):
    """Freezing took too long."""

    code = "UserErrorFsFreezeTimeout"
    text = "Freezing one or more mount-points of the VM did not end in time"
    cure = (
        "The guest's disks are too slow for what is written: back it up at a quieter hour, or raise "
        "SafeFreezeWaitInSeconds in /etc/azure/vmbackup.conf."
    )


@dataclass(eq=False)
class MountNotOpened(FreezeFailed):
    """A mount point cannot be opened."""

    code = "UserErrorUnableToOpenMount"
    text = "The backup extension was unable to open one or more mount points of the VM"
    cure = "Make the mount point accessible, or unmount it; file systems mounted one over the other are not."


@dataclass(eq=False)
class NothingFrozen(ExtensionFailed):
    """The extension took its snapshot of moving file systems: none was there to freeze, or all were to be skipped."""

    code = "NothingFrozen"
    retry = Retry.AFTER_CHANGE
    text = "No file system of the virtual machine was frozen for the snapshot"
    cure = "See MountsToSkip in /etc/azure/vmbackup.conf; only ext3, ext4, xfs and btrfs can be frozen."


@dataclass(eq=False)
class CommandTooOld(ExtensionFailed):
    """The agent ran the extension long after it was asked to."""

    code = "GuestAgentSnapshotTaskStatusError"
    text = "Could not communicate with the VM agent for snapshot status"
    cure = "The agent hung: restart it. If the guest's clock is wrong, correct it."


@dataclass(eq=False)
class FreezeConfigEncoding(ExtensionFailed):
    """vmbackup.conf cannot be read, so what it says of freezing was not heeded."""

    code = "VMBackupLinuxExtensionConfFileWrongEncodingFormat"
    retry = Retry.AFTER_CHANGE
    text = "/etc/azure/vmbackup.conf is not encoded as ASCII or UTF-8, so the backup extension cannot read it"
    cure = "Convert it: iconv -f UTF-16 -t ASCII /etc/azure/vmbackup.conf > new, then put that in its place."


NO_NETWORK = 76
ERRORS: dict[int, type[ExtensionFailed]] = {
    11: SettingsRefused,
    15: SnapshotWithoutNetwork,
    16: CertificateNotFound,
    17: NothingToBackUp,
    85: SnapshotLimitReached,
    121: FreezeFailed,
    122: FreezeTimedOut,
    123: MountNotOpened,
    173: SnapshotRateExceeded,
    402: CommandTooOld,
    600: FreezeConfigEncoding,
    1001: ExtensionNotInstalled,
    1007: ExtensionNotInstalled,
    1008: ExtensionNotInstalled,
}
"""By the extension's codes, and those of the agent (from 1000) that are more exact than "not run"."""
FIRST_OF_AGENT = 1000


def error_of(code: int, *, vm: str, said: str, mount: str = "") -> ExtensionFailed:
    """Return the most exact error for a code of the extension or its agent."""
    not_run = code >= FIRST_OF_AGENT or code < 0
    kind = ERRORS.get(code, ExtensionNotRun if not_run else ExtensionFailed)
    return kind(vm, code, said or "nothing", mount)
