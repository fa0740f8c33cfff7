"""The VMs of this host as the rest of vmkeep sees them."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

import libvirt
import structlog

from vmkeep.fabric import guest_agent
from vmkeep.fabric.chain import same
from vmkeep.fabric.domain_xml import (
    captured_disks,
    excluded_disks,
    has_guest_agent,
    list_interfaces,
    parse,
)
from vmkeep.fabric.errors import VmVanished
from vmkeep.fabric.host import Domain, Host, translated
from vmkeep.fabric.key_references import read_references
from vmkeep.fabric.wire.report import AgentReport
from vmkeep.fabric.wire.server import WireServer
from vmkeep.model.machine import AgentState, Disk, DiskFormat, MachineState, Nic, VirtualMachine

log = structlog.get_logger()

PINGS_AT_ONCE = 16

_STATES = {
    libvirt.VIR_DOMAIN_RUNNING: MachineState.RUNNING,
    libvirt.VIR_DOMAIN_BLOCKED: MachineState.RUNNING,
    libvirt.VIR_DOMAIN_PAUSED: MachineState.PAUSED,
    libvirt.VIR_DOMAIN_SHUTOFF: MachineState.OFF,
    libvirt.VIR_DOMAIN_CRASHED: MachineState.CRASHED,
}


def machine_state(domain: Domain) -> MachineState:
    """Return the VM's state. Raises VmVanished, HypervisorUnreachable."""
    with translated("tell the VM's state", vm_uuid=domain.UUIDString()):
        state, _reason = domain.state()
    return _STATES.get(state, MachineState.OTHER)


@dataclass(frozen=True, slots=True)
class Inventory:
    """Looks at VMs; never changes one."""

    host: Host
    wire: WireServer | None

    def list_machines(self, domains: Sequence[Domain]) -> list[VirtualMachine]:
        """Return what the domains are, by name; one that vanishes meanwhile is left out."""
        leases = self._leases()
        with ThreadPoolExecutor(PINGS_AT_ONCE, thread_name_prefix="inventory") as pool:
            found = pool.map(lambda domain: self._find_machine(domain, leases), domains)
            return sorted((vm for vm in found if vm is not None), key=lambda vm: vm.name)

    def get_machine(self, domain: Domain) -> VirtualMachine:
        """Return what one domain is. Raises VmVanished, HypervisorUnreachable."""
        return self._read(domain, self._leases())

    def _find_machine(self, domain: Domain, leases: Mapping[str, str]) -> VirtualMachine | None:
        with suppress(VmVanished):
            return self._read(domain, leases)
        return None

    def _read(self, domain: Domain, leases: Mapping[str, str]) -> VirtualMachine:
        vm_uuid, state = domain.UUIDString(), machine_state(domain)
        with translated("read the VM's definition", vm_uuid=vm_uuid):
            root = parse(domain.XMLDesc())
        report = self.wire.report(vm_uuid) if self.wire else AgentReport(vm_uuid)
        references = read_references(root)
        asks_guest_agent = state is MachineState.RUNNING and has_guest_agent(root)
        return VirtualMachine(
            uuid=vm_uuid,
            name=domain.name(),
            state=state,
            disks=tuple(
                Disk(
                    disk.target,
                    lun,
                    same(disk.path),
                    DiskFormat(disk.format),
                    _size(domain, disk.target),
                    encrypted=bool(disk.secret_uuid),
                    key=references.get(disk.target),
                )
                for lun, disk in captured_disks(root)
            ),
            nics=tuple(Nic(nic.mac, nic.network, leases.get(nic.mac, "")) for nic in list_interfaces(root)),
            agent=_agent_state(report),
            agent_version=report.status.agent_version if report.status else "",
            guest_agent=asks_guest_agent and guest_agent.ping(domain),
            excluded_disks=excluded_disks(root),
        )

    def _leases(self) -> dict[str, str]:
        """Return the IPv4 address of each MAC that a libvirt network leased one to."""
        with translated("list DHCP leases"):
            networks = self.host.connection().listAllNetworks(libvirt.VIR_CONNECT_LIST_NETWORKS_ACTIVE)
            leases = [lease for network in networks for lease in _network_leases(network)]
        return {str(lease["mac"]).lower(): str(lease["ipaddr"]) for lease in leases}


def _network_leases(network: "libvirt.virNetwork") -> list[dict[str, object]]:
    try:
        leases = network.DHCPLeases()
    except libvirt.libvirtError as error:  # stopped meanwhile, or its leases are not libvirt's business
        log.debug("fabric.network.no_leases", network=network.name(), error=str(error))
        return []
    return [lease for lease in leases if lease["type"] == libvirt.VIR_IP_ADDR_TYPE_IPV4]


def _size(domain: Domain, target: str) -> int:
    """Return a disk's virtual size in bytes; 0 when its file is missing."""
    try:
        return int(domain.blockInfo(target)[0])
    except libvirt.libvirtError as error:
        log.info("fabric.disk.no_size", vm=domain.name(), disk=target, error=str(error))
        return 0


def _agent_state(report: AgentReport) -> AgentState:
    if report.ready:
        return AgentState.READY
    return AgentState.SILENT if report.seen else AgentState.UNSEEN
