"""The doctor is sent for when a backup ends badly, in the background, and what it finds stays with the job."""

import pytest

from tests.fakes.repository import StoreUnreachable
from tests.workflows.world import World
from vmkeep.diagnosis.evidence import Evidence, HostFact
from vmkeep.model.job import Job, JobStatus


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


def test_doctor_that_breaks_harms_no_job(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    item = world.protect()

    def broken(_uuid: str) -> None:
        raise RuntimeError("nobody foresaw this")

    monkeypatch.setattr(world.fabric, "observe", broken)
    world.hook.raising("ingest: begun", StoreUnreachable())
    job = diagnosed(world, world.back_up(item))
    assert (job.status, job.error and job.error.code) == (JobStatus.FAILED, "StoreUnreachable")
    assert world.catalog.list_diagnoses(job.id) == []
