"""What a libvirt network's definition must say so that guests find the wire server. Pure."""

import ipaddress
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from vmkeep.fabric.domain_xml import attribute, parse, unparse
from vmkeep.fabric.errors import NetworkUnfit

WIRE_SERVER = "168.63.129.16"
METADATA = "169.254.169.254"

_DNSMASQ = "http://libvirt.org/schemas/network/dnsmasq/1.0"
ET.register_namespace("dnsmasq", _DNSMASQ)
_OPTIONS, _OPTION = f"{{{_DNSMASQ}}}options", f"{{{_DNSMASQ}}}option"
_OPTION_245 = "dhcp-option-force=245,a8:3f:81:10"
_OPTION_121 = "dhcp-option=option:classless-static-route,"
_OWN_MODES = {"", "nat", "route", "open"}


@dataclass(frozen=True, slots=True)
class Subnet:
    """The part of a network that DHCP serves; guests reach everything else through `gateway`."""

    gateway: str
    routed: bool
    """Whether the network leads anywhere: guests then have their default route through it."""


def read_subnet(xml: str, *, name: str) -> Subnet:
    """Return what guests are told by DHCP. Raises NetworkUnfit."""
    root = parse(xml)
    mode = attribute(root, "forward", "mode") or ("nat" if root.find("forward") is not None else "")
    if mode not in _OWN_MODES:
        raise NetworkUnfit(name, f"its bridge is not libvirt's own (forward mode {mode})")
    for ip in root.findall("ip"):
        if ip.get("family", "ipv4") == "ipv4" and ip.find("dhcp") is not None:
            return Subnet(ip.get("address", ""), routed=bool(mode))
    raise NetworkUnfit(name, "libvirt serves no IPv4 DHCP on it")


def find_subnet(xml: str) -> str:
    """Return the first IPv4 subnet of a network in CIDR notation; empty when it has none."""
    for ip in parse(xml).findall("ip"):
        if ip.get("family", "ipv4") == "ipv4":
            size = ip.get("prefix") or ip.get("netmask")
            return str(ipaddress.IPv4Network(f"{ip.get('address')}/{size or 24}", strict=False))
    return ""


def attached_xml(xml: str, *, name: str, default_route: bool) -> str:
    """Return the definition with options 245 and 121, as it is when it has them. Raises NetworkUnfit.

    A network with a classless-static-route option of its own keeps that: option 245 alone is enough for the agent.
    """
    subnet = read_subnet(xml, name=name)
    root = parse(xml)
    options = root.find(_OPTIONS)
    if options is None:
        options = ET.SubElement(root, _OPTIONS)
    values = {option.get("value", "") for option in options.findall(_OPTION)}
    wanted = [_OPTION_245]
    if not any(_is_routes(value) for value in values):
        wanted.append(_OPTION_121 + _routes(subnet, default_route=default_route))
    for value in wanted:
        if value not in values:
            ET.SubElement(options, _OPTION, {"value": value})
    return unparse(root)


def detached_xml(xml: str) -> str:
    """Return the definition without our options."""
    root = parse(xml)
    options = root.find(_OPTIONS)
    for option in list(options.findall(_OPTION)) if options is not None else []:
        value = option.get("value", "")
        if options is not None and (value == _OPTION_245 or (_is_routes(value) and WIRE_SERVER in value)):
            options.remove(option)
    return unparse(root)


def is_attached(xml: str) -> bool:
    """Whether a network's DHCP names the wire server."""
    return any(option.get("value") == _OPTION_245 for option in parse(xml).findall(f"{_OPTIONS}/{_OPTION}"))


def own_network_xml(name: str, bridge: str, subnet: ipaddress.IPv4Network) -> str:
    """Return the definition of an isolated network of our own."""
    first, last = subnet[10], subnet[-6]
    plain = f"""
<network>
  <name>{name}</name>
  <bridge name='{bridge}' stp='off' delay='0'/>
  <ip address='{subnet[1]}' netmask='{subnet.netmask}'>
    <dhcp><range start='{first}' end='{last}'/></dhcp>
  </ip>
</network>"""
    return attached_xml(plain, name=name, default_route=True)


def _is_routes(value: str) -> bool:
    return value.startswith((_OPTION_121, "dhcp-option=121,", "dhcp-option-force=121,"))


def _routes(subnet: Subnet, *, default_route: bool) -> str:
    """Return option 121; a client that gets it ignores option 3, so the default route must be in it."""
    targets = ["0.0.0.0/0"] if default_route or subnet.routed else []
    return ",".join(
        f"{target},{subnet.gateway}" for target in (*targets, f"{WIRE_SERVER}/32", f"{METADATA}/32")
    )
