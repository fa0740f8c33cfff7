"""Evidence: dated facts, each with the place it was seen from."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Vantage(StrEnum):
    """Where a look was taken from."""

    HOST = "host"
    GUEST = "guest"
    """Asked of qemu-guest-agent: the guest may lie, about itself only."""
    OFFLINE = "offline"
    """Read out of a restore point or the disks of a VM that is off, without the guest's help; as the guest left them."""
    JOB = "job"
    """Read from the record of the VM's last backup."""


class HostFact(StrEnum):
    """What the host can see by itself."""

    WIRE_SERVER = "wire-server"
    """`serving`, or why not."""
    VM_STATE = "vm-state"
    LINK = "link"
    """`up`, `down`, or `none`: the VM has no interface on a network that leads to the wire server."""
    AGENT_HEARD = "agent-heard"
    """`now` within 30 s, `late` within five minutes, `silent` since, `never`."""
    AGENT_STATUS = "agent-status"
    """`ready` when the agent said so within 30 s, else `none`: also of one that has just begun to ask."""
    GUEST_AGENT = "guest-agent"
    """qemu-guest-agent: `answers` or `silent`."""
    OBSTACLES = "obstacles"
    """Codes a backup would be refused with now, separated by spaces; `none`."""
    RUNNING_JOB = "running-job"
    """Operation and id of a job of the VM that runs, in whatever vault; `none`."""
    CPU_PRESSURE = "cpu-pressure"
    """Percent of the last five minutes in which something on this host waited for a CPU."""
    MEMORY_PRESSURE = "memory-pressure"
    """Percent of the last five minutes in which all that was to run waited for memory."""
    CPU_WAIT = "cpu-wait"
    """Percent of the time in which the VM's CPUs had work, while it was looked at, that they waited for the host's."""
    LOCKS = "locks"
    """How many locks hold the VM's restore points."""


class GuestFact(StrEnum):
    """What the guest says of itself."""

    AGENT_UNIT = "agent-unit"
    """Name of the agent's systemd unit; `none`."""
    AGENT_ENABLED = "agent-enabled"
    AGENT_ACTIVE = "agent-active"
    """As systemctl says: `active`, `inactive`, `failed`, `activating`."""
    AGENT_PROCESS = "agent-process"
    """Letters of the agent's process states, such as `SS` or `TS`; `none`."""
    EXTENSION_PROCESS = "extension-process"
    """The same of the snapshot extension's processes; `none` while it has nothing to do."""
    PYTHON = "python"
    """`works`, or `broken`: the agent's program is gone or its modules cannot be loaded."""
    EXTENSIONS_ENABLED = "extensions-enabled"
    SETTINGS_READ = "settings-read"
    """Whether the agent was started after its settings were last written: `yes` or `no`."""
    ROOT_FREE_KIB = "root-free-kib"
    ROOT_MODE = "root-mode"
    AGENT_FOLDER = "agent-folder"
    """How the file system of /var/lib/waagent is mounted: `exec` or `noexec`."""
    ADDRESS = "address"
    """`yes` when some interface has an IPv4 address; `none`."""
    FABRIC_ROUTE = "fabric-route"
    """Whether a route to the wire server or DHCP option 245 is there: `yes` or `none`."""
    WIRE_CONNECT = "wire-connect"
    """A TCP connection to the wire server: `ok`, `refused`, `timeout`, `unreachable`."""
    CLOCK = "clock"
    """Seconds since 1970."""
    BACKUP_CONF = "backup-conf"
    """Encoding of /etc/azure/vmbackup.conf: `none`, `text`, `utf-16`."""
    DISTRIBUTION = "distribution"


class OfflineFact(StrEnum):
    """What the guest's files say, read from outside."""

    PACKAGE = "package"
    """The agent's package: `installed`, or `absent`."""
    UNIT = "unit"
    """The agent's systemd unit: `enabled`, `disabled`, `masked`, `absent`."""
    EXTENSIONS = "extensions"
    """Extensions.Enabled in /etc/waagent.conf: `y` or `n`."""


class JobFact(StrEnum):
    """What the VM's last backup left on record."""

    CODES = "codes"
    """Codes of its error and its warnings, separated by spaces; `none`."""
    EXIT_CODE = "exit-code"
    """What the extension's command ended with, as the guest's agent told: a number, below 0 a signal; `none`."""
    LIMIT_LOCKS = "limit-locks"
    """The locks that it named when it met the limit of restore points; `none`."""


Fact = HostFact | GuestFact | OfflineFact | JobFact
_VANTAGES: Mapping[type[StrEnum], Vantage] = {
    HostFact: Vantage.HOST,
    GuestFact: Vantage.GUEST,
    OfflineFact: Vantage.OFFLINE,
    JobFact: Vantage.JOB,
}


@dataclass(frozen=True, slots=True)
class Evidence:
    """A dated fact. The vantage follows from the fact, so no guest can state a fact of the host."""

    fact: Fact
    value: str
    at: datetime
    source: str

    @property
    def vantage(self) -> Vantage:
        """Where it was seen from."""
        return _VANTAGES[type(self.fact)]


class Seen:
    """All evidence of one look, by fact."""

    def __init__(self, evidence: Iterable[Evidence]) -> None:
        self._by_fact: Mapping[Fact, Evidence] = {one.fact: one for one in evidence}

    def find(self, fact: Fact) -> Evidence | None:
        """Return the evidence of a fact, or None when nobody could look."""
        return self._by_fact.get(fact)

    def value(self, fact: Fact) -> str | None:
        """Return a fact's value, or None when nobody could look."""
        found = self._by_fact.get(fact)
        return found.value if found else None

    @property
    def all(self) -> tuple[Evidence, ...]:
        """All evidence, in order of time."""
        return tuple(sorted(self._by_fact.values(), key=lambda one: one.at))

    @property
    def missing(self) -> tuple[Vantage, ...]:
        """The vantages from which nothing was seen."""
        present = {one.vantage for one in self._by_fact.values()}
        return tuple(vantage for vantage in Vantage if vantage not in present)
