import json
import threading
import zipfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.fabric.wire.guest_actor import HANDLER, VERSION, GuestActor, LoopbackLocator
from vmkeep.base.clock import Clock, SystemClock
from vmkeep.fabric.wire.limits import WireLimits
from vmkeep.fabric.wire.routes import Service
from vmkeep.fabric.wire.server import WireServer
from vmkeep.fabric.wire.tasks import DiskSnapshot, SnapshotOutcome, SnapshotRequest

ALPHA, BETA, STRANGER = 2, 3, 9


@pytest.fixture
def package(tmp_path: Path) -> Path:
    path = tmp_path / "extension.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("HandlerManifest.json", json.dumps([{"name": HANDLER, "version": VERSION}]))
    return path


@dataclass
class Site:
    """A running wire server with guests on loopback."""

    server: WireServer
    locator: LoopbackLocator
    addresses: Mapping[Service, tuple[str, int]]
    fabric: "FabricDouble"

    def guest(self, number: int) -> GuestActor:
        return GuestActor(self.addresses, number)


class FabricDouble:
    """The thread that asks for a snapshot, and what it saw."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.heard = threading.Condition()
        self.take: Callable[[], list[DiskSnapshot]] = lambda: [DiskSnapshot(-1, "p1"), DiskSnapshot(0, "p1")]
        self.taken = 0
        self.asked = threading.Event()
        self.cancel = threading.Event()
        self.thawed_by_host = threading.Event()
        self.told_of_thaw = threading.Semaphore(0)
        self._threads = ThreadPoolExecutor(4)

    def request(self, task_id: str = "task-1") -> SnapshotRequest:
        return SnapshotRequest(
            task_id,
            (-1, 0),
            self._take,
            self._on_event,
            self._is_cancelled,
            thawed_by_host=self._is_thawed_by_host,
        )

    def begin(self, server: WireServer, vm_uuid: str, request: SnapshotRequest) -> Future[SnapshotOutcome]:
        """Return once the goal state asks for the snapshot."""
        self.asked.clear()
        running = self._threads.submit(server.take_snapshot, vm_uuid, request)
        assert self.asked.wait(20)
        return running

    def wait_for(self, event: str) -> None:
        with self.heard:
            assert self.heard.wait_for(lambda: event in self.events, timeout=20), (event, self.events)

    def _take(self) -> list[DiskSnapshot]:
        self.taken += 1
        return self.take()

    def _is_cancelled(self) -> bool:
        self.asked.set()
        return self.cancel.is_set()

    def _is_thawed_by_host(self) -> bool:
        if not self.thawed_by_host.is_set():
            return False
        self.told_of_thaw.release()
        return True

    def _on_event(self, event: str) -> None:
        with self.heard:
            self.events.append(event)
            self.heard.notify_all()


StartSite = Callable[..., Site]


@pytest.fixture
def start_site(tmp_path: Path, package: Path) -> Iterator[StartSite]:
    with ExitStack() as running:

        def start(*, clock: Clock | None = None, limits: WireLimits | None = None) -> Site:
            locator = LoopbackLocator(ALPHA, BETA)
            server = WireServer(
                state_dir=tmp_path,
                locator=locator,
                clock=clock or SystemClock(),
                package=package,
                limits=limits,
            )
            server.start()
            running.callback(server.stop)
            return Site(server, locator, server.listen_on("lo", "127.0.0.1"), FabricDouble())

        yield start


@pytest.fixture
def site(start_site: StartSite) -> Site:
    return start_site()


@pytest.fixture
def alpha(site: Site) -> GuestActor:
    return site.guest(ALPHA)
