"""Who sits at a network position: address → neighbour → bridge port → tap → VM, and all of them must agree.

Nothing a guest says is believed. The address only selects the neighbour the kernel really talks to; its MAC must be
behind a port that is the tap of a running VM, and must be that interface's own. What a guest could still do is forge
another's MAC between two look-ups: the filter that `network` puts on interfaces drops such frames.
"""

import struct
import threading
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import libvirt
import structlog

from vmkeep.base.clock import Clock
from vmkeep.fabric.domain_xml import list_interfaces, parse
from vmkeep.fabric.host import Host
from vmkeep.fabric.wire.identity import GuestIdentity

log = structlog.get_logger()

INTERFACES_TTL_S = 5.0
"""How long the list of taps is believed; a tap that is not in it is always looked up anew."""

_ROLES = uuid.UUID("6f3d2a52-58a7-4a0e-9c53-5f6a6f0e7a11")
_NEIGHBOURS = Path("/proc/net/arp")
_NEIGHBOUR_COMPLETE = 0x2
_SYSFS = Path("/sys/class/net")
_FDB_ENTRY = struct.Struct("=6sBBIBBH")
"""struct __fdb_entry of linux/if_bridge.h: MAC, port (low), is local, age, port (high), padding."""


@dataclass(frozen=True, slots=True)
class _Owner:
    vm_uuid: str
    vm_name: str


@dataclass(slots=True)
class GuestPositions:
    """The wire server's `GuestLocator`; may be used from any thread."""

    host: Host
    clock: Clock
    neighbours: Path = _NEIGHBOURS
    sysfs: Path = _SYSFS
    _owners: Mapping[tuple[str, str], _Owner] = field(default_factory=dict)
    _read_at: float = float("-inf")
    _reading: threading.Lock = field(default_factory=threading.Lock)

    def locate(self, bridge: str, ip: str) -> GuestIdentity | None:
        """Return the VM that owns the bridge port behind `ip`, or None. Raises HypervisorUnreachable."""
        mac = self._neighbour(bridge, ip)
        tap = self._port(bridge, mac) if mac else ""
        owner = self._owner(tap, mac) if tap else None
        if owner is None:
            log.info("fabric.position.unknown", bridge=bridge, ip=ip, mac=mac, tap=tap)
            return None
        return GuestIdentity(owner.vm_uuid, owner.vm_name, role_guid(owner.vm_uuid), mac, ip)

    def _neighbour(self, bridge: str, ip: str) -> str:
        """Return the MAC the kernel sends frames for `ip` to; empty when it knows none on this bridge."""
        for line in self.neighbours.read_text().splitlines()[1:]:
            address, _kind, flags, mac, _mask, device = line.split()
            if (address, device) == (ip, bridge) and int(flags, 16) & _NEIGHBOUR_COMPLETE:
                return mac.lower()
        return ""

    def _port(self, bridge: str, mac: str) -> str:
        """Return the bridge's port that `mac` is behind; empty when there is none."""
        wanted = bytes.fromhex(mac.replace(":", ""))
        try:
            table = (self.sysfs / bridge / "brforward").read_bytes()
            ports = self._ports(bridge)
        except OSError as error:
            log.info("fabric.position.no_bridge", bridge=bridge, error=str(error))
            return ""
        for entry_mac, low, is_local, _age, high, _pad, _unused in _FDB_ENTRY.iter_unpack(table):
            if entry_mac == wanted and not is_local:
                return ports.get(high << 8 | low, "")
        return ""

    def _ports(self, bridge: str) -> dict[int, str]:
        # port numbers carry the port's priority in bit 15 when a bridge speaks STP
        return {
            int((port / "port_no").read_text(), 16) & 0x3FF: port.name
            for port in (self.sysfs / bridge / "brif").iterdir()
        }

    def _owner(self, tap: str, mac: str) -> _Owner | None:
        with self._reading:
            fresh = self.clock.monotonic() - self._read_at < INTERFACES_TTL_S
            if not fresh or (tap, mac) not in self._owners:
                self._owners = dict(self._running_interfaces())
                self._read_at = self.clock.monotonic()
            return self._owners.get((tap, mac))

    def _running_interfaces(self) -> Iterator[tuple[tuple[str, str], _Owner]]:
        for domain in self.host.list_domains(running=True):
            try:
                xml = domain.XMLDesc()
            except libvirt.libvirtError:  # stopped meanwhile
                continue
            for interface in list_interfaces(parse(xml)):
                yield (interface.tap, interface.mac), _Owner(domain.UUIDString(), domain.name())


def role_guid(vm_uuid: str) -> str:
    """Return the identity a guest is told: the same for ever, another one for a restored copy."""
    return str(uuid.uuid5(_ROLES, vm_uuid))
