"""Outlook: what a backup of a VM would meet if it ran now."""

from dataclasses import dataclass
from enum import StrEnum

from vmkeep.base.errors import VmkeepError


class Weight(StrEnum):
    """What a line of an outlook means for the backup."""

    GOOD = "good"
    WARNING = "warning"
    """It would run, but not as well as it could."""
    FAILURE = "failure"
    """It would fail, or not run at all."""


@dataclass(frozen=True, slots=True)
class OutlookLine:
    """One thing that was looked at. `code` is the one the job would fail or warn with."""

    subject: str
    weight: Weight
    message: str
    code: str = ""
    advice: str = ""

    @classmethod
    def of(cls, subject: str, error: VmkeepError, weight: Weight = Weight.FAILURE) -> "OutlookLine":
        """Return the line that says an error."""
        return cls(subject, weight, str(error), error.code, error.advice)


@dataclass(frozen=True, slots=True)
class Outlook:
    """All lines, in the order in which a backup meets them."""

    vm_name: str
    vault_id: str
    """Empty when no vault protects the VM."""
    lines: tuple[OutlookLine, ...]

    @property
    def failures(self) -> tuple[OutlookLine, ...]:
        """What would fail the backup; empty when it would work."""
        return tuple(line for line in self.lines if line.weight is Weight.FAILURE)
