"""What can go wrong between the host and a guest's agent.

VmkeepError
├── AgentUnavailable        nobody polls, or the goal state was never fetched
├── ExtensionStuck          the agent cannot bring the extension into a state to run
├── SnapshotStatusMissing   the agent took the task up, then silence
├── SnapshotTaskBusy        another task of this VM is running
├── SnapshotCancelled       the caller changed its mind
├── PackageUnreadable       the extension zip cannot be served
├── StateNotKept            a file of the wire server cannot be written
├── ListenFailed            the addresses cannot be opened on a bridge
└── RequestRefused          a guest asked for what it must not have; never leaves this package
"""

from dataclasses import dataclass

from vmkeep.base.errors import Retry, VmkeepError


@dataclass(eq=False)
class AgentUnavailable(VmkeepError):
    """The VM's agent does not fetch goal states, so no snapshot was asked for."""

    code = "UserErrorGuestAgentStatusUnavailable"
    retry = Retry.AFTER_CHANGE
    text = "VM Agent unable to communicate with Azure Backup"
    remedy = "{e.why} Restart the agent (walinuxagent) in {e.vm}, then run the backup again."
    vm: str
    why: str


@dataclass(eq=False)
class SnapshotStatusMissing(VmkeepError):
    """The agent took the task up, and then no final status came. `taken`: disks were captured all the same."""

    code = "GuestAgentSnapshotTaskStatusError"
    retry = Retry.LATER
    text = "Could not communicate with the VM agent for snapshot status"
    remedy = (
        "The last sign of the task in {e.vm} was '{e.last_event}', {e.waited_s:.0f} s after it was asked for. "
        "The agent holds the extension for: {e.handler}. See /var/log/waagent.log and the extension's log in the guest, then run the backup again."
    )
    vm: str
    task_id: str
    last_event: str
    waited_s: float
    taken: bool
    handler: str = "unknown"
    """What the agent last said of the extension: `Ready`, `NotReady`; unknown when it says nothing of it."""


@dataclass(eq=False)
class ExtensionStuck(VmkeepError):
    """The agent holds the extension for not ready and does not run it. Code and sentence are Azure Backup's."""

    code = "ExtensionStuckInDeletionState"
    retry = Retry.AFTER_CHANGE
    text = "Extension state is not supportive to the backup operation"
    remedy = (
        "The agent of {e.vm} says of the extension: {e.said}. Remove /var/lib/waagent/*VMSnapshotLinux-* in the "
        "guest and restart the agent: the next backup installs the extension again."
    )
    vm: str
    version: str
    said: str


@dataclass(eq=False)
class SnapshotTaskBusy(VmkeepError):
    """A VM's agent runs one snapshot task at a time."""

    retry = Retry.LATER
    text = "{e.vm} is already taking a snapshot for task {e.running_task_id}"
    remedy = "Wait for the running backup of {e.vm} to end, or cancel it."
    vm: str
    running_task_id: str


@dataclass(eq=False)
class SnapshotCancelled(VmkeepError):
    """The caller withdrew the task. `taken`: disks were captured before that."""

    text = "Taking a snapshot of {e.vm} was cancelled"
    vm: str
    task_id: str
    taken: bool


@dataclass(eq=False)
class PackageUnreadable(VmkeepError):
    """The extension's zip, which every guest downloads, cannot be read."""

    retry = Retry.AFTER_CHANGE
    text = "The extension package {e.path} cannot be used: {e.why}"
    remedy = "Reinstall vmkeep; the package is part of it."
    path: str
    why: str


@dataclass(eq=False)
class StateNotKept(VmkeepError):
    """What must survive a restart could not be written, so nothing was promised to the guest."""

    retry = Retry.AFTER_CHANGE
    text = "Cannot write {e.path}: {e.why}"
    remedy = "Make room, or make the folder writable, and try again."
    path: str
    why: str


@dataclass(eq=False)
class ListenFailed(VmkeepError):
    """An address of the wire server cannot be opened."""

    retry = Retry.AFTER_CHANGE
    text = "Cannot listen on {e.address}:{e.port} of bridge {e.bridge}: {e.why}"
    remedy = "See who else listens there (`ss -ltnp`), and that vmkeep runs as root and the bridge exists."
    bridge: str
    address: str
    port: int
    why: str


@dataclass(eq=False)
class RequestRefused(VmkeepError):
    """A request that gets `status` and has no effect. `gone` makes the agent fetch its goal state again."""

    text = "{e.why}"
    status: int
    why: str
    body: bytes = b""
