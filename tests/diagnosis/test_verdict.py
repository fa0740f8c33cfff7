"""What evidence proves, and what it never proves."""

from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.diagnosis.scenes import AT, HEALTHY, LIMIT, SCENES, STOPPED, WITHOUT_GUEST
from vmkeep.diagnosis.evidence import Evidence, Fact, GuestFact, HostFact, JobFact, OfflineFact, Seen, Vantage
from vmkeep.diagnosis.tree import TREE
from vmkeep.diagnosis.verdict import Diagnosis, Outcome, judge


def diagnose(facts: dict[Fact, str]) -> Diagnosis:
    seen = Seen(Evidence(fact, value, AT, "recorded") for fact, value in facts.items())
    return judge(TREE, seen, vm_name="web01", at=AT)


@pytest.mark.parametrize(("cause", "facts"), [pytest.param(*scene, id=scene[0]) for scene in SCENES.items()])
def test_recorded_evidence_proves_its_cause(cause: str, facts: dict[Fact, str]) -> None:
    found = diagnose(facts)
    assert found.outcome is Outcome.PROVEN
    assert found.cause is not None
    assert found.cause.id == cause


@pytest.mark.parametrize(("locks", "cause"), [("none", "R2"), ("CanNotDelete lock 'keep' on /x", "R1")])
def test_a_limit_is_proven_by_the_record_when_room_was_made_meanwhile(locks: str, cause: str) -> None:
    found = diagnose({**HEALTHY, JobFact.CODES: LIMIT, JobFact.LIMIT_LOCKS: locks})
    assert found.cause is not None
    assert (found.cause.id, found.recorded) == (cause, True)


def test_a_link_that_is_down_is_proven_without_the_guest() -> None:
    found = diagnose({**WITHOUT_GUEST, HostFact.LINK: "down"})
    assert found.cause is not None
    assert found.cause.id == "N3"
    assert found.missing == (Vantage.GUEST,)


def test_a_healthy_vm_has_no_proven_cause() -> None:
    found = diagnose(HEALTHY)
    assert found.cause is None
    assert not found.supposed
    assert "nothing that was seen is wrong" in found.verdict


def test_an_agent_that_is_not_installed_is_proven_without_the_guests_help() -> None:
    found = diagnose({**WITHOUT_GUEST, OfflineFact.UNIT: "absent", OfflineFact.PACKAGE: "absent"})
    assert found.cause is not None
    assert found.cause.id == "A1"
    assert found.missing == (Vantage.GUEST,)


def test_a_disabled_agent_is_supposed_but_not_proven_without_the_guest() -> None:
    found = diagnose({**WITHOUT_GUEST, OfflineFact.UNIT: "masked"})
    assert found.cause is None
    assert [cause.id for cause in found.supposed] == ["A2"]
    assert "N3" in {one.id for one in found.remaining}


def test_files_never_blame_an_agent_that_is_heard() -> None:
    offline: dict[Fact, str] = {OfflineFact.UNIT: "absent", OfflineFact.EXTENSIONS: "n"}
    found = diagnose({**WITHOUT_GUEST, HostFact.AGENT_HEARD: "now", **offline})
    assert not {"A1", "A2", "A5"} & {cause.id for cause in found.supposed}
    assert found.cause is None


def test_a_mended_cause_is_refuted_though_the_last_backup_failed_from_it() -> None:
    found = diagnose({**HEALTHY, JobFact.CODES: "UserErrorUnsupportedDiskSize"})
    assert found.cause is None
    assert "D1" in found.refuted


def test_an_agent_that_has_not_read_its_settings_is_not_blamed_for_them() -> None:
    found = diagnose({**HEALTHY, GuestFact.EXTENSIONS_ENABLED: "n", GuestFact.SETTINGS_READ: "no"})
    assert found.cause is None
    assert "A5" in {one.id for one in found.remaining}


def test_a_way_that_leads_by_the_default_route_is_not_blamed() -> None:
    found = diagnose({**STOPPED, GuestFact.FABRIC_ROUTE: "none"})
    assert found.cause is not None
    assert found.cause.id == "A2"


def test_a_starved_vm_is_no_cause_while_backups_end_well() -> None:
    found = diagnose({**HEALTHY, HostFact.CPU_WAIT: "95", HostFact.MEMORY_PRESSURE: "100"})
    assert found.cause is None
    assert not found.remaining


def test_a_busy_host_that_lets_the_vm_run_is_no_cause() -> None:
    found = diagnose({**SCENES["V2"], HostFact.CPU_WAIT: "60", HostFact.CPU_PRESSURE: "100"})
    assert found.cause is None
    assert [one.id for one in found.remaining] == ["V2"]


