"""The doctor is sent for when a backup ends badly, in the background, and what it finds stays with the job."""

import threading
from dataclasses import replace

import pytest

from tests.diagnosis.scenes import HEALTHY, STOPPED
from tests.fakes.repository import StoreUnreachable
from tests.workflows.world import PATIENCE_S, World
from vmkeep.diagnosis.cause import Mend
from vmkeep.diagnosis.evidence import Evidence, Fact, GuestFact, HostFact, JobFact
from vmkeep.model.job import Job, JobStatus
from vmkeep.model.protection import ProtectedItem


def diagnosed(world: World, job: Job) -> Job:
    world.wait_until(lambda: world.is_done(f"{job.id}-diagnose"))
    return world.catalog.get_job(job.id)


def test_failed_backup_is_explained_by_itself(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    item = world.protect()
    seen = [Evidence(HostFact.WIRE_SERVER, "not serving on bridge br0", world.clock.now(), "own service")]
    monkeypatch.setattr(world.fabric, "observe", lambda _uuid: seen)
    world.hook.raising("ingest: begun", StoreUnreachable())
    job = diagnosed(world, world.back_up(item))
    assert job.status is JobStatus.FAILED
    assert job.properties["Verdict"].startswith("proven N5")
    [(_time, content)] = world.catalog.list_diagnoses(job.id)
    assert content["cause"]["id"] == "N5"
    assert "StoreUnreachable" in {one["value"] for one in content["evidence"] if one["fact"] == "codes"}


def test_backup_that_ended_well_needs_no_doctor(world: World) -> None:
    job = world.back_up(world.protect())
    assert world.engine.find_state(f"{job.id}-diagnose") is None


def test_a_job_that_runs_is_what_keeps_a_healthy_vm_from_another(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    item = world.protect()
    monkeypatch.setattr(world.fabric, "observe", lambda _uuid: as_evidence(world, HEALTHY))
    go_on = threading.Event()

    def hold() -> None:
        assert go_on.wait(PATIENCE_S)

    world.hook.at("ingest: chunk", hold)
    job = world.engine.start_backup(item, reason="test")
    try:
        found = world.engine.diagnose(item.vm_uuid)
    finally:
        go_on.set()
    assert found.cause is not None
    assert found.cause.id == "J1"
    assert world.ended(job).status is JobStatus.COMPLETED
    assert world.engine.diagnose(item.vm_uuid).cause is None


def test_doctor_that_breaks_harms_no_job(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    item = world.protect()

    def broken(_uuid: str) -> None:
        raise RuntimeError("nobody foresaw this")

    monkeypatch.setattr(world.fabric, "observe", broken)
    world.hook.raising("ingest: begun", StoreUnreachable())
    job = diagnosed(world, world.back_up(item))
    assert (job.status, job.error and job.error.code) == (JobStatus.FAILED, "StoreUnreachable")
    assert world.catalog.list_diagnoses(job.id) == []


def sick_guest(world: World, monkeypatch: pytest.MonkeyPatch, *, cured_by: Mend | None) -> None:
    """Have the agent of every VM stopped until the right remedy is carried out."""

    world.fabric.mended.clear()

    def observe(_uuid: str) -> list[Evidence]:
        facts = HEALTHY if cured_by in world.fabric.mended else STOPPED
        ours: dict[Fact, str] = {
            fact: value for fact, value in facts.items() if not isinstance(fact, JobFact)
        }
        return as_evidence(world, ours)

    monkeypatch.setattr(world.fabric, "observe", observe)


def as_evidence(world: World, facts: dict[Fact, str]) -> list[Evidence]:
    now = world.clock.now()
    clock: dict[Fact, str] = {GuestFact.CLOCK: str(int(now.timestamp()))}
    return [Evidence(fact, value, now, "recorded") for fact, value in {**facts, **clock}.items()]


def mending_by_policy(world: World, item: ProtectedItem) -> None:
    policy = world.catalog.get_policy(item.vault_id, item.policy_name)
    world.catalog.put_policy(
        replace(policy, properties=policy.properties | {"vmkeep": {"autoRemedy": "safe"}})
    )


def back_up_badly(world: World, item: ProtectedItem) -> Job:
    world.hook.raising("ingest: begun", StoreUnreachable())
    job = diagnosed(world, world.back_up(item))
    world.hook.clear()
    return job


def test_safe_remedy_is_carried_out_by_policy_and_proven_by_a_backup(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    item = world.protect()
    mending_by_policy(world, item)
    sick_guest(world, monkeypatch, cured_by=Mend.START_AGENT)
    job = back_up_badly(world, item)
    world.wait_until(lambda: "Remedy Backup" in world.catalog.get_job(job.id).properties)
    noted = world.catalog.get_job(job.id).properties
    assert noted["Remedy Applied"].startswith("start-agent at ")
    proof, ended = noted["Remedy Backup"].split()
    assert ended == JobStatus.COMPLETED
    assert world.catalog.get_job(proof).reason == f"Remedy: A2 of job {job.id}"
    assert world.fabric.mended == [Mend.START_AGENT]


@pytest.mark.slow
def test_remedy_that_does_not_help_is_not_tried_again_by_itself(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    item = world.protect()
    mending_by_policy(world, item)
    sick_guest(world, monkeypatch, cured_by=None)
    world.hook.raising("ingest: begun", StoreUnreachable())
    job = diagnosed(world, world.back_up(item))
    world.wait_until(lambda: "Remedy Backup" in world.catalog.get_job(job.id).properties)
    proof, ended = world.catalog.get_job(job.id).properties["Remedy Backup"].split()
    assert ended == JobStatus.FAILED
    assert "Verdict" in diagnosed(world, world.catalog.get_job(proof)).properties
    assert world.engine.find_state(f"{proof}-mend") is None
    assert world.fabric.mended == [Mend.START_AGENT]


def test_without_the_policys_word_nothing_is_mended(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    item = world.protect()
    sick_guest(world, monkeypatch, cured_by=Mend.START_AGENT)
    job = back_up_badly(world, item)
    assert world.engine.find_state(f"{job.id}-mend") is None
    assert world.fabric.mended == []
