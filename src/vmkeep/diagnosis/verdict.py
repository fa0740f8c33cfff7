"""The rule of proof: a cause is proven when it holds and every cause before it is refuted."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from vmkeep.diagnosis.cause import Answer, Cause, Reading
from vmkeep.diagnosis.evidence import Evidence, GuestFact, HostFact, JobFact, Seen, Vantage
from vmkeep.diagnosis.steps import steps_for


class Outcome(StrEnum):
    """What a diagnosis came to."""

    PROVEN = "proven"
    NOT_PROVEN = "not-proven"
    """Some cause may hold, but nobody could exclude others before it, or nothing that was seen holds."""


@dataclass(frozen=True, slots=True)
class Remaining:
    """A cause that is neither proven nor refuted; `missing` names the observation that would tell."""

    id: str
    title: str
    missing: str


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One look at one VM: what was seen, and what that proves."""

    vm_name: str
    at: datetime
    outcome: Outcome
    cause: Cause | None
    """The proven cause; None when none is."""
    supposed: tuple[Cause, ...]
    """Causes that hold as well, or that hold without being proven."""
    refuted: tuple[str, ...]
    remaining: tuple[Remaining, ...]
    evidence: tuple[Evidence, ...]
    missing: tuple[Vantage, ...]

    @property
    def recorded(self) -> bool:
        """Whether the cause is proven by the last backup's record alone: then only another backup can refute it."""
        facts = self.cause.read(Seen(self.evidence)).facts if self.cause else ()
        return bool(facts) and all(isinstance(fact, JobFact) for fact in facts)

    @property
    def steps(self) -> tuple[str, ...]:
        """Commands for a person to run in the guest, for its distribution; none where the remedy says it all."""
        distribution = Seen(self.evidence).value(GuestFact.DISTRIBUTION)
        return steps_for(self.cause.id, distribution) if self.cause else ()

    @property
    def agent_starts(self) -> bool:
        """Whether the agent runs and has not said yet that it is ready: just after a start that is not its fault."""
        seen = Seen(self.evidence)
        runs = seen.value(GuestFact.AGENT_PROCESS) not in {None, "none"}
        return runs and seen.value(HostFact.AGENT_STATUS) == "none"

    def is_settled(self, cause_id: str) -> bool:
        """Return whether, after its remedy, a cause is gone, and a backup can tell whether that helped.

        A cause of the record alone only a backup can refute; an agent that starts is waited for.
        """
        gone = cause_id in self.refuted if self.cause is None else self.recorded
        return gone and not self.agent_starts

    @property
    def verdict(self) -> str:
        """The diagnosis as one sentence."""
        if self.cause is not None:
            return f"proven {self.cause.id}: {self.cause.title}"
        if self.supposed:
            held = ", ".join(f"{cause.id} ({cause.title})" for cause in self.supposed)
            before = ", ".join(one.id for one in self.remaining)
            return f"not proven: {held} holds, but nobody could exclude {before}"
        return f"not proven: nothing that was seen is wrong; not excluded: {', '.join(one.id for one in self.remaining)}"

    def to_json(self) -> dict[str, Any]:
        """Return it as the API shows it and the catalog keeps it."""
        cause = self.cause
        return {
            "vmName": self.vm_name,
            "time": self.at.isoformat(),
            "outcome": self.outcome.value,
            "verdict": self.verdict,
            "cause": cause and {"id": cause.id, "title": cause.title, "recorded": self.recorded},
            "remedy": cause.remedy if cause else "",
            "steps": list(self.steps),
            "canApply": bool(cause and cause.mend),
            "supposed": [{"id": one.id, "title": one.title} for one in self.supposed],
            "agentStarts": self.agent_starts,
            "refuted": list(self.refuted),
            "remaining": [
                {"id": one.id, "title": one.title, "missing": one.missing} for one in self.remaining
            ],
            "missingVantages": [vantage.value for vantage in self.missing],
            "evidence": [
                {
                    "time": one.at.isoformat(),
                    "vantage": one.vantage.value,
                    "fact": one.fact.value,
                    "value": one.value,
                    "source": one.source,
                }
                for one in self.evidence
            ],
        }


def judge(tree: Sequence[Cause], seen: Seen, *, vm_name: str, at: datetime) -> Diagnosis:
    """Return what the evidence proves."""
    readings = [(cause, cause.read(seen)) for cause in tree]
    held = [cause for cause, reading in readings if reading.holds]
    first = next(((c, r) for c, r in readings if r.answer is not Answer.REFUTED), None)
    proven = first[0] if first is not None and first[1].holds else None
    return Diagnosis(
        vm_name=vm_name,
        at=at,
        outcome=Outcome.PROVEN if proven else Outcome.NOT_PROVEN,
        cause=proven,
        supposed=tuple(cause for cause in held if cause is not proven),
        refuted=tuple(cause.id for cause, reading in readings if reading.answer is Answer.REFUTED),
        remaining=_remaining(readings),
        evidence=seen.all,
        missing=seen.missing,
    )


def _remaining(readings: Sequence[tuple[Cause, Reading]]) -> tuple[Remaining, ...]:
    return tuple(
        Remaining(cause.id, cause.title, reading.missing)
        for cause, reading in readings
        if reading.answer is Answer.UNKNOWN
    )
