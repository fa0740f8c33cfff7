"""What was heard of a VM's agent, as a plain record with its rules."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from vmkeep.fabric.wire.status import AgentStatus, ExtensionStatus, HandlerStatus

READY_WITHIN_S = 30
LATE_WITHIN_S = 300
"""An agent without enough CPU time is heard again and again, but not as often as it should be."""


class Signal(StrEnum):
    """Kinds of requests; each tells something else about what works in the guest."""

    GOAL_STATE = "goal-state"
    EXTENSIONS_CONFIG = "extensions-config"
    CERTIFICATES = "certificates"
    STATUS = "status"
    STATUS_DIRECT = "status-direct"
    """Status past the host plugin: port 32526 fails in the guest."""
    STARTED = "started"
    """Sent once when the agent starts."""
    PLUGIN = "plugin"
    """Host plugin reached: health, versions, settings."""
    HEALTH_SERVICE = "health-service"
    IMDS = "imds"
    IMDS_ON_WIRE_SERVER = "imds-on-wire-server"
    """Metadata asked for at the wrong address: 169.254.169.254 fails in the guest."""
    TELEMETRY = "telemetry"
    MANIFEST = "manifest"
    PACKAGE = "package"
    SNAPSHOT_CALL = "snapshot-call"


@dataclass(frozen=True, slots=True)
class Sighting:
    """How often a signal was seen, and when last. `age_s` is None when that was before this service started."""

    count: int
    at: datetime
    age_s: float | None = None


@dataclass(frozen=True, slots=True)
class AgentReport:
    """What is known of one VM's agent at the moment the report was made."""

    vm_uuid: str
    sightings: Mapping[Signal, Sighting] = field(default_factory=dict)
    status: AgentStatus | None = None
    clock_skew_s: float | None = None
    """Guest's clock minus ours, by the last status; a second or two is transport."""
    incarnation: int = 0
    """The goal state being served."""
    seq_no: int = 0
    running_task_id: str = ""
    refused: int = 0
    last_refusal: str = ""

    def age_s(self, signal: Signal) -> float | None:
        """Return seconds since `signal` was last seen; None when it was not seen since the service started."""
        sighting = self.sightings.get(signal)
        return sighting.age_s if sighting else None

    @property
    def status_age_s(self) -> float | None:
        """Seconds since the last status by either way."""
        ages = (self.age_s(Signal.STATUS), self.age_s(Signal.STATUS_DIRECT))
        return min((age for age in ages if age is not None), default=None)

    @property
    def seen(self) -> bool:
        """Whether this VM's agent was ever heard."""
        return bool(self.sightings)

    @property
    def ready(self) -> bool:
        """Whether the agent reported itself ready within the last 30 s."""
        age = self.status_age_s
        if self.status is None or age is None:
            return False
        return self.status.agent_status == "Ready" and age < READY_WITHIN_S

    def to_json(self) -> dict[str, Any]:  # JSON values
        """Return what is worth keeping: sightings and the last status."""
        return {
            "sightings": {
                signal: {"count": seen.count, "at": seen.at.isoformat()}
                for signal, seen in self.sightings.items()
            },
            "status": asdict(self.status) | {"guest_time": None} if self.status else None,
        }

    @classmethod
    def from_json(cls, vm_uuid: str, kept: dict[str, Any]) -> "AgentReport":  # JSON values
        """Read what `to_json` wrote. Raises KeyError, TypeError or ValueError."""
        sightings = {
            Signal(signal): Sighting(count=int(seen["count"]), at=datetime.fromisoformat(seen["at"]))
            for signal, seen in kept["sightings"].items()
        }
        return cls(vm_uuid, sightings, _status(kept["status"]))


def _status(kept: dict[str, Any] | None) -> AgentStatus | None:  # JSON values
    if kept is None:
        return None
    handler = kept["handler"]
    if handler is not None:
        extension = handler["extension"]
        if extension is not None:
            mounts = tuple(extension["frozen_mounts"])
            extension = ExtensionStatus(**{**extension, "frozen_mounts": mounts})
        handler = HandlerStatus(**{**handler, "extension": extension})
    return AgentStatus(**{**kept, "handler": handler})
