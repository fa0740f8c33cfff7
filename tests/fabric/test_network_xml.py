"""What is put into a network's definition, and taken out again."""

import ipaddress

import pytest

from vmkeep.fabric.errors import NetworkUnfit
from vmkeep.fabric.network_xml import (
    attached_xml,
    detached_xml,
    find_subnet,
    is_attached,
    own_network_xml,
    read_subnet,
)

FORCED = "dhcp-option-force=245,a8:3f:81:10"
OWN_ROUTES = "dhcp-option=121,10.0.0.0/8,192.168.5.1"


def network(forward: str = "<forward mode='nat'/>", dhcp: str = "<dhcp/>", options: str = "") -> str:
    return f"""<network xmlns:dnsmasq='http://libvirt.org/schemas/network/dnsmasq/1.0'><name>n</name>{forward}
      <bridge name='virbr5'/><ip address='192.168.5.1' netmask='255.255.255.0'>{dhcp}</ip>{options}</network>"""


def test_routed_network_leads_everywhere_through_its_gateway() -> None:
    xml = attached_xml(network(), name="n", default_route=False)
    assert FORCED in xml
    routes = "0.0.0.0/0,192.168.5.1,168.63.129.16/32,192.168.5.1,169.254.169.254/32,192.168.5.1"
    assert f"classless-static-route,{routes}" in xml


def test_isolated_network_gets_no_default_route() -> None:
    xml = attached_xml(network(forward=""), name="n", default_route=False)
    assert "0.0.0.0/0" not in xml
    assert "168.63.129.16/32,192.168.5.1" in xml


def test_attaching_twice_changes_nothing() -> None:
    once = attached_xml(network(), name="n", default_route=False)
    assert attached_xml(once, name="n", default_route=False) == once
    assert is_attached(once)


def test_detaching_leaves_no_option_of_ours() -> None:
    xml = detached_xml(attached_xml(network(), name="n", default_route=False))
    assert not is_attached(xml)
    assert "168.63.129.16" not in xml


def test_routes_of_the_owner_are_kept() -> None:
    options = f"<dnsmasq:options><dnsmasq:option value='{OWN_ROUTES}'/></dnsmasq:options>"
    xml = attached_xml(network(options=options), name="n", default_route=False)
    assert OWN_ROUTES in xml
    assert "168.63.129.16" not in xml
    assert OWN_ROUTES in detached_xml(xml)


@pytest.mark.parametrize(
    ("xml", "why"),
    [
        (network(forward="<forward mode='bridge'/>"), "not libvirt's own"),
        (network(forward="<forward mode='hostdev'/>"), "not libvirt's own"),
        (network(dhcp=""), "serves no IPv4 DHCP"),
    ],
)
def test_network_that_cannot_carry_the_wire_is_refused(xml: str, why: str) -> None:
    with pytest.raises(NetworkUnfit, match=why):
        attached_xml(xml, name="n", default_route=False)


def test_forward_without_a_mode_is_nat() -> None:
    assert read_subnet(network(forward="<forward/>"), name="n").routed


def test_own_network_is_attached_and_keeps_room_for_fixed_addresses() -> None:
    xml = own_network_xml("vmkeep", "vmkeep0", ipaddress.IPv4Network("10.77.0.0/24"))
    assert is_attached(xml)
    assert find_subnet(xml) == "10.77.0.0/24"
    assert "0.0.0.0/0,10.77.0.1" in xml
    assert "start='10.77.0.10'" in xml.replace('"', "'")
