"""The HTTPS server round the API."""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog
import uvicorn
from starlette.types import ASGIApp

from vmkeep.base.errors import VmkeepError
from vmkeep.server.certificates import Certificates
from vmkeep.server.errors import CannotListen

log = structlog.get_logger()

GRACE_S = 5
RENEW_EVERY_S = 3600


class HttpsServer(uvicorn.Server):
    """uvicorn that says when it is ready and leaves signals to its owner."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        certificates: Callable[[], Certificates],
        on_ready: Callable[[], None] = lambda: None,
    ) -> None:
        """`certificates` is asked at the start and every hour since: it renews what is near its end."""
        files = certificates()
        self._certificates = certificates
        super().__init__(
            uvicorn.Config(
                app,
                ssl_certfile=files.server,
                ssl_keyfile=files.server_key,
                callback_notify=self.renew_certificate,
                timeout_notify=RENEW_EVERY_S,
                log_config=None,
                access_log=False,
                lifespan="off",
                server_header=False,
                timeout_graceful_shutdown=GRACE_S,
            )
        )
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to serve, then say so."""
        await super().startup(sockets)
        self._on_ready()

    async def renew_certificate(self) -> None:
        """Serve the certificate that there is now to connections made from now on."""
        try:
            files = self._certificates()
            assert self.config.ssl is not None  # noqa: S101 - made with a certificate
            self.config.ssl.load_cert_chain(files.server, files.server_key)
        except (VmkeepError, OSError) as error:
            log.warning("server.certificate.not-renewed", error=str(error))

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop serving. Idle connections are cut: a polite TLS farewell would wait for clients that sleep."""
        for connection in list(self.server_state.connections):
            cycle = getattr(connection, "cycle", None)
            if cycle is None or cycle.response_complete:
                connection.transport.abort()
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone."""
        yield


def listen(address: str, port: int) -> socket.socket:
    """Return a listening socket; raises CannotListen."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise CannotListen(address=address, port=port, why=error.strerror or str(error)) from error
    return listener
