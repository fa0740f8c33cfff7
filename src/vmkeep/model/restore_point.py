"""What the fabric holds: all disks of a VM captured at one instant."""

import json
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from vmkeep.base.errors import VmkeepError
from vmkeep.model.machine import Consistency, DiskFormat


@dataclass(frozen=True, slots=True)
class Warned:
    """Something a user should know about work that went well all the same. `facts` are JSON values."""

    code: str
    message: str
    advice: str = ""
    facts: dict[str, Any] = field(default_factory=dict)  # an error's own fields

    @classmethod
    def of(cls, error: VmkeepError) -> "Warned":
        """Return the warning that stands for an error which did not end the work."""
        facts = json.loads(json.dumps(error.facts(), default=str))
        return cls(error.code, str(error), error.advice, facts)


@dataclass(frozen=True, slots=True)
class CapturedDisk:
    """One disk of a restore point."""

    name: str
    lun: int
    path: str
    """The frozen layer: the newest file that belongs to this point."""
    format: DiskFormat
    size_bytes: int
    active_path: str
    """The layer that takes the guest's writes after this point."""
    chain: tuple[str, ...]
    """Files this point reads from, base first, `path` last."""
    secret_uuid: str = ""
    """libvirt's secret that opens it in a running VM; empty for a disk that is not encrypted."""


@dataclass(frozen=True, slots=True)
class PointDisk:
    """A disk that the VM had at the instant of a point, and whether the point has it."""

    name: str
    lun: int
    size_bytes: int
    included: bool


@dataclass(frozen=True, slots=True)
class RestorePoint:
    """The selected disks of a VM at one instant. `machine_xml` is the VM's definition then."""

    id: str
    vm_uuid: str
    vm_name: str
    time: datetime
    consistency: Consistency
    disks: tuple[CapturedDisk, ...]
    machine_xml: str
    frozen_s: float | None = None
    """How long the guest's file systems stood still, in seconds; None when they were not frozen."""
    warnings: tuple[Warned, ...] = ()
    left_out: tuple[PointDisk, ...] = ()
    """Disks that could have been captured and were not selected."""

    @property
    def all_disks(self) -> tuple[PointDisk, ...]:
        """Return the disks that were captured, then those that were left out."""
        captured = (PointDisk(disk.name, disk.lun, disk.size_bytes, included=True) for disk in self.disks)
        return (*captured, *self.left_out)

    def to_json(self) -> dict[str, Any]:  # JSON values
        """Return the point as JSON values."""
        return {**asdict(self), "time": self.time.isoformat()}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "RestorePoint":  # JSON values
        """Read what `to_json` wrote."""
        disks = tuple(
            CapturedDisk(**{**disk, "format": DiskFormat(disk["format"]), "chain": tuple(disk["chain"])})
            for disk in data["disks"]
        )
        return cls(
            **{
                **data,
                "time": datetime.fromisoformat(data["time"]),
                "consistency": Consistency(data["consistency"]),
                "disks": disks,
                "warnings": tuple(Warned(**warned) for warned in data["warnings"]),
                "left_out": tuple(PointDisk(**disk) for disk in data.get("left_out", ())),
            }
        )
