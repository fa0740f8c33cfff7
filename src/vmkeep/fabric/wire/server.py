"""The wire server: its thread, its bridges, and what the fabric asks of it."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import structlog

from vmkeep.base.clock import Clock
from vmkeep.fabric.wire.admission import Admission
from vmkeep.fabric.wire.agents import Agents
from vmkeep.fabric.wire.answers import Answers
from vmkeep.fabric.wire.connection import Reception
from vmkeep.fabric.wire.errors import AgentUnavailable, ListenFailed
from vmkeep.fabric.wire.identity import GuestLocator, Position, Positions
from vmkeep.fabric.wire.limits import WireLimits
from vmkeep.fabric.wire.listener import Listener, interface_index, open_on_address, open_on_bridge
from vmkeep.fabric.wire.package import ExtensionPackage
from vmkeep.fabric.wire.report import AgentReport
from vmkeep.fabric.wire.routes import Service
from vmkeep.fabric.wire.tasks import SnapshotOutcome, SnapshotRequest

log = structlog.get_logger()
T = TypeVar("T")

HANDLER_THREADS = 8
LOCATOR_THREADS = 4
ACCEPT_RETRY_S = 0.2
SELF_LOOK_S = 2


class WireServer:
    """Serves the agents of the guests on any number of bridges, from a thread of its own.

    Every method may be called from any thread but the server's own.
    """

    def __init__(
        self,
        *,
        state_dir: Path,
        locator: GuestLocator,
        clock: Clock,
        package: Path,
        limits: WireLimits | None = None,
    ) -> None:
        """Prepare to serve the extension in `package`. Raises PackageUnreadable."""
        limits = limits or WireLimits()
        self._agents = Agents(state_dir / "wire", clock)
        self._handlers = ThreadPoolExecutor(HANDLER_THREADS, thread_name_prefix="wire-handler")
        self._locators = ThreadPoolExecutor(LOCATOR_THREADS, thread_name_prefix="wire-locator")
        self._reception = Reception(
            agents=self._agents,
            answers=Answers(ExtensionPackage.load(package), clock),
            positions=Positions(locator, limits=limits, executor=self._locators),
            admission=Admission(limits, clock),
            limits=limits,
            executor=self._handlers,
        )
        self._clock = clock
        self._started: float | None = None
        self._thread: threading.Thread | None = None
        self._loop: Future[asyncio.AbstractEventLoop] = Future()
        self._stopping = asyncio.Event()
        self._listeners: dict[str, Listener] = {}
        self._accepting: dict[str, list[asyncio.Task[None]]] = {}
        self._serving: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Start serving; bridges are added with `listen`."""
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="wire", daemon=True)
        self._thread.start()
        self._started = self._clock.monotonic()

    def stop(self) -> None:
        """Close everything and write down what was heard; a stopped server stays stopped."""
        if self._thread is None:
            return
        self._loop.result().call_soon_threadsafe(self._stopping.set)
        self._thread.join()
        self._thread = None
        self._handlers.shutdown()
        self._locators.shutdown(wait=False)
        self._agents.keep_reports()

    def listen(self, bridge: str) -> None:
        """Serve the guests on `bridge`; again after a bridge was made anew. Raises ListenFailed."""
        self._on_loop(self._listen(bridge))

    def listen_on(self, bridge: str, address: str) -> Mapping[Service, tuple[str, int]]:
        """Serve on free ports of a local address instead of a bridge; return them. Raises ListenFailed."""
        return self._on_loop(self._listen_on(bridge, address))

    def report(self, vm_uuid: str) -> AgentReport:
        """Return what is known of the VM's agent."""
        agent = self._agents.find(vm_uuid)
        return agent.report() if agent else AgentReport(vm_uuid)

    def serves(self, bridge: str) -> bool:
        """Whether the server's thread answers within two seconds and listens on `bridge` as it is now."""
        if self._thread is None or not self._thread.is_alive():
            return False
        asked = asyncio.run_coroutine_threadsafe(self._serves(bridge), self._loop.result())
        try:
            return asked.result(SELF_LOOK_S)
        except (TimeoutError, ListenFailed):
            return False

    @property
    def up_s(self) -> float:
        """Seconds since `start`; 0 before."""
        return 0.0 if self._started is None else self._clock.monotonic() - self._started

    def take_snapshot(self, vm_uuid: str, request: SnapshotRequest) -> SnapshotOutcome:
        """Have the VM's extension freeze the guest, and call `request.take` while it is frozen. Blocks.

        Raises AgentUnavailable, ExtensionStuck, SnapshotStatusMissing, SnapshotTaskBusy, SnapshotCancelled, StateNotKept.
        """
        agent = self._agents.find(vm_uuid)
        if agent is None or not agent.report().seen:
            raise AgentUnavailable(vm=vm_uuid, why="The agent was never heard.")
        task = agent.begin(request)
        try:
            return task.run()
        finally:
            agent.end(task)

    def forget(self, vm_uuid: str) -> None:
        """Remove all that is kept of a VM that is no more. Raises SnapshotTaskBusy."""
        self._agents.delete(vm_uuid)

    # on the server's own thread

    async def _serve(self) -> None:
        self._loop.set_result(asyncio.get_running_loop())
        await self._stopping.wait()
        for bridge in list(self._listeners):
            self._close(bridge)

    def _on_loop(self, work: Coroutine[Any, Any, T]) -> T:  # the coroutine's own types
        return asyncio.run_coroutine_threadsafe(work, self._loop.result()).result()

    async def _serves(self, bridge: str) -> bool:
        listener = self._listeners.get(bridge)
        accepting = self._accepting.get(bridge, [])
        is_open = listener is not None and listener.interface == interface_index(bridge)
        return is_open and bool(accepting) and not any(task.done() for task in accepting)

    async def _listen(self, bridge: str) -> None:
        listener = self._listeners.get(bridge)
        if listener is None or listener.interface != interface_index(bridge):
            self._replace(bridge, lambda: open_on_bridge(bridge))

    async def _listen_on(self, bridge: str, address: str) -> Mapping[Service, tuple[str, int]]:
        listener = self._replace(bridge, lambda: open_on_address(bridge, address))
        return {service: listening.getsockname() for service, listening in listener.sockets.items()}

    def _replace(self, bridge: str, open_listener: Callable[[], Listener]) -> Listener:
        self._close(bridge)
        listener = self._listeners[bridge] = open_listener()
        self._accepting[bridge] = [
            asyncio.create_task(self._accept(listener, service)) for service in listener.sockets
        ]
        log.info("wire.listening", bridge=bridge)
        return listener

    def _close(self, bridge: str) -> None:
        for accepting in self._accepting.pop(bridge, []):
            accepting.cancel()
        listener = self._listeners.pop(bridge, None)
        if listener is not None:
            for listening in listener.sockets.values():
                asyncio.get_running_loop().remove_reader(listening)  # before its number is given to another
            listener.close()

    async def _accept(self, listener: Listener, service: Service) -> None:
        loop, listening = asyncio.get_running_loop(), listener.sockets[service]
        while True:
            try:
                connection, (ip, _port) = await loop.sock_accept(listening)
            except OSError as error:
                log.warning("wire.accept.failed", bridge=listener.bridge, error=repr(error))
                await asyncio.sleep(ACCEPT_RETRY_S)
                continue
            position = Position(listener.bridge, ip)
            if self._reception.admit(connection, position):
                serving = asyncio.create_task(self._reception.serve(connection, position, service))
                self._serving.add(serving)
                serving.add_done_callback(self._serving.discard)
            await asyncio.sleep(0)  # accepting a flood must not keep the loop from everybody else
