"""The unmodified agent and our extension in a real guest, against the wire server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.guest import Guest
from vmkeep.base.clock import SystemClock
from vmkeep.fabric.wire.extension_package import build_package
from vmkeep.fabric.wire.identity import GuestIdentity
from vmkeep.fabric.wire.report import Signal
from vmkeep.fabric.wire.server import WireServer
from vmkeep.fabric.wire.tasks import DiskSnapshot, SnapshotRequest

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


@pytest.mark.qemu
def test_the_real_agent_becomes_ready_and_takes_two_snapshots(guest: Guest, server: WireServer) -> None:
    guest.wait_for(lambda: server.report(guest.uuid).ready, "agent ready", limit_s=READY_LIMIT_S)
    for task_id in ("task-1", "task-2"):
        events: list[str] = []
        frozen: list[bool] = []

        def take() -> list[DiskSnapshot]:
            frozen.append(True)
            return [DiskSnapshot(-1, "p"), DiskSnapshot(0, "p")]

        request = SnapshotRequest(task_id, (-1, 0), take, events.append, lambda: False)
        with guest.writer() as writes:
            outcome = server.take_snapshot(guest.uuid, request)
        print(outcome, writes)
        assert outcome.code == 1
        assert outcome.taken
        assert outcome.thaw_seen
        assert outcome.frozen_s is not None
        assert set(outcome.frozen_mounts) == {"/", "/data"}
    report = server.report(guest.uuid)
    print(report)
    assert report.sightings[Signal.PACKAGE].count == 1
