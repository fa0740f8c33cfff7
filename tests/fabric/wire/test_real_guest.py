"""The unmodified agent and our extension in a real guest, against the wire server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.guest import Guest
from vmkeep.base.clock import SystemClock
from vmkeep.fabric.wire.errors import AgentUnavailable
from vmkeep.fabric.wire.extension_package import build_package
from vmkeep.fabric.wire.identity import GuestIdentity
from vmkeep.fabric.wire.report import Signal
from vmkeep.fabric.wire.server import WireServer
from vmkeep.fabric.wire.tasks import DiskSnapshot, SnapshotOutcome, SnapshotRequest

BRIDGE = "vmkeep0"
READY_LIMIT_S = 90


class LabLocator:
    """Knows the one guest of a test by its fixed address."""

    def __init__(self, guest: Guest) -> None:
        self._guest = guest

    def locate(self, bridge: str, ip: str) -> GuestIdentity | None:
        guest = self._guest
        if (bridge, ip) != (BRIDGE, guest.ip):
            return None
        return GuestIdentity(guest.uuid, guest.name, role_guid=guest.uuid, mac=guest.mac, ip=ip)


@pytest.fixture
def server(guest: Guest, tmp_path: Path) -> Iterator[WireServer]:
    package = build_package(tmp_path / "extension.zip")
    server = WireServer(state_dir=tmp_path, locator=LabLocator(guest), clock=SystemClock(), package=package)
    server.start()
    server.listen(BRIDGE)
    yield server
    server.stop()


def take_snapshot(server: WireServer, guest: Guest, task_id: str) -> tuple[SnapshotOutcome, list[str]]:
    """Take a snapshot; collect what the guest says when asked to freeze once more while the host has its turn."""
    refusals: list[str] = []

    def take() -> list[DiskSnapshot]:
        refusals.extend(guest.exec(["fsfreeze", "--freeze", mount]).err for mount in ("/", "/data"))
        return [DiskSnapshot(-1, "p"), DiskSnapshot(0, "p")]

    def ignore(_event: str) -> None:
        pass

    request = SnapshotRequest(task_id, (-1, 0), take, ignore, lambda: False)
    return server.take_snapshot(guest.uuid, request), refusals


@pytest.mark.qemu
def test_the_real_agent_runs_our_extension_with_the_guest_frozen(guest: Guest, server: WireServer) -> None:
    guest.wait_for(lambda: server.report(guest.uuid).ready, "agent ready", limit_s=READY_LIMIT_S)
    for task_id in ("first", "second"):
        outcome, refusals = take_snapshot(server, guest, task_id)
        assert (outcome.code, outcome.taken, outcome.void) == (1, True, False)
        assert all("busy" in refusal for refusal in refusals), refusals
        assert outcome.thaw_seen
        assert outcome.frozen_s
        assert set(outcome.frozen_mounts) == {"/", "/data"}
        guest.run("touch", "/thawed", "/data/thawed")
    report = server.report(guest.uuid)
    assert report.sightings[Signal.PACKAGE].count == 1
    assert report.status is not None
    assert report.status.incarnation == str(report.incarnation)


@pytest.mark.qemu
def test_a_stopped_agent_is_unavailable(guest: Guest, server: WireServer) -> None:
    guest.wait_for(lambda: server.report(guest.uuid).ready, "agent ready", limit_s=READY_LIMIT_S)
    guest.run("systemctl", "stop", "walinuxagent")
    with pytest.raises(AgentUnavailable):
        take_snapshot(server, guest, "nobody-there")
