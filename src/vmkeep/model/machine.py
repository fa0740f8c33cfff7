"""Virtual machines as the fabric sees them."""

from dataclasses import dataclass, field
from enum import StrEnum

from vmkeep.model.disk_key import KeyReference


class MachineState(StrEnum):
    """Life of a VM, reduced to what a backup cares about."""

    RUNNING = "running"
    PAUSED = "paused"
    OFF = "off"
    CRASHED = "crashed"
    OTHER = "other"


class Consistency(StrEnum):
    """What a recovery point promises about the data in it; the ladder's rungs, best first."""

    APPLICATION = "application"
    FILE_SYSTEM = "file-system"
    CRASH = "crash"

    def reaches(self, least: "Consistency") -> bool:
        """Return whether this rung is `least` or a better one."""
        rungs = list(Consistency)
        return rungs.index(self) <= rungs.index(least)


class DiskFormat(StrEnum):
    """Image formats the fabric can capture."""

    QCOW2 = "qcow2"
    RAW = "raw"
    LUKS = "luks"
    """Raw, behind a LUKS header; libvirt calls it `raw` with an encryption."""


@dataclass(frozen=True, slots=True)
class Disk:
    """One disk of a VM. `lun` is -1 for the OS disk, 0… for data disks, as Azure numbers them."""

    name: str
    """Target device, such as `vda`."""
    lun: int
    path: str
    """The active layer's file."""
    format: DiskFormat
    size_bytes: int
    """Virtual size."""
    encrypted: bool = False
    """Whether QEMU keeps it in LUKS, so that the guest sees plaintext and the host's files hold none."""
    key: KeyReference | None = None
    """Where the key of an encrypted disk is kept; None when nobody has said."""


@dataclass(frozen=True, slots=True)
class Nic:
    """One network interface."""

    mac: str
    network: str
    """libvirt network name; empty when it is not on one."""
    ip: str = ""
    """IPv4 address from the network's lease; empty when none is known."""


class AgentState(StrEnum):
    """How the Azure Linux agent of a VM looks from the wire server."""

    READY = "ready"
    SILENT = "silent"
    """Seen before, not lately."""
    UNSEEN = "unseen"


@dataclass(frozen=True, slots=True)
class VirtualMachine:
    """A VM of this host. `uuid` is its identity; the name may change."""

    uuid: str
    name: str
    state: MachineState
    disks: tuple[Disk, ...]
    nics: tuple[Nic, ...] = ()
    agent: AgentState = AgentState.UNSEEN
    agent_version: str = ""
    guest_agent: bool = False
    """Whether qemu-guest-agent answers."""
    excluded_disks: tuple[str, ...] = field(default=())
    """Devices that cannot be captured (cdrom, network disks, pass-through), as `name (why)`."""

    @property
    def encrypted(self) -> bool:
        """Whether any of its disks is encrypted."""
        return any(disk.encrypted for disk in self.disks)

    @property
    def expected_consistency(self) -> Consistency:
        """The rung of the ladder the next backup should reach."""
        if self.state is not MachineState.RUNNING:
            return Consistency.CRASH
        if self.agent is AgentState.READY or self.guest_agent:
            return Consistency.FILE_SYSTEM
        return Consistency.CRASH
