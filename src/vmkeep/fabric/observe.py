"""Looks at one VM from the host and from its guest. Read-only; every look is bounded in time and dated."""

from collections.abc import Iterator
from dataclasses import dataclass

import structlog

from vmkeep.base.clock import Clock
from vmkeep.diagnosis.cause import Mend
from vmkeep.diagnosis.evidence import Evidence, HostFact
from vmkeep.fabric import guest_agent, guest_look
from vmkeep.fabric.domain_xml import attribute, parse
from vmkeep.fabric.errors import GuestAgentRefused, GuestAgentSilent
from vmkeep.fabric.host import Domain, Host, translated
from vmkeep.fabric.inventory import machine_state
from vmkeep.fabric.network import Networks, has_wire_address
from vmkeep.fabric.pressure import read_cpu_time, read_pressure
from vmkeep.fabric.wire.report import LATE_WITHIN_S, READY_WITHIN_S, AgentReport, Signal
from vmkeep.fabric.wire.server import WireServer
from vmkeep.model.machine import MachineState

log = structlog.get_logger()

MEND_LIMIT_S = 60
CPU_LOOK_S = 1
"""How long the VM's CPUs are watched at least."""
_UNIT = "set -e; exec 2>&1; unit=walinuxagent; systemctl cat $unit.service >/dev/null 2>&1 || unit=waagent; "


def _set_option(name: str, value: str) -> str:
    """Return the script that sets an option of the agent wherever it stands, or adds it, and restarts the agent."""
    return (
        rf"sed -i 's/^[[:space:]]*{name}[[:space:]]*=.*/{name}={value}/' /etc/waagent.conf; "
        rf"grep -q '^{name}=' /etc/waagent.conf || echo '{name}={value}' >>/etc/waagent.conf; "
        "systemctl restart $unit.service"
    )


_SCRIPTS = {
    Mend.START_AGENT: _UNIT
    + "systemctl unmask $unit.service; systemctl enable $unit.service; systemctl start $unit.service",
    Mend.RESTART_AGENT: _UNIT
    + "systemctl kill -s KILL $unit.service || true; systemctl restart $unit.service",
    Mend.ENABLE_EXTENSIONS: _UNIT + _set_option("Extensions.Enabled", "y"),
    Mend.VERBOSE_LOGS: _UNIT + _set_option("Logs.Verbose", "y"),
    Mend.NORMAL_LOGS: _UNIT + _set_option("Logs.Verbose", "n"),
    Mend.RENEW_LEASE: _UNIT
    + "for name in systemd-networkd NetworkManager networking; do "
    + "if systemctl -q is-active $name.service; then systemctl restart $name.service; break; fi; done; "
    + "systemctl restart $unit.service",
    Mend.REPAIR_SETTINGS: "set -e; exec 2>&1; cd /etc/azure; iconv -f UTF-16 -t ASCII vmbackup.conf >vmbackup.conf.text; "
    "cat vmbackup.conf.text >vmbackup.conf; rm vmbackup.conf.text",
    Mend.REMOVE_EXTENSION: _UNIT
    + "rm -rf /var/lib/waagent/Microsoft.Azure.RecoveryServices.VMSnapshotLinux-*; systemctl restart $unit.service",
}
"""What each mend runs in the guest; nothing in it comes from the guest."""


