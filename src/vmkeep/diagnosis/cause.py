"""A cause: the observation that proves it, the one that refutes it, and its remedy."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from vmkeep.diagnosis.evidence import Fact, HostFact, JobFact, Seen


class Answer(StrEnum):
    """What evidence says of a cause."""

    HOLDS = "holds"
    REFUTED = "refuted"
    UNKNOWN = "unknown"


class Mend(StrEnum):
    """A remedy that vmkeep can carry out itself."""

    START_AGENT = "start-agent"
    RESTART_AGENT = "restart-agent"
    ENABLE_EXTENSIONS = "enable-extensions"
    RENEW_LEASE = "renew-lease"
    REPAIR_SETTINGS = "repair-settings"
    REMOVE_EXTENSION = "remove-extension"
    THAW = "thaw"
    VERBOSE_LOGS = "verbose-logs"
    """The agent says more in its log; of no cause, only on request."""
    NORMAL_LOGS = "normal-logs"
    REMOVE_LOCKS = "remove-locks"
    CLEAN_COLLECTION = "clean-collection"
    STOP_JOB = "stop-job"
    GRANT_RIGHTS = "grant-rights"

    @property
    def is_safe(self) -> bool:
        """Whether it takes nothing away that somebody may have meant: only such are carried out without being asked for."""
        return self not in {Mend.THAW, Mend.REMOVE_LOCKS, Mend.STOP_JOB, Mend.GRANT_RIGHTS}

    @property
    def in_guest(self) -> bool:
        """Whether it is carried out in the guest, rather than on our own side."""
        return self not in {Mend.REMOVE_LOCKS, Mend.CLEAN_COLLECTION, Mend.STOP_JOB, Mend.GRANT_RIGHTS}


@dataclass(frozen=True, slots=True)
class Reading:
    """What the evidence says of one cause, and by which facts; `missing` says what nobody could look at."""

    answer: Answer
    facts: tuple[Fact, ...] = ()
    missing: str = ""

    @property
    def holds(self) -> bool:
        """Whether the cause's own observation was made."""
        return self.answer is Answer.HOLDS


@dataclass(frozen=True, slots=True)
class Cause:
    """A leaf of the tree. `read` looks at evidence only."""

    id: str
    title: str
    remedy: str
    read: Callable[[Seen], Reading]
    mend: Mend | None = None


def holds(*facts: Fact) -> Reading:
    """Return that the cause's own observation was made."""
    return Reading(Answer.HOLDS, facts)


def refuted(*facts: Fact) -> Reading:
    """Return that an observation excludes the cause."""
    return Reading(Answer.REFUTED, facts)


def unknown(missing: str) -> Reading:
    """Return that the observation named is missing."""
    return Reading(Answer.UNKNOWN, missing=missing)


def by(seen: Seen, fact: Fact, is_so: Callable[[str], bool], missing: str) -> Reading:
    """Return what one fact says: the cause holds exactly when `is_so` of its value."""
    value = seen.value(fact)
    if value is None:
        return unknown(missing)
    return holds(fact) if is_so(value) else refuted(fact)


@dataclass(frozen=True, slots=True)
class ByCodes:
    """Holds exactly when one of some codes is in a fact: the first of `facts` that was seen decides."""

    facts: tuple[Fact, ...]
    codes: frozenset[str]

    @classmethod
    def now(cls, *codes: str) -> "ByCodes":
        """Return the reading for codes that a backup would be refused with now, or if nobody knows, was refused with."""
        return cls((HostFact.OBSTACLES, JobFact.CODES), frozenset(codes))

    @classmethod
    def recorded(cls, *codes: str) -> "ByCodes":
        """Return the reading for codes that the last backup ended with."""
        return cls((JobFact.CODES,), frozenset(codes))

    def __call__(self, seen: Seen) -> Reading:
        """Read it; unknown when none of its facts was seen."""
        for fact in self.facts:
            said = seen.value(fact)
            if said is not None:
                return holds(fact) if self.codes & set(said.split()) else refuted(fact)
        return unknown("the record of a backup of this VM")


def not_observable(missing: str) -> Callable[[Seen], Reading]:
    """Return a reading for a cause that no probe can see yet."""
    return lambda _: unknown(missing)
