"""The lab's libvirt network: what the product's own looks like to a guest, with fixed addresses."""

from collections.abc import Iterable

import libvirt

from tests.lab.machine import Identity

NAME = "vmkeep"
BRIDGE = "vmkeep0"
GATEWAY = "10.77.0.1"
WIRE_SERVER = "168.63.129.16"
METADATA = "169.254.169.254"
ROUTES = ",".join(f"{target},{GATEWAY}" for target in ("0.0.0.0/0", f"{WIRE_SERVER}/32", f"{METADATA}/32"))
HOST = "<host mac='{0.mac}' name='{0.name}' ip='{0.ip}'/>"
# The lease outlives any saved guest: one whose lease ended while it slept would drop its address on waking.
NETWORK = """
<network xmlns:dnsmasq='http://libvirt.org/schemas/network/dnsmasq/1.0'>
  <name>{name}</name>
  <bridge name='{bridge}' stp='off' delay='0'/>
  <ip address='{gateway}' netmask='255.255.255.0'>
    <dhcp>
      <range start='10.77.0.100' end='10.77.0.199'><lease expiry='87600' unit='hours'/></range>
      {hosts}
    </dhcp>
  </ip>
  <ip address='{wire_server}' prefix='32'/>
  <ip address='{metadata}' prefix='32'/>
  <dnsmasq:options>
    <dnsmasq:option value='dhcp-option-force=245,a8:3f:81:10'/>
    <dnsmasq:option value='dhcp-option=option:classless-static-route,{routes}'/>
  </dnsmasq:options>
</network>
"""


def put_network(connection: libvirt.virConnect, known: Iterable[Identity]) -> None:
    """Start the network `vmkeep`; define it, with fixed addresses for the `known` guests, if there is none."""
    for network in connection.listAllNetworks():
        if network.name() == NAME:
            if not network.isActive():
                network.create()
            return
    hosts = "".join(HOST.format(identity) for identity in known)
    xml = NETWORK.format(
        name=NAME,
        bridge=BRIDGE,
        gateway=GATEWAY,
        wire_server=WIRE_SERVER,
        metadata=METADATA,
        routes=ROUTES,
        hosts=hosts,
    )
    connection.networkDefineXML(xml).create()
