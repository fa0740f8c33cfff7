"""This host: its VMs, its networks, and the wire server that the guests talk to."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog

from vmkeep.base.clock import Clock
from vmkeep.base.errors import VmkeepError
from vmkeep.fabric.errors import HypervisorUnreachable
from vmkeep.fabric.fabric import Fabric
from vmkeep.fabric.host import Host
from vmkeep.fabric.position import GuestPositions
from vmkeep.fabric.wire.extension_package import build_package
from vmkeep.fabric.wire.server import WireServer
from vmkeep.server.settings import Settings

log = structlog.get_logger()

LOOK_S = 10
LOOK_FOR_LIBVIRT_S = 2


@contextmanager
def open_host(settings: Settings, state_dir: Path, clock: Clock) -> Iterator[Fabric]:
    """Serve the attached networks and thaw what a killed service left frozen, now or as soon as libvirt answers.

    Raises ListenFailed.
    """
    wire = WireServer(
        state_dir=state_dir,
        locator=GuestPositions(Host(settings.libvirt_uri), clock),
        clock=clock,
        package=build_package(state_dir / "extension.zip"),
    )
    fabric = Fabric(
        uri=settings.libvirt_uri,
        state_dir=state_dir,
        clock=clock,
        wire=wire,
        freeze_limit_s=settings.freeze_limit_s,
        merge_mib_s=settings.merge_mib_s,
    )
    wire.start()
    try:
        with _Caretaker(fabric).at_work():
            yield fabric
    finally:
        wire.stop()


class _Caretaker:
    """Takes the host over once libvirt answers; then serves networks that are started, or made anew."""

    def __init__(self, fabric: Fabric) -> None:
        self._fabric = fabric
        self._taken_over = False
        self._said = ""
        self._ended = threading.Event()

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Look at once, and again and again while the context lasts. Raises what only a person can mend."""
        try:
            self._look()
        except HypervisorUnreachable as error:
            self._say(error)
        thread = threading.Thread(target=self._keep_looking, name="caretaker", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()

    def _keep_looking(self) -> None:
        while not self._ended.wait(LOOK_S if self._taken_over else LOOK_FOR_LIBVIRT_S):
            try:
                self._look()
            except VmkeepError as error:
                self._say(error)

    def _look(self) -> None:
        if not self._taken_over:
            self._fabric.thaw_interrupted()
        self._fabric.serve_networks()
        if not self._taken_over:
            _ensure_own_network(self._fabric)
        self._taken_over, self._said = True, ""

    def _say(self, error: VmkeepError) -> None:
        """Say what is in the way, once."""
        if self._said != error.code:
            self._said = error.code
            log.warning("server.host.not_served", code=error.code, message=str(error), advice=error.advice)


def _ensure_own_network(fabric: Fabric) -> None:
    """Have the network `vmkeep` ready for VMs; a host that does not permit it can still attach its own ones."""
    try:
        fabric.ensure_network()
    except VmkeepError as error:
        log.warning("server.network.not-made", code=error.code, message=str(error))
