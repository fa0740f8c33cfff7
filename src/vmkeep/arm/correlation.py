"""Each request has an id, in its answer and in the log; an unknown error shows nothing else to the client."""

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vmkeep.arm.envelope import crash_response
from vmkeep.base.clock import Clock
from vmkeep.base.ids import new_guid

log = structlog.get_logger()


class Correlation:
    """Outermost ASGI middleware: ids, one log line for each request, the last net for exceptions."""

    def __init__(self, app: ASGIApp, clock: Clock) -> None:
        self._app = app
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = new_guid()
        started = self._clock.monotonic()
        status = 0

        async def send_with_ids(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                ids = (b"x-ms-request-id", b"x-ms-correlation-request-id")
                message["headers"] = [
                    *message.get("headers", []),
                    *((name, request_id.encode()) for name in ids),
                ]
            await send(message)

        with structlog.contextvars.bound_contextvars(request=request_id):
            try:
                await self._app(scope, receive, send_with_ids)
            except Exception:
                log.exception("arm.request.crashed", method=scope["method"], path=scope["path"])
                if not status:
                    await crash_response()(scope, receive, send_with_ids)
            log.debug(
                "arm.request.done",
                method=scope["method"],
                path=scope["path"],
                status=status,
                seconds=round(self._clock.monotonic() - started, 4),
            )