def test_a_vm_starved_long_after_a_late_answer_tells_nothing() -> None:
    late = {**HEALTHY, JobFact.CODES: "GuestAgentSnapshotTaskStatusError", HostFact.CPU_WAIT: "95"}
    found = judge(TREE, Seen(dated(late, job_ended=AT - timedelta(hours=1))), vm_name="web01", at=AT)
    assert found.cause is None
    assert [one.id for one in found.remaining] == ["V2"]


def test_what_a_starved_vm_does_late_proves_no_cause_but_that() -> None:
    starved = {**SCENES["V2"], HostFact.AGENT_HEARD: "late", HostFact.AGENT_STATUS: "none"}
    for fact, value in (
        (GuestFact.AGENT_PROCESS, "SS"),
        (GuestFact.AGENT_PROCESS, "SD"),
        (GuestFact.EXTENSION_PROCESS, "D"),
    ):
        found = diagnose({**starved, fact: value})
        assert found.cause is not None
        assert found.cause.id == "V2"
    assert diagnose({**starved, GuestFact.WIRE_CONNECT: "timeout"}).cause is None
    assert diagnose({**starved, HostFact.AGENT_HEARD: "silent"}).cause is None


def dated(facts: dict[Fact, str], *, job_ended: datetime) -> Iterator[Evidence]:
    for fact, value in facts.items():
        yield Evidence(fact, value, job_ended if isinstance(fact, JobFact) else AT, "recorded")


def test_without_the_guest_a_silent_agent_is_not_proven_to_be_stopped() -> None:
    found = diagnose({fact: value for fact, value in STOPPED.items() if isinstance(fact, HostFact)})
    assert found.outcome is Outcome.NOT_PROVEN
    assert {"A1", "A2", "A3"} <= {one.id for one in found.remaining}
    assert all(one.missing for one in found.remaining)


@given(
    st.sampled_from(sorted(SCENES)), st.sets(st.sampled_from([*HostFact, *GuestFact, *OfflineFact, *JobFact]))
)
def test_missing_evidence_never_proves_another_cause(cause: str, hidden: set[Fact]) -> None:
    found = diagnose({fact: value for fact, value in SCENES[cause].items() if fact not in hidden})
    whole = diagnose(SCENES[cause])
    held = {cause, *(one.id for one in whole.supposed)}
    assert found.cause is None or found.cause.id in held


@given(st.sampled_from(sorted(SCENES)), st.sampled_from(sorted(SCENES)))
def test_of_two_causes_that_hold_the_first_is_proven(one: str, other: str) -> None:
    assume({one, other} != {"N3", "V2"})
    found = diagnose({**SCENES[one], **{k: v for k, v in SCENES[other].items() if v != HEALTHY[k]}})
    assert found.cause is not None
    assert found.cause.id not in found.refuted
    before = [cause.id for cause in TREE][: [cause.id for cause in TREE].index(found.cause.id)]
    assert set(before) <= set(found.refuted)


def test_every_leaf_has_an_id_of_its_own_and_a_remedy() -> None:
    assert len({cause.id for cause in TREE}) == len(TREE)
    assert all(cause.remedy and cause.title for cause in TREE)


def test_a_freeze_that_timed_out_is_proven_though_the_guest_is_too_busy_to_answer() -> None:
    heard = {**WITHOUT_GUEST, HostFact.AGENT_HEARD: "now"}
    found = diagnose({**heard, JobFact.CODES: "UserErrorFsFreezeTimeout"})
    assert found.cause is not None
    assert found.cause.id == "F2"


def test_an_agent_just_started_is_waited_for_before_a_backup_tells() -> None:
    beginning = diagnose({**HEALTHY, HostFact.AGENT_STATUS: "none"})
    assert not beginning.is_settled("A2")
    assert diagnose(HEALTHY).is_settled("A2")
    assert diagnose({**HEALTHY, JobFact.CODES: "ExtensionStuckInDeletionState"}).is_settled("X1")


def test_an_agent_that_waits_for_a_stopped_extension_is_not_to_blame() -> None:
    waiting = {**HEALTHY, HostFact.AGENT_HEARD: "silent", GuestFact.EXTENSION_PROCESS: "ST"}
    found = diagnose({**waiting, JobFact.CODES: "GuestAgentSnapshotTaskStatusError"})
    assert found.cause is not None
    assert found.cause.id == "X1"


def test_an_agent_without_extensions_is_told_also_in_the_moment_when_it_asks() -> None:
    found = diagnose({**HEALTHY, GuestFact.EXTENSIONS_ENABLED: "n"})
    assert found.cause is not None
    assert found.cause.id == "A5"
