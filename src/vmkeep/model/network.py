"""Networks that VMs are on."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Network:
    """A network of the fabric: VMs on an attached one can reach the wire server."""

    name: str
    bridge: str
    subnet: str
    """IPv4 in CIDR notation; empty when it has none."""
    active: bool
    attached: bool
