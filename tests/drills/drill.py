"""A drill: a fault put into a real guest or its host, and what a backup and the doctor must say of it."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from tests.journeys.service import RunningService
from tests.lab.guest import Guest
from tests.lab.lab import Lab


@dataclass(frozen=True)
class Scene:
    """What a drill may touch: a running service that protects a healthy guest in vault `main`."""

    service: RunningService
    guest: Guest
    lab: Lab

    def sh(self, script: str) -> str:
        """Run a shell script in the guest; it must succeed."""
        return self.guest.run("sh", "-c", script)


class Remedy(StrEnum):
    """Who mends it."""

    APPLY = "vmkeep doctor --apply"
    PERSON = "a person"
    NOT_TRIED = "a person, not tried"
    """It takes what the lab has not, such as a package from the distribution."""


def nothing(_scene: Scene) -> None:
    """Change nothing."""


@dataclass(frozen=True)
class Drill:
    """A fault and what is expected of it; one without a cause is a healthy guest under load."""

    name: str
    """Cause and variant, such as `A2 stopped`."""
    cause: str
    """The leaf that must be proven; empty: none may be."""
    codes: tuple[str, ...]
    """The code a backup must end with, as an error or a warning: any of these; empty: it completes without one."""
    inject: Callable[[Scene], None]
    heal: Callable[[Scene], None] = nothing
    """What a person does about it."""
    remedy: Remedy = Remedy.PERSON
    settles_s: float = 0
    """How long after the fault the backup begins: an agent is silent after 30 s."""


@dataclass(frozen=True)
class Outcome:
    """What a drill came to. Times are seconds."""

    name: str
    cause: str
    proven: str
    """Id of the proven cause; empty when none is."""
    codes: tuple[str, ...]
    code: str
    """Code of the backup's error or first warning; empty when it ended well."""
    status: str
    fault_to_end_s: float
    end_to_proof_s: float | None
    """None when nothing was proven."""
    remedy: str
    healed: bool | None
    """Whether the cause was refuted and a backup ended well after the remedy; None when it was not tried."""
    verdict: str

    @property
    def code_right(self) -> bool:
        """Whether the backup ended with a code that was expected."""
        return self.code in self.codes if self.codes else not self.code

    @property
    def cause_right(self) -> bool:
        """Whether the right cause was proven, or rightly none."""
        return self.proven == self.cause

    @property
    def wrongly_proven(self) -> bool:
        """Whether something was proven that is not so."""
        return bool(self.proven) and self.proven != self.cause
