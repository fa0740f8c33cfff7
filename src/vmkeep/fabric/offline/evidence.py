"""What a guest's files say of its agent, as evidence: dated as of the layer, and the guest's own words."""

from collections.abc import Iterator

from vmkeep.diagnosis.evidence import Evidence, OfflineFact
from vmkeep.fabric.offline.files import GuestFiles
from vmkeep.fabric.offline.probes import Json, Observation, look

_UNIT_STATES = {"enabled", "disabled", "masked", "absent"}


def read_evidence(files: GuestFiles) -> Iterator[Evidence]:
    """Yield what could be read; a look that failed is evidence of nothing."""
    seen = {one.subject: one for one in look(files) if not one.unanswered}
    for fact, subject, read in (
        (OfflineFact.PACKAGE, "agent-package", _package),
        (OfflineFact.UNIT, "agent-unit", _unit),
        (OfflineFact.EXTENSIONS, "agent-config", _extensions),
    ):
        if subject in seen and (value := read(seen[subject].value)):
            yield _noted(fact, value, seen[subject])


def _noted(fact: OfflineFact, value: str, seen: Observation) -> Evidence:
    return Evidence(fact, value, seen.moment, f"{seen.path} in {seen.origin}")


def _package(value: Json) -> str:
    state = value.get("state")
    return "installed" if state == "installed" else "absent" if state else ""


def _unit(value: Json) -> str:
    state = str(value.get("state", ""))
    return state if state in _UNIT_STATES else ""


def _extensions(value: Json) -> str:
    said = str(value.get("Extensions.Enabled", "y"))
    return "" if value.get("present") is False else "n" if said.startswith("n") else "y"
