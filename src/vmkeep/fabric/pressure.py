"""How hard pressed this host is, and how long a VM's CPUs wait for it, as the kernel says.

Of the host: pressure stall information, Linux 4.20 and newer. Of a VM: libvirt's `vcpu.N.time` and `vcpu.N.delay`, which are
the CPU threads' figures in /proc/PID/schedstat; a limit of the VM's control group counts as waiting.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import libvirt

from vmkeep.diagnosis.evidence import HostFact
from vmkeep.fabric.host import Domain, translated

FOLDER = Path("/proc/pressure")
_LINES = {
    HostFact.CPU_PRESSURE: ("cpu", re.compile(r"^some .*avg300=(\d+)", re.MULTILINE)),
    HostFact.MEMORY_PRESSURE: ("memory", re.compile(r"^full .*avg300=(\d+)", re.MULTILINE)),
}
"""File and line of each. Of CPUs, `full` says nothing about a whole host."""


def read_pressure(folder: Path = FOLDER) -> Iterator[tuple[HostFact, str]]:
    """Yield percents of the last 300 s; nothing where the kernel does not tell."""
    for fact, (name, line) in _LINES.items():
        try:
            found = line.search((folder / name).read_text())
        except OSError:
            continue
        if found:
            yield fact, found.group(1)


@dataclass(frozen=True, slots=True)
class CpuTime:
    """What a VM's CPUs have had together since it started, in nanoseconds."""

    ran: int
    waited: int
    """Ready to run, but not let: what the guest sees as steal."""

    def share_waited(self, since: "CpuTime") -> int:
        """Return the percent of the time in which they had work since then, that they waited; 0 of CPUs at rest."""
        ran, waited = self.ran - since.ran, self.waited - since.waited
        return 100 * waited // (ran + waited) if waited > 0 else 0


def read_cpu_time(domain: Domain) -> CpuTime | None:
    """Return a VM's CPU times; None where libvirt or the kernel does not tell.

    Raises VmVanished, HypervisorUnreachable, HypervisorRefused.
    """
    with translated("tell the VM's CPU times", vm_uuid=domain.UUIDString()):
        [(_, stats)] = domain.connect().domainListGetStats([domain], libvirt.VIR_DOMAIN_STATS_VCPU)
    ran, waited = (
        [value for name, value in stats.items() if re.fullmatch(rf"vcpu\.\d+\.{field}", name)]
        for field in ("time", "delay")
    )
    return CpuTime(sum(ran), sum(waited)) if ran and len(ran) == len(waited) else None
