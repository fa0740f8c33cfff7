"""One running service: state folder held, parts assembled, certificates and clients ready, socket listening."""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from starlette.types import ASGIApp

from vmkeep.arm.app import make_app
from vmkeep.arm.identity.clients import Clients
from vmkeep.arm.identity.tokens import TokenIssuer
from vmkeep.arm.operations import FinishedOperations
from vmkeep.arm.service import Service
from vmkeep.base.clock import Clock
from vmkeep.server.certificates import Certificates, ensure_certificates, with_key_vaults
from vmkeep.server.https import HttpsServer, listen
from vmkeep.server.identity import ensure_installation, ensure_local_client, ensure_token_key
from vmkeep.server.parts import Assemble, Parts
from vmkeep.server.settings import Settings
from vmkeep.server.state_dir import open_state_dir


@dataclass(frozen=True, slots=True)
class ReadyService:
    """All that is needed to serve."""

    app: ASGIApp
    url: str
    client_file: Path
    certificates: Callable[[], Certificates]
    """Makes what is missing or near its end, and says where the files are."""
    listener: socket.socket

    def make_server(self, on_ready: Callable[[], None]) -> HttpsServer:
        """Return the server; run it with `serve_until_stopped`."""
        return HttpsServer(self.app, certificates=self.certificates, on_ready=on_ready)

    def serve_until_stopped(self, server: HttpsServer) -> None:
        """Serve until the server's `should_exit` is set; requests under way get a few seconds to end."""
        server.run(sockets=[self.listener])


@contextmanager
def open_service(settings: Settings, assemble: Assemble, clock: Clock) -> Iterator[ReadyService]:
    """Make everything ready to serve; the parts close when the context ends.

    Raises StateDirUnusable, AlreadyRunning, CannotListen, KeyFileUnreadable, and what the parts raise.
    """
    with open_state_dir(settings.state_dir) as state_dir, listen(settings.listen, settings.port) as listener:

        def certificates() -> Certificates:
            return ensure_certificates(state_dir, with_key_vaults(_own_names(settings)), clock.now())

        ca = certificates().ca
        with assemble(settings, state_dir, clock) as parts:
            service = _make_service(settings, state_dir, clock, parts, listener)
            url = _url(settings, listener)
            client_file = ensure_local_client(service, state_dir, url=url, ca=ca)
            yield ReadyService(
                app=make_app(service),
                url=url,
                client_file=client_file,
                certificates=certificates,
                listener=listener,
            )


def _make_service(
    settings: Settings, state_dir: Path, clock: Clock, parts: Parts, listener: socket.socket
) -> Service:
    installation = ensure_installation(parts.catalog)
    tokens = TokenIssuer(
        key=ensure_token_key(state_dir),
        tenant=installation.tenant,
        clock=clock,
        lifetime_s=settings.token_lifetime_s,
    )
    return Service(
        catalog=parts.catalog,
        engine=parts.engine,
        fabric=parts.fabric,
        repositories=parts.repositories,
        key_vaults=parts.key_vaults,
        clock=clock,
        tokens=tokens,
        clients=Clients(parts.catalog, clock),
        finished=FinishedOperations(),
        subscription=installation.subscription,
        resource_group=settings.resource_group,
        location=settings.location,
        netlocs=tuple(f"{name}:{listener.getsockname()[1]}" for name in _own_names(settings)),
    )


def _own_names(settings: Settings) -> list[str]:
    more = [name.strip() for name in settings.host_names.split(",") if name.strip()]
    wildcard = settings.listen in {"", "0.0.0.0", "::"}  # noqa: S104 - compared, not bound
    own = [] if wildcard else [settings.listen]
    return ["127.0.0.1", "::1", "localhost", socket.gethostname(), *own, *more]


def _url(settings: Settings, listener: socket.socket) -> str:
    """Return the URL for clients on this machine."""
    port = listener.getsockname()[1]
    address = settings.listen
    if address in {"", "0.0.0.0", "::"}:  # noqa: S104 - compared, not bound
        address = "127.0.0.1"
    return f"https://[{address}]:{port}" if ":" in address else f"https://{address}:{port}"
