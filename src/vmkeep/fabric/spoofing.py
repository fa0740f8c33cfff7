"""A libvirt filter that lets a VM send with its own MAC only, so that bridge ports tell VMs apart for certain.

It drops frames with a foreign source MAC, and ARP that claims one. It is silent about IP addresses: guests with
static addresses, IPv6 and everything else go on as before.
"""

from dataclasses import dataclass
from xml.etree import ElementTree as ET

import libvirt
import structlog

from vmkeep.fabric.domain_xml import attribute, list_interfaces, parse, unparse
from vmkeep.fabric.host import Domain, Host

log = structlog.get_logger()

NAME = "vmkeep-clean"
_XML = f"""
<filter name='{NAME}' chain='root'>
  <rule action='drop' direction='out' priority='100'><mac match='no' srcmacaddr='$MAC'/></rule>
  <rule action='drop' direction='out' priority='100'><arp match='no' arpsrcmacaddr='$MAC'/></rule>
</filter>"""


@dataclass(frozen=True, slots=True)
class SpoofFilter:
    """Puts the filter on interfaces and takes it away. Errors are libvirt's, except where they are reported."""

    host: Host

    def put_on(self, network: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Filter all interfaces of a network; return the VMs that are filtered, and the others with why."""
        try:
            self._define()
        except libvirt.libvirtError as error:
            obstacle = error.get_error_message()
            return (), tuple(f"{domain.name()} ({obstacle})" for domain in self._domains(network))
        filtered: list[str] = []
        unfiltered: list[str] = []
        for domain in self._domains(network):
            try:
                _change(domain, network, wanted=True)
            except libvirt.libvirtError as error:
                unfiltered.append(f"{domain.name()} ({error.get_error_message()})")
            else:
                filtered.append(domain.name())
        return tuple(filtered), tuple(unfiltered)

    def tend(self, network: str) -> None:
        """Filter the interfaces of VMs that came to a network since it was attached."""
        for domain in self._domains(network):
            try:
                changed = _change(domain, network, wanted=True)
            except libvirt.libvirtError as error:  # it vanished, or cannot be filtered: attaching has said so
                log.debug("fabric.network.not_filtered", vm=domain.name(), error=str(error))
                continue
            if changed:
                log.info("fabric.network.filtered", network=network, vm=domain.name())

    def take_from(self, network: str) -> None:
        """Remove the filter from all interfaces of a network."""
        for domain in self._domains(network):
            _change(domain, network, wanted=False)

    def _define(self) -> None:
        connection = self.host.connection()
        if NAME not in connection.listNWFilters():
            connection.nwfilterDefineXML(_XML)

    def _domains(self, network: str) -> list[Domain]:
        return [
            domain
            for domain in self.host.list_domains()
            if any(nic.network == network for nic in list_interfaces(parse(domain.XMLDesc())))
        ]


def _change(domain: Domain, network: str, *, wanted: bool) -> bool:
    """Bring a VM's interfaces to the wanted state, in what runs and in what is defined; return whether any changed."""
    live, defined = libvirt.VIR_DOMAIN_AFFECT_LIVE, libvirt.VIR_DOMAIN_AFFECT_CONFIG
    todo = []
    if domain.isActive():
        todo += [(xml, live) for xml in _changed_interfaces(domain.XMLDesc(), network, wanted=wanted)]
    if domain.isPersistent():
        next_start = domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
        todo += [(xml, defined) for xml in _changed_interfaces(next_start, network, wanted=wanted)]
    for xml, where in todo:
        domain.updateDeviceFlags(xml, where)
    return bool(todo)


def _changed_interfaces(xml: str, network: str, *, wanted: bool) -> list[str]:
    """Return the interfaces that must change; those with a filter of their own are never touched."""
    changed = []
    for interface in parse(xml).findall("devices/interface"):
        if attribute(interface, "source", "network") != network:
            continue
        current = interface.find("filterref")
        if wanted and current is None:
            ET.SubElement(interface, "filterref", {"filter": NAME})
            changed.append(unparse(interface))
        elif not wanted and current is not None and current.get("filter") == NAME:
            interface.remove(current)
            changed.append(unparse(interface))
    return changed
