"""This host: its VMs, its networks, and the wire server that the guests talk to."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog

from vmkeep.base.clock import Clock
from vmkeep.base.errors import VmkeepError
from vmkeep.fabric.fabric import Fabric
from vmkeep.fabric.host import Host
from vmkeep.fabric.position import GuestPositions
from vmkeep.fabric.wire.extension_package import build_package
from vmkeep.fabric.wire.server import WireServer
from vmkeep.server.settings import Settings

log = structlog.get_logger()

LOOK_AT_NETWORKS_S = 10


@contextmanager
def open_host(settings: Settings, state_dir: Path, clock: Clock) -> Iterator[Fabric]:
    """Serve the attached networks and thaw what a killed service left frozen.

    Raises HypervisorUnreachable, ListenFailed.
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
        fabric.thaw_interrupted()
        fabric.serve_networks()
        _ensure_own_network(fabric)
        with _networks_served(fabric):
            yield fabric
    finally:
        wire.stop()


def _ensure_own_network(fabric: Fabric) -> None:
    """Have the network `vmkeep` ready for VMs; a host that does not permit it can still attach its own ones."""
    try:
        fabric.ensure_network()
    except VmkeepError as error:
        log.warning("server.network.not-made", code=error.code, message=str(error))


@contextmanager
def _networks_served(fabric: Fabric) -> Iterator[None]:
    """Serve networks that are started, or made anew, while the context lasts."""
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(LOOK_AT_NETWORKS_S):
            try:
                fabric.serve_networks()
            except VmkeepError as error:
                log.warning("server.networks.not-served", code=error.code, message=str(error))

    thread = threading.Thread(target=look, name="networks", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
