"""How much of anything a guest may use (docs/formats/wire.md §9)."""

from dataclasses import dataclass

from vmkeep.base.units import KIB, MIB


@dataclass(frozen=True, slots=True)
class BodyRule:
    """How long a body may be, and whether it is kept or dropped as it comes."""

    limit: int
    keep: bool = True


SMALL_BODY = BodyRule(64 * KIB)
STATUS_BODY = BodyRule(1 * MIB)
TELEMETRY_BODY = BodyRule(1 * MIB, keep=False)
LOG_BODY = BodyRule(16 * MIB, keep=False)


@dataclass(frozen=True, slots=True)
class WireLimits:
    """Bounds on connections, time and memory; times in seconds."""

    header_bytes: int = 16 * KIB
    header_s: float = 10
    body_s: float = 30
    write_s: float = 30
    connections_per_position: int = 16
    connections_per_bridge: int = 256
    connects_per_s: float = 20
    connect_burst: int = 100
    newcomers_per_bridge: int = 8
    lookup_s: float = 5
    requests_per_vm: int = 2
    answer_s: float = 35
    """Longest wait of a guest for its disks to be captured; the extension gives up after 40 s."""
