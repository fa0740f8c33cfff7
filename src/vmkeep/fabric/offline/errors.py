"""What can go wrong when a guest's files are read from outside."""

from dataclasses import dataclass

from vmkeep.base.errors import Retry, VmkeepError


@dataclass(eq=False)
class OfflineReaderUnavailable(VmkeepError):
    """The sandbox in which guests' file systems are read could not be made."""

    retry = Retry.AFTER_CHANGE
    text = "the sandbox for reading guests' file systems does not start: {e.why}"
    remedy = "Install bubblewrap on this host and see that the service may make namespaces (run 'bwrap --unshare-all --ro-bind / / true')."
    why: str


@dataclass(eq=False)
class OfflineReadTimedOut(VmkeepError):
    """A guest's file system kept the reader busy for too long; the reader was ended."""

    text = "reading the files of VM {e.vm} from outside took longer than {e.limit_s} s and was ended"
    remedy = (
        "The file system may be damaged, or made to keep readers busy; try again when the host is less busy."
    )
    retry = Retry.LATER
    vm: str
    limit_s: float


@dataclass(eq=False)
class GuestFilesUnreadable(VmkeepError):
    """A guest's file system is damaged, or of a kind that cannot be read."""

    text = "the files of VM {e.vm} cannot be read from outside: {e.why}"
    remedy = "Check the file system in the guest, or restore the VM elsewhere and look into it there."
    vm: str
    why: str


@dataclass(eq=False)
class GuestSystemNotFound(VmkeepError):
    """No operating system, or more than one, is on the disks."""

    text = "there is no one operating system on the disks of VM {e.vm}: {e.why}"
    remedy = "Readable are ext4 and XFS, in partitions, on whole disks and in LVM on one disk; not encrypted disks."
    vm: str
    why: str


@dataclass(eq=False)
class GuestPathNotFound(VmkeepError):
    """The guest has no such file."""

    text = "VM {e.vm} has no '{e.path}'"
    remedy = "Give an absolute path, as the guest would see it."
    vm: str
    path: str


@dataclass(eq=False)
class GuestPathUnfit(VmkeepError):
    """What is at that path cannot be read or listed."""

    text = "'{e.path}' of VM {e.vm} cannot be used: {e.why}"
    remedy = "Read regular files and list folders only."
    vm: str
    path: str
    why: str


@dataclass(eq=False)
class NothingToReadOffline(VmkeepError):
    """The VM runs and has no restore point: all there is to read changes while it is read."""

    retry = Retry.AFTER_CHANGE
    text = "VM {e.vm} runs and has no restore point on this host, so its files cannot be read from outside"
    remedy = "Back the VM up (vmkeep protection backup-now --vm {e.vm}), or shut it down."
    vm: str


@dataclass(eq=False)
class DiskChangedMeanwhile(VmkeepError):
    """The VM was started while its disks were read."""

    retry = Retry.LATER
    text = "{e.path} was written to while the files of VM {e.vm} were read"
    remedy = "Try again while the VM stays off, or back it up and read the restore point."
    vm: str
    path: str
