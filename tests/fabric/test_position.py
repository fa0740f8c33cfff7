"""A position is a VM only when neighbour, port, tap and MAC all agree."""

import struct
from pathlib import Path
from typing import cast

import pytest

from vmkeep.base.clock import FakeClock
from vmkeep.fabric.host import Host
from vmkeep.fabric.position import INTERFACES_TTL_S, GuestPositions, role_guid

ALPHA, BETA = "52:54:00:00:00:0a", "52:54:00:00:00:0b"
HEADER = "IP address       HW type     Flags       HW address            Mask     Device\n"


class FakeDomain:
    def __init__(self, name: str, mac: str, tap: str) -> None:
        self._name, self._mac, self._tap = name, mac, tap

    def name(self) -> str:
        return self._name

    def UUIDString(self) -> str:  # noqa: N802 - libvirt's name
        return f"uuid-of-{self._name}"

    def XMLDesc(self) -> str:  # noqa: N802 - libvirt's name
        return f"""<domain><devices><interface type='network'><mac address='{self._mac}'/>
          <target dev='{self._tap}'/></interface></devices></domain>"""


class FakeHost:
    def __init__(self) -> None:
        self.domains = [FakeDomain("alpha", ALPHA, "vnet0"), FakeDomain("beta", BETA, "vnet1")]
        self.asked = 0

    def list_domains(self, *, running: bool) -> list[FakeDomain]:
        assert running
        self.asked += 1
        return self.domains


class World:
    """A bridge with two ports, as /proc and /sys show it."""

    def __init__(self, folder: Path) -> None:
        self.host = FakeHost()
        self.clock = FakeClock()
        self.arp = folder / "arp"
        self.bridge = folder / "br0"
        for number, tap in enumerate(("vnet0", "vnet1"), start=1):
            port = self.bridge / "brif" / tap
            port.mkdir(parents=True)
            (port / "port_no").write_text(f"{0x8000 | number:#x}\n")
        self.neighbours({"10.0.0.10": ALPHA, "10.0.0.11": BETA})
        self.table({ALPHA: 1, BETA: 2})
        self.positions = GuestPositions(
            cast("Host", self.host), self.clock, neighbours=self.arp, sysfs=folder
        )

    def neighbours(self, known: dict[str, str], flags: str = "0x2") -> None:
        lines = [f"{ip}  0x1  {flags}  {mac}  *  br0\n" for ip, mac in known.items()]
        self.arp.write_text(HEADER + "".join(lines))

    def table(self, known: dict[str, int], *, local: int = 0) -> None:
        entries = [
            struct.pack("=6sBBIBBH", bytes.fromhex(mac.replace(":", "")), port, local, 0, 0, 0, 0)
            for mac, port in known.items()
        ]
        (self.bridge / "brforward").write_bytes(b"".join(entries))

    def vm_at(self, ip: str) -> str | None:
        identity = self.positions.locate("br0", ip)
        return identity.vm_name if identity else None


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_vm_is_found_by_its_port(world: World) -> None:
    identity = world.positions.locate("br0", "10.0.0.11")
    assert identity is not None
    assert (identity.vm_name, identity.vm_uuid, identity.mac) == ("beta", "uuid-of-beta", BETA)
    assert identity.role_guid == role_guid("uuid-of-beta")


def test_claimed_address_of_another_vm_leads_to_the_claimant(world: World) -> None:
    world.neighbours({"10.0.0.10": BETA})
    assert world.vm_at("10.0.0.10") == "beta"


def test_forged_mac_is_nobody(world: World) -> None:
    world.table({ALPHA: 2})
    assert world.vm_at("10.0.0.10") is None


@pytest.mark.parametrize("flags", ["0x0", "0x1"])
def test_neighbour_that_never_answered_is_nobody(world: World, flags: str) -> None:
    world.neighbours({"10.0.0.10": ALPHA}, flags)
    assert world.vm_at("10.0.0.10") is None


def test_host_itself_is_nobody(world: World) -> None:
    world.table({ALPHA: 1}, local=1)
    assert world.vm_at("10.0.0.10") is None


def test_other_bridge_knows_nobody(world: World) -> None:
    assert world.positions.locate("br1", "10.0.0.10") is None


def test_libvirt_is_not_asked_for_every_connection(world: World) -> None:
    for _ in range(5):
        assert world.vm_at("10.0.0.10") == "alpha"
    assert world.host.asked == 1
    world.clock.advance(INTERFACES_TTL_S)
    assert world.vm_at("10.0.0.10") == "alpha"
    assert world.host.asked == 2


def test_vm_started_just_now_is_found(world: World) -> None:
    started = world.host.domains.pop()
    assert world.vm_at("10.0.0.11") is None
    world.host.domains.append(started)
    assert world.vm_at("10.0.0.11") == "beta"


def test_restored_copy_has_a_role_of_its_own() -> None:
    assert role_guid("a") != role_guid("b")
    assert role_guid("a") == role_guid("a")
