"""Networks are attached under running guests, and guests are known by where they are."""

import socket
import subprocess
from pathlib import Path

import libvirt
import pytest

from tests.fabric.idle_vm import idle_vm
from tests.fabric.on_guests import new_fabric
from tests.lab.guest import Guest
from tests.lab.lab import Lab
from vmkeep.fabric.errors import NetworkNotFound, NetworkUnfit
from vmkeep.fabric.fabric import Fabric
from vmkeep.fabric.network_xml import METADATA, WIRE_SERVER

pytestmark = pytest.mark.qemu

PLAIN = """
<network>
  <name>plain</name><bridge name='plain0' stp='off' delay='0'/>{forward}
  <ip address='10.78.0.1' netmask='255.255.255.0'>
    <dhcp><range start='10.78.0.10' end='10.78.0.20'/></dhcp>
  </ip>
</network>"""


@pytest.fixture
def fabric(tmp_path: Path) -> Fabric:
    return new_fabric(tmp_path)


def host_addresses() -> str:
    return subprocess.run(["ip", "-4", "-o", "address"], check=True, capture_output=True, text=True).stdout


CONNECT = """
import socket, sys
host, port, source = sys.argv[1:]
socket.create_connection((host, int(port)), 5, (source, 0)).close()
"""


def reaches(guest: Guest, host: str, port: int = 53, source: str = "") -> bool:
    """Whether the guest can open a connection; dnsmasq listens on port 53 of every gateway."""
    return guest.exec(["python3", "-c", CONNECT, host, str(port), source]).rc == 0


def test_unknown_network_is_named(fabric: Fabric) -> None:
    with pytest.raises(NetworkNotFound, match="nowhere"):
        fabric.attach_network("nowhere")


def test_vm_that_came_after_attaching_is_kept_from_forging_addresses(fabric: Fabric, lab: Lab) -> None:
    fabric.ensure_network("vmkeep")
    with idle_vm(lab, running=False) as vm:
        nic = "<interface type='network'><source network='vmkeep'/><model type='virtio'/></interface>"
        vm.domain.attachDeviceFlags(nic, libvirt.VIR_DOMAIN_AFFECT_CONFIG)
        vm.domain.create()
        assert "vmkeep-clean" not in vm.domain.XMLDesc()
        for _ in range(2):
            fabric.serve_networks()
        for flags in (0, libvirt.VIR_DOMAIN_XML_INACTIVE):
            assert vm.domain.XMLDesc(flags).count("vmkeep-clean") == 1


def test_foreign_bridge_is_refused(fabric: Fabric, lab: Lab) -> None:
    xml = "<network><name>foreign</name><forward mode='bridge'/><bridge name='br9'/></network>"
    network = lab.connection.networkDefineXML(xml)
    try:
        with pytest.raises(NetworkUnfit, match="not libvirt's own"):
            fabric.attach_network("foreign")
    finally:
        network.undefine()


def test_own_network_is_made_once(fabric: Fabric, lab: Lab) -> None:
    try:
        fabric.ensure_network("own")
        fabric.ensure_network("own")
        xml = lab.connection.networkLookupByName("own").XMLDesc()
        assert "245,a8:3f:81:10" in xml
        assert f"{WIRE_SERVER}/32" in xml
        assert WIRE_SERVER in host_addresses()
        assert METADATA in host_addresses()
        assert lab.connection.networkLookupByName("own").bridgeName() in fabric.serve_networks()
    finally:
        network = lab.connection.networkLookupByName("own")
        network.destroy()
        network.undefine()


def test_attaching_a_network_keeps_its_running_guest_connected(
    fabric: Fabric, guest: Guest, lab: Lab
) -> None:
    network = lab.connection.networkDefineXML(PLAIN.format(forward=""))
    network.create()
    try:
        plug_into(guest, "plain")
        renew_lease(guest)
        assert "10.78.0." in address_of(guest)
        assert any("restarted" in change for change in fabric.attach_network("plain"))
        assert fabric.attach_network("plain") == ("VM alpha can send with its own MAC address only",)
        assert reaches(guest, "10.78.0.1")
        renew_lease(guest)
        with socket.create_server((WIRE_SERVER, 80)):
            assert reaches(guest, WIRE_SERVER, 80)
        identity = fabric.locator.locate("plain0", address_of(guest))
        assert identity is not None
        assert identity.vm_uuid == guest.uuid
        fabric.detach_network("plain")
        assert "245" not in network.XMLDesc()
        assert reaches(guest, "10.78.0.1")
        assert "filterref" not in guest.domain.XMLDesc()
    finally:
        network.destroy()
        network.undefine()


def address_of(guest: Guest) -> str:
    return guest.run("ip", "-4", "-o", "address", "show", "dev", "eth0").split()[3].split("/")[0]


def renew_lease(guest: Guest) -> None:
    guest.run("sh", "-c", "dhclient -r eth0; ip address flush dev eth0; dhclient -4 eth0")


def plug_into(guest: Guest, network: str) -> None:
    xml = f"""<interface type='network'><mac address='{guest.mac}'/><source network='{network}'/>
      <model type='virtio'/></interface>"""
    guest.domain.updateDeviceFlags(xml)


def test_guest_that_forges_its_neighbours_addresses_is_never_taken_for_it(
    fabric: Fabric, guest_pair: tuple[Guest, Guest]
) -> None:
    alpha, beta = guest_pair
    fabric.attach_network("vmkeep")
    for guest in guest_pair:
        assert reaches(guest, "10.77.0.1")
        identity = fabric.locator.locate("vmkeep0", guest.ip)
        assert identity is not None
        assert (identity.vm_uuid, identity.mac) == (guest.uuid, guest.mac)
    # beta claims alpha's address: whoever really answers there is named, and that is beta
    beta.run("ip", "address", "add", f"{alpha.ip}/24", "dev", "eth0")
    alpha.run(
        "ip", "link", "set", "eth0", "down"
    )  # first: its agent's next request would bring it to mind again
    subprocess.run(["ip", "neigh", "flush", "dev", "vmkeep0"], check=True)
    assert reaches(beta, "10.77.0.1", source=alpha.ip)
    identity = fabric.locator.locate("vmkeep0", alpha.ip)
    assert identity is not None
    assert identity.vm_uuid == beta.uuid
    # beta forges alpha's MAC too: its frames do not get through, nobody is named
    beta.run("ip", "link", "set", "eth0", "address", alpha.mac)
    subprocess.run(["ip", "neigh", "flush", "dev", "vmkeep0"], check=True)
    assert not reaches(beta, "10.77.0.1", source=alpha.ip)
    assert fabric.locator.locate("vmkeep0", alpha.ip) is None
