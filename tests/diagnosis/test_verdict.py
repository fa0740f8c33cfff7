"""What evidence proves, and what it never proves."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmkeep.diagnosis.evidence import Evidence, Fact, GuestFact, HostFact, Seen, Vantage
from vmkeep.diagnosis.tree import TREE
from vmkeep.diagnosis.verdict import Diagnosis, Outcome, judge

AT = datetime(2026, 1, 1, tzinfo=UTC)
HEALTHY: dict[Fact, str] = {
    HostFact.WIRE_SERVER: "serving",
    HostFact.VM_STATE: "running",
    HostFact.LINK: "up",
    HostFact.AGENT_HEARD: "now",
    HostFact.GUEST_AGENT: "answers",
    HostFact.OBSTACLES: "none",
    HostFact.LOCKS: "0",
    GuestFact.AGENT_UNIT: "walinuxagent",
    GuestFact.AGENT_ENABLED: "enabled",
    GuestFact.AGENT_ACTIVE: "active",
    GuestFact.AGENT_PROCESS: "SS",
    GuestFact.PYTHON: "works",
    GuestFact.EXTENSIONS_ENABLED: "y",
    GuestFact.ROOT_FREE_KIB: "500000",
    GuestFact.ROOT_MODE: "rw",
    GuestFact.ADDRESS: "yes",
    GuestFact.FABRIC_ROUTE: "yes",
    GuestFact.WIRE_CONNECT: "ok",
    GuestFact.CLOCK: str(int(AT.timestamp())),
    GuestFact.BACKUP_CONF: "none",
    GuestFact.DISTRIBUTION: "Debian GNU/Linux 12",
}
SILENT: dict[Fact, str] = {**HEALTHY, HostFact.AGENT_HEARD: "silent"}
STOPPED: dict[Fact, str] = {
    **SILENT,
    GuestFact.AGENT_ACTIVE: "inactive",
    GuestFact.AGENT_PROCESS: "none",
}
LIMIT = "UserErrorRpCollectionLimitReached"

SCENES: dict[str, dict[Fact, str]] = {
    "N5": {**STOPPED, HostFact.WIRE_SERVER: "no answer on virbr0"},
    "V1": {**STOPPED, HostFact.VM_STATE: "paused"},
    "D1": {**HEALTHY, HostFact.OBSTACLES: "UserErrorUnsupportedDiskSize"},
    "R1": {**HEALTHY, HostFact.OBSTACLES: LIMIT, HostFact.LOCKS: "1"},
    "R2": {**HEALTHY, HostFact.OBSTACLES: LIMIT},
    "V3": {**HEALTHY, HostFact.OBSTACLES: "HostStorageFull"},
    "J1": {**HEALTHY, HostFact.OBSTACLES: "UserErrorBackupOperationInProgress"},
    "K1": {**HEALTHY, HostFact.OBSTACLES: "UserErrorKeyvaultPermissionsNotConfigured"},
    "N3": {**SILENT, GuestFact.WIRE_CONNECT: "timeout"},
    "N1": {**SILENT, GuestFact.ADDRESS: "none", GuestFact.WIRE_CONNECT: "unreachable"},
    "N2": {**SILENT, GuestFact.FABRIC_ROUTE: "none", GuestFact.WIRE_CONNECT: "unreachable"},
    "A1": {**STOPPED, GuestFact.AGENT_UNIT: "none"},
    "A6": {**SILENT, GuestFact.ROOT_FREE_KIB: "0"},
    "A7": {**HEALTHY, GuestFact.CLOCK: "0"},
    "A4": {**STOPPED, GuestFact.PYTHON: "broken"},
    "A2": STOPPED,
    "A5": {**SILENT, GuestFact.EXTENSIONS_ENABLED: "n"},
    "A3": {**SILENT, GuestFact.AGENT_PROCESS: "ST"},
    "X3": {**HEALTHY, GuestFact.BACKUP_CONF: "utf-16"},
}


def diagnose(facts: dict[Fact, str]) -> Diagnosis:
    seen = Seen(Evidence(fact, value, AT, "recorded") for fact, value in facts.items())
    return judge(TREE, seen, vm_name="web01", at=AT)


@pytest.mark.parametrize(("cause", "facts"), [pytest.param(*scene, id=scene[0]) for scene in SCENES.items()])
def test_recorded_evidence_proves_its_cause(cause: str, facts: dict[Fact, str]) -> None:
    found = diagnose(facts)
    assert found.outcome is Outcome.PROVEN
    assert found.cause is not None
    assert found.cause.id == cause


def test_a_link_that_is_down_is_proven_without_the_guest() -> None:
    facts: dict[Fact, str] = {fact: value for fact, value in SILENT.items() if isinstance(fact, HostFact)}
    found = diagnose({**facts, HostFact.LINK: "down"})
    assert found.cause is not None
    assert found.cause.id == "N3"
    assert found.missing == (Vantage.GUEST,)


def test_a_healthy_vm_has_no_proven_cause() -> None:
    found = diagnose(HEALTHY)
    assert found.cause is None
    assert not found.supposed
    assert "nothing that was seen is wrong" in found.verdict


def test_without_the_guest_a_silent_agent_is_not_proven_to_be_stopped() -> None:
    found = diagnose({fact: value for fact, value in STOPPED.items() if isinstance(fact, HostFact)})
    assert found.outcome is Outcome.NOT_PROVEN
    assert {"A1", "A2", "A3"} <= {one.id for one in found.remaining}
    assert all(one.missing for one in found.remaining)


@given(st.sampled_from(sorted(SCENES)), st.sets(st.sampled_from([*HostFact, *GuestFact])))
def test_missing_evidence_never_proves_another_cause(cause: str, hidden: set[Fact]) -> None:
    found = diagnose({fact: value for fact, value in SCENES[cause].items() if fact not in hidden})
    whole = diagnose(SCENES[cause])
    held = {cause, *(one.id for one in whole.supposed)}
    assert found.cause is None or found.cause.id in held


@given(st.sampled_from(sorted(SCENES)), st.sampled_from(sorted(SCENES)))
def test_of_two_causes_that_hold_the_first_is_proven(one: str, other: str) -> None:
    found = diagnose({**SCENES[one], **{k: v for k, v in SCENES[other].items() if v != HEALTHY[k]}})
    assert found.cause is not None
    assert found.cause.id not in found.refuted
    before = [cause.id for cause in TREE][: [cause.id for cause in TREE].index(found.cause.id)]
    assert set(before) <= set(found.refuted)


def test_every_leaf_has_an_id_of_its_own_and_a_remedy() -> None:
    assert len({cause.id for cause in TREE}) == len(TREE)
    assert all(cause.remedy and cause.title for cause in TREE)
