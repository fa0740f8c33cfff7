"""Networks that lead guests to the wire server: libvirt's own ones are attached, or one of ours is made.

The addresses of the wire server are put on the loopback interface, where they survive every restart of a network and
collide with none: packets that a guest sends there arrive on its bridge, and the server's sockets are bound to bridges.
"""

import ipaddress
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import libvirt
import psutil
import structlog

from vmkeep.fabric.domain_xml import attribute, list_interfaces, parse
from vmkeep.fabric.errors import HypervisorRefused, NetworkNotFound, NetworkUnfit
from vmkeep.fabric.host import Host, translated
from vmkeep.fabric.network_xml import (
    METADATA,
    WIRE_SERVER,
    attached_xml,
    detached_xml,
    find_subnet,
    is_attached,
    own_network_xml,
    read_subnet,
)
from vmkeep.fabric.spoofing import SpoofFilter
from vmkeep.model.network import Network

log = structlog.get_logger()

LibvirtNetwork = Any  # libvirt ships no types

OWN_SUBNETS = [ipaddress.IPv4Network(f"10.{second}.0.0/24") for second in range(77, 256)]
COMMAND_TIMEOUT_S = 10


@dataclass(frozen=True, slots=True)
class AttachReport:
    """What attaching a network came to; `changes` in one sentence each."""

    bridge: str
    changes: tuple[str, ...]


@dataclass(slots=True)
class Networks:
    """Attaches networks to the wire and detaches them; everything may be done again."""

    host: Host
    _has_put: bool = field(default=False, init=False)
    address_was_lost: bool = field(default=False, init=False)
    """Whether somebody had taken the wire server's address away when `put_addresses` last looked."""

    def attach(self, name: str) -> AttachReport:
        """Make guests of a network find the wire server, from now on and after every restart.

        Guests that run stay connected. Raises NetworkNotFound, NetworkUnfit, HypervisorRefused.
        """
        network = self._get(name)
        with translated(f"attach the network '{name}'"):
            before = network.XMLDesc(libvirt.VIR_NETWORK_XML_INACTIVE)
            restarted = self._redefine(network, before, attached_xml(before, name=name, default_route=False))
            self.put_addresses()
            filtered, unfiltered = SpoofFilter(self.host).put_on(name)
            bridge = network.bridgeName()
        log.info("fabric.network.attached", network=name, bridge=bridge, restarted=restarted)
        return AttachReport(
            bridge,
            tuple(_changes(before, name, restarted=restarted, filtered=filtered, unfiltered=unfiltered)),
        )

    def detach(self, name: str) -> None:
        """Take back what `attach` did. Raises NetworkNotFound, HypervisorRefused."""
        network = self._get(name)
        with translated(f"detach the network '{name}'"):
            before = network.XMLDesc(libvirt.VIR_NETWORK_XML_INACTIVE)
            self._redefine(network, before, detached_xml(before))
            SpoofFilter(self.host).take_from(name)
        log.info("fabric.network.detached", network=name)

    def ensure(self, name: str) -> str:
        """Return the bridge of a running network of that name, made if there is none. Raises HypervisorRefused."""
        with translated(f"make the network '{name}'"):
            if name not in {network.name() for network in self.host.connection().listAllNetworks()}:
                subnet, bridge = _free_subnet(), _free_bridge()
                network = self.host.connection().networkDefineXML(own_network_xml(name, bridge, subnet))
                network.setAutostart(True)
                network.create()
                log.info("fabric.network.made", network=name, bridge=bridge, subnet=str(subnet))
        return self.attach(name).bridge

    def list_networks(self) -> list[Network]:
        """Return all libvirt networks of this host, by name. Raises HypervisorUnreachable."""
        with translated("list the networks"):
            networks = self.host.connection().listAllNetworks()
            return sorted((_read(network) for network in networks), key=lambda network: network.name)

    def attached_bridges(self) -> list[str]:
        """Return the bridges of all running networks that are attached. Raises HypervisorUnreachable."""
        return [network.bridge for network in self.list_networks() if network.active and network.attached]

    def tend_filters(self) -> None:
        """Keep VMs that came to an attached network since from forging MAC addresses. Raises HypervisorUnreachable."""
        for network in self.list_networks():
            if network.active and network.attached:
                with translated(f"filter the network '{network.name}'"):
                    SpoofFilter(self.host).tend(network.name)

    def put_addresses(self) -> None:
        """Give this host the wire server's addresses, again if they are gone. Raises HypervisorRefused."""
        self.address_was_lost = self._has_put and not has_wire_address()
        if self.address_was_lost:
            log.warning("fabric.address.lost", address=WIRE_SERVER)
        for address in (WIRE_SERVER, METADATA):
            _ip("address", "replace", f"{address}/32", "dev", "lo", "scope", "host")
        self._has_put = True

    def _get(self, name: str) -> LibvirtNetwork:
        with translated("look the network up"):
            for network in self.host.connection().listAllNetworks():
                if network.name() == name:
                    return network
        raise NetworkNotFound(name)

    def _redefine(self, network: LibvirtNetwork, before: str, after: str) -> bool:
        """Define a network anew; restart it if it runs otherwise than defined. Return whether it was restarted."""
        connection = self.host.connection()
        connection.networkDefineXML(after)
        if not network.isActive():
            self._start(network, before)
        elif is_attached(network.XMLDesc()) != is_attached(after):
            ports = _ports(network.bridgeName())
            network.destroy()
            self._start(network, before)
            _plug(ports, network.bridgeName())
            return True
        return False

    def _start(self, network: LibvirtNetwork, before: str) -> None:
        """Start a network and plug running guests in again; when it cannot start, as it was before."""
        try:
            network.create()
        except libvirt.libvirtError as error:
            self.host.connection().networkDefineXML(before)
            network.create()
            raise NetworkUnfit(network.name(), error.get_error_message()) from error
        finally:
            _plug(list(self._taps(network.name())), network.bridgeName())

    def _taps(self, network_name: str) -> Iterator[str]:
        for domain in self.host.list_domains(running=True):
            for interface in list_interfaces(parse(domain.XMLDesc())):
                if interface.network == network_name and interface.tap:
                    yield interface.tap