@dataclass(frozen=True, slots=True)
class Observer:
    """Gathers evidence of one VM."""

    host: Host
    networks: Networks
    wire: WireServer | None
    clock: Clock

    def observe(self, vm_uuid: str) -> tuple[Evidence, ...]:
        """Return what host and guest say now. Raises VmVanished, HypervisorUnreachable."""
        domain = self.host.get_domain(vm_uuid)
        state = machine_state(domain)
        evidence = [self._note(HostFact.VM_STATE, state, "libvirt")]
        evidence += [self._note(fact, value, "kernel of this host") for fact, value in read_pressure()]
        evidence += self._wire_side(domain)
        if state is MachineState.RUNNING:
            evidence += self._watched(domain)
        return tuple(evidence)

    def mend(self, vm_uuid: str, mend: Mend) -> None:
        """Carry a remedy out in the guest; whether it helped, a new look must tell.

        Raises GuestAgentSilent, GuestAgentRefused, VmVanished, HypervisorUnreachable.
        """
        domain = self.host.get_domain(vm_uuid)
        log.info("fabric.guest.mend", vm=domain.name(), mend=mend)
        if mend is Mend.THAW:
            guest_agent.thaw(domain)
            return
        guest_agent.run_script(
            domain, _SCRIPTS[mend], limit_s=MEND_LIMIT_S, clock=self.clock, must_succeed=True
        )

    def _wire_side(self, domain: Domain) -> Iterator[Evidence]:
        """Yield what our own service and the way to it look like; nothing where that cannot be known."""
        if self.wire is None:
            return
        report = self.wire.report(domain.UUIDString())
        heard = _heard(report)
        yield self._note(HostFact.AGENT_HEARD, heard, "wire server")
        yield self._note(HostFact.AGENT_STATUS, "ready" if report.ready else "none", "wire server")
        links = _links(domain)
        attached = {net.name: net.bridge for net in self.networks.list_networks() if net.attached}
        ours = {name: is_up for name, is_up in links.items() if name in attached}
        link = ("up" if any(ours.values()) else "down") if ours else "none"
        yield self._note(HostFact.LINK, link, "libvirt")
        bridges = [attached[name] for name in ours] or list(attached.values())
        down = [bridge for bridge in bridges if not self.wire.serves(bridge)]
        said = f"not serving on bridge {', '.join(down)}" if down else "serving"
        comes_and_goes = self.networks.address_was_lost and heard != "now"
        if bridges and (comes_and_goes or not has_wire_address()):
            said = "this host has lost 168.63.129.16"
        yield self._note(HostFact.WIRE_SERVER, said, "own service")

    def _watched(self, domain: Domain) -> Iterator[Evidence]:
        """Yield what a running guest says, and how its CPUs fared meanwhile."""
        before, began = read_cpu_time(domain), self.clock.monotonic()
        yield from self._guest_side(domain)
        self.clock.sleep(max(0.0, began + CPU_LOOK_S - self.clock.monotonic()))
        after = read_cpu_time(domain)
        if before and after:
            yield self._note(HostFact.CPU_WAIT, str(after.share_waited(before)), "libvirt")

    def _guest_side(self, domain: Domain) -> Iterator[Evidence]:
        answers = guest_agent.ping(domain)
        yield self._note(HostFact.GUEST_AGENT, "answers" if answers else "silent", "guest-ping")
        if not answers:
            return
        try:
            said = guest_agent.run_script(
                domain, guest_look.SCRIPT, limit_s=guest_look.LIMIT_S, clock=self.clock
            )
        except (GuestAgentSilent, GuestAgentRefused) as error:
            log.info("fabric.guest.not_seen", vm=domain.name(), code=error.code, why=str(error))
            return
        yield from guest_look.read_answer(said, self.clock.now())

    def _note(self, fact: HostFact, value: str, source: str) -> Evidence:
        return Evidence(fact, str(value), self.clock.now(), source)


def _heard(report: AgentReport) -> str:
    if not report.seen:
        return "never"
    ages = [age for age in (report.status_age_s, report.age_s(Signal.GOAL_STATE)) if age is not None]
    if not ages or min(ages) >= LATE_WITHIN_S:
        return "silent"
    return "now" if min(ages) < READY_WITHIN_S else "late"


def _links(domain: Domain) -> dict[str, bool]:
    """Return the libvirt networks a VM is on, and whether its link to each is up."""
    with translated("read the VM's definition", vm_uuid=domain.UUIDString()):
        root = parse(domain.XMLDesc())
    return {
        attribute(interface, "source", "network"): attribute(interface, "link", "state") != "down"
        for interface in root.findall("devices/interface")
    }
