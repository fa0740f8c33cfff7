"""What the wire server remembers of an agent, and what survives a crash at any write."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.fabric.wire.conftest import ALPHA, FabricDouble, Site
from tests.fabric.wire.guest_actor import GuestActor, identity
from vmkeep.base.clock import FakeClock
from vmkeep.fabric.wire.agents import Agent, Agents
from vmkeep.fabric.wire.errors import PackageUnreadable, StateNotKept
from vmkeep.fabric.wire.report import Signal
from vmkeep.fabric.wire.server import WireServer

VM = identity(ALPHA).vm_uuid


class PowerCut(BaseException):
    """The machine stops here."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "wire"


def agent_in(folder: Path, clock: FakeClock | None = None) -> Agent:
    return Agents(folder, clock or FakeClock()).put(VM)


def ask_for_snapshot(agent: Agent, task_id: str) -> None:
    agent.begin(FabricDouble().request(task_id))


def test_a_goal_state_survives_a_restart(folder: Path) -> None:
    before = agent_in(folder)
    ask_for_snapshot(before, "task-1")
    after = agent_in(folder, FakeClock(datetime(2027, 1, 1, tzinfo=UTC)))
    assert after.goal == before.goal
    assert after.container_id == before.container_id
    assert after.tenant.thumbprint == before.tenant.thumbprint
    assert after.task is None


def test_lost_memory_starts_beyond_what_any_guest_remembers(folder: Path) -> None:
    clock = FakeClock()
    agent = agent_in(folder, clock)
    ask_for_snapshot(agent, "task-1")
    (folder / VM / "agent.json").write_bytes(b"{torn")
    clock.advance(60)
    fresh = agent_in(folder, clock)
    assert fresh.goal.incarnation > agent.goal.incarnation
    assert fresh.goal.last_seq_no > agent.goal.last_seq_no
    assert fresh.goal.settings is None


def test_a_torn_tenant_key_is_made_anew(folder: Path) -> None:
    agent = agent_in(folder)
    path = folder / VM / "tenant.pem"
    path.write_bytes(agent.tenant.to_pem()[:-200])
    assert agent_in(folder).tenant.thumbprint != agent.tenant.thumbprint


def test_files_are_readable_by_their_owner_only(folder: Path) -> None:
    agent = agent_in(folder)
    ask_for_snapshot(agent, "task-1")
    agent.keep_report()
    files = sorted((folder / VM).iterdir())
    assert [file.name for file in files] == ["agent.json", "report.json", "tenant.pem"]
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
    assert (folder / VM).stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("number", [1, 2, 3, 4])
@pytest.mark.parametrize("name", ["open", "fsync", "replace"])
def test_a_crash_at_any_write_leaves_the_old_goal_or_the_new_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, number: int
) -> None:
    agent = agent_in(folder)
    old = agent.goal
    agent.tenant  # noqa: B018 - made before the crash
    calls = 0
    real = getattr(os, name)

    def crashing(*arguments: object, **options: object) -> object:
        nonlocal calls
        calls += 1
        if calls == number:
            raise PowerCut
        return real(*arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(os, name, crashing)
        try:
            ask_for_snapshot(agent, "task-1")
        except PowerCut:
            served = old
        else:
            served = agent.goal
    kept = agent_in(folder).goal
    assert kept.incarnation in {served.incarnation, old.incarnation + 1}
    assert kept.incarnation >= served.incarnation


def test_a_goal_state_that_cannot_be_kept_is_not_served(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = agent_in(folder)
    old = agent.goal
    agent.tenant  # noqa: B018 - made before the disk is full

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StateNotKept, match="No space left"):
        ask_for_snapshot(agent, "task-1")
    assert agent.goal == old
    assert agent.task is None


def test_a_restarted_server_knows_who_was_there(site: Site, package: Path) -> None:
    alpha = site.guest(ALPHA)
    alpha.be_ready()
    site.server.stop()
    again = WireServer(
        state_dir=package.parent, locator=site.locator, clock=FakeClock(), package=package
    ).report(VM)
    assert again.seen
    assert not again.ready
    assert again.sightings[Signal.GOAL_STATE].age_s is None
    assert again.status is not None
    assert again.status.agent_version == "2.7.3.0"


def test_an_agent_heard_just_before_a_power_cut_was_heard(folder: Path) -> None:
    agent_in(folder).saw(Signal.GOAL_STATE)
    assert agent_in(folder).report().seen


def test_a_forgotten_vm_leaves_nothing(site: Site, alpha: GuestActor, tmp_path: Path) -> None:
    alpha.be_ready()
    site.server.forget(VM)
    site.server.forget(VM)
    assert not list((tmp_path / "wire").iterdir())
    assert not site.server.report(VM).seen


def test_a_package_without_a_manifest_is_named(tmp_path: Path, site: Site) -> None:
    path = tmp_path / "broken.zip"
    path.write_bytes(b"not a zip")
    with pytest.raises(PackageUnreadable, match=r"broken\.zip"):
        WireServer(state_dir=tmp_path, locator=site.locator, clock=FakeClock(), package=path)