def _changes(
    before: str, name: str, *, restarted: bool, filtered: Sequence[str], unfiltered: Sequence[str]
) -> Iterator[str]:
    if not is_attached(before):
        yield "DHCP names the wire server (options 245 and 121); guests hear of it when they renew their lease"
        if not read_subnet(before, name=name).routed:
            yield "the network is isolated: its guests get routes to the wire server, but no default route"
    if restarted:
        yield "the network was restarted and its running guests plugged in again"
    for vm in filtered:
        yield f"VM {vm} can send with its own MAC address only"
    for vm in unfiltered:
        yield f"VM {vm} is not kept from forging MAC addresses"


def _read(network: LibvirtNetwork) -> Network:
    xml = network.XMLDesc()
    return Network(
        name=network.name(),
        bridge=attribute(parse(xml), "bridge", "name"),
        subnet=find_subnet(xml),
        active=bool(network.isActive()),
        attached=is_attached(xml),
    )


def _ports(bridge: str) -> list[str]:
    """Return everything that is plugged into a bridge, VMs or not."""
    return [port.name for port in Path(f"/sys/class/net/{bridge}/brif").iterdir()]


def _plug(ports: list[str], bridge: str) -> None:
    for port in ports:
        if Path(f"/sys/class/net/{port}").exists():  # its VM may have been stopped meanwhile
            _ip("link", "set", "dev", port, "master", bridge)


def _ip(*arguments: str) -> None:
    done = subprocess.run(
        ["ip", *arguments], capture_output=True, text=True, timeout=COMMAND_TIMEOUT_S, check=False
    )
    if done.returncode:
        raise HypervisorRefused(f"run ip {' '.join(arguments)}", done.stderr.strip())


def has_wire_address() -> bool:
    """Return whether this host has the wire server's address on whatever interface; nothing is sent."""
    return any(one.address == WIRE_SERVER for found in psutil.net_if_addrs().values() for one in found)


def _free_subnet() -> ipaddress.IPv4Network:
    """Return the first of our subnets that no interface of this host is in."""
    addresses = [
        ipaddress.IPv4Address(address.address)
        for interface in psutil.net_if_addrs().values()
        for address in interface
        if address.family.name == "AF_INET"
    ]
    return next(subnet for subnet in OWN_SUBNETS if not any(address in subnet for address in addresses))


def _free_bridge() -> str:
    return next(
        name for name in (f"vmkeep{number}" for number in range(1000)) if name not in psutil.net_if_addrs()
    )
