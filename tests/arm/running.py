"""A real service over HTTPS with stand-ins below the API; used by the tests of arm, client and cli."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from structlog.testing import capture_logs
from structlog.typing import EventDict

from tests.arm.fakes import FakeEngine, FakeFabric, FakeRepositories
from vmkeep.base.clock import Clock, SystemClock
from vmkeep.catalog import Catalog
from vmkeep.client.backup import Backup
from vmkeep.client.credentials import read_credentials
from vmkeep.client.session import Session
from vmkeep.keyvault import LocalKeyring
from vmkeep.keyvault.database import Database
from vmkeep.keyvault.key_vaults import KeyVaults
from vmkeep.server.parts import Parts
from vmkeep.server.service import ReadyService, open_service
from vmkeep.server.settings import Settings


@dataclass(frozen=True)
class Running:
    ready: ReadyService
    engine: FakeEngine
    fabric: FakeFabric
    repositories: FakeRepositories
    catalog: Catalog
    key_vaults: KeyVaults
    logs: list[EventDict]
    """What was logged, from the debug level on."""


@contextmanager
def fake_parts(_settings: Settings, state_dir: Path, clock: Clock) -> Iterator[Parts]:
    catalog = Catalog(f"sqlite:///{state_dir}/catalog.db", clock)
    engine = FakeEngine(catalog, clock)
    database = Database(state_dir / "keyvault.db")
    key_vaults = KeyVaults(database, LocalKeyring(state_dir / "master.key"), clock)
    yield Parts(catalog, engine, FakeFabric(), FakeRepositories(state_dir), key_vaults)
    database.close()
    catalog.close()


@contextmanager
def run_service(state_dir: Path, clock: Clock | None = None) -> Iterator[Running]:
    """Serve on a free port of the loopback until the context ends."""
    made: list[Parts] = []

    @contextmanager
    def assemble(settings: Settings, folder: Path, now: Clock) -> Iterator[Parts]:
        with fake_parts(settings, folder, now) as parts:
            made.append(parts)
            yield parts

    with capture_logs() as logs, ExitStack() as stack:
        ready = stack.enter_context(
            open_service(Settings(state_dir=state_dir, port=0), assemble, clock or SystemClock())
        )
        started = threading.Event()
        server = ready.make_server(started.set)
        thread = threading.Thread(target=ready.serve_until_stopped, args=(server,))
        thread.start()
        try:
            assert started.wait(10)
            (parts,) = made
            assert isinstance(parts.engine, FakeEngine)
            assert isinstance(parts.fabric, FakeFabric)
            assert isinstance(parts.repositories, FakeRepositories)
            yield Running(
                ready,
                parts.engine,
                parts.fabric,
                parts.repositories,
                parts.catalog,
                parts.key_vaults,
                logs,
            )
        finally:
            server.should_exit = True
            thread.join()


@contextmanager
def connect(running: Running) -> Iterator[Backup]:
    session = Session(read_credentials(running.ready.client_file))
    yield Backup(session)
    session.close()
