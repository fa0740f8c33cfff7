"""Causes between the guest and the wire server. An agent that was heard within 30 s refutes them all."""

from vmkeep.diagnosis.cause import Cause, Mend, Reading, by, holds, refuted, unknown
from vmkeep.diagnosis.evidence import Fact, GuestFact, HostFact, Seen
from vmkeep.diagnosis.leaves.host import is_starved

_NO_GUEST = "the guest's own view: qemu-guest-agent does not answer or lacks what it takes"


def is_heard(seen: Seen) -> bool:
    """Whether the host has heard the agent within 30 s."""
    return seen.value(HostFact.AGENT_HEARD) == "now"


def _by_guest(seen: Seen, fact: Fact, wrong: str) -> Reading:
    if is_heard(seen):
        return refuted(HostFact.AGENT_HEARD)
    return by(seen, fact, lambda value: value == wrong, _NO_GUEST)


def _no_lease(seen: Seen) -> Reading:
    return _by_guest(seen, GuestFact.ADDRESS, "none")


def _no_route(seen: Seen) -> Reading:
    if seen.value(GuestFact.ADDRESS) == "none":
        return refuted(GuestFact.ADDRESS)
    if seen.value(GuestFact.WIRE_CONNECT) == "ok":  # by a default route, say
        return refuted(GuestFact.WIRE_CONNECT)
    return _by_guest(seen, GuestFact.FABRIC_ROUTE, "none")


def _blocked(seen: Seen) -> Reading:
    if is_heard(seen):
        return refuted(HostFact.AGENT_HEARD)
    if seen.value(HostFact.LINK) not in {None, "up"}:
        return holds(HostFact.LINK)
    return _blocked_in_guest(seen)


def _blocked_in_guest(seen: Seen) -> Reading:
    connected = seen.value(GuestFact.WIRE_CONNECT)
    needed = {seen.value(GuestFact.ADDRESS), seen.value(GuestFact.FABRIC_ROUTE)}
    if connected == "ok":
        return refuted(GuestFact.WIRE_CONNECT)
    if connected is None or None in needed:
        return unknown(_NO_GUEST)
    if "none" in needed:
        return refuted(GuestFact.ADDRESS, GuestFact.FABRIC_ROUTE)
    if connected == "timeout" and is_starved(seen):
        return unknown("whether a connection is blocked that a starved VM had no time for")
    return holds(GuestFact.WIRE_CONNECT)


LEAVES = (
    Cause(
        "N3",
        "the way to 168.63.129.16 is blocked: link down, no attached network, or a firewall",
        "Plug the interface in (virsh domif-setlink), attach its network (vmkeep fabric attach), and in the guest "
        "allow TCP 80 and 32526 to 168.63.129.16 (iptables -S OUTPUT, nft list ruleset).",
        _blocked,
    ),
    Cause(
        "N1",
        "the guest has no IPv4 address: DHCP is off in the guest, or gave no lease",
        "Turn DHCP on in the guest and renew the lease (dhclient -v, networkctl renew), also with a static address.",
        _no_lease,
        Mend.RENEW_LEASE,
    ),
    Cause(
        "N2",
        "the lease came without DHCP option 245, and there is no route to 168.63.129.16",
        "Attach the VM's network (vmkeep fabric attach), then renew the guest's lease.",
        _no_route,
    ),
)
