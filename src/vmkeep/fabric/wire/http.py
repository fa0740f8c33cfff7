"""One HTTP request on one connection, with a bound on every byte and second (docs/formats/wire.md §9)."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import parse_qsl, urlsplit

import h11

from vmkeep.base.units import KIB
from vmkeep.fabric.wire.errors import RequestRefused
from vmkeep.fabric.wire.guest_json import text
from vmkeep.fabric.wire.limits import BodyRule, WireLimits

READ_SIZE = 64 * KIB
QUERY_FIELDS = 32
LINGER_S = 1
LINGER_READS = 16


@dataclass(frozen=True, slots=True)
class Head:
    """Request line and headers; header names in lower case, the last of equal names wins."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Response:
    """An answer."""

    status: int = 200
    body: bytes = field(default=b"", repr=False)
    content_type: str = "text/plain; charset=utf-8"


class Exchange:
    """The one request and answer of a connection.

    Call `head`, then `body`, then `answer`. `head` and `body` raise RequestRefused for what can still be answered,
    TimeoutError and ConnectionError otherwise.
    """

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, limits: WireLimits
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._limits = limits
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=limits.header_bytes)
        self._announced = 0

    async def head(self) -> Head:
        """Return the request's head."""
        async with asyncio.timeout(self._limits.header_s):
            event = await self._next_event()
        if not isinstance(event, h11.Request):
            raise ConnectionAbortedError
        try:
            target = urlsplit(event.target.decode("ascii"))
            query = dict(parse_qsl(target.query, max_num_fields=QUERY_FIELDS))
        except ValueError as error:
            raise RequestRefused(status=400, why="the request target cannot be read") from error
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in event.headers}
        self._announced = int(headers.get("content-length", "0"))
        return Head(event.method.decode("ascii"), target.path, query, headers)

    async def body(self, rule: BodyRule) -> bytes:
        """Return the body, empty when it is not kept."""
        if self._announced > rule.limit:
            raise RequestRefused(status=413, why=f"the body announces more than {rule.limit} bytes")
        async with asyncio.timeout(self._limits.body_s):
            return await self._read_body(rule)

    async def _read_body(self, rule: BodyRule) -> bytes:
        if self._http.they_are_waiting_for_100_continue:
            await self._send(h11.InformationalResponse(status_code=100, headers=[]))
        kept, size = bytearray(), 0
        while not isinstance(event := await self._next_event(), h11.EndOfMessage):
            if not isinstance(event, h11.Data):
                raise ConnectionAbortedError
            size += len(event.data)
            if size > rule.limit:
                raise RequestRefused(status=413, why=f"the body is longer than {rule.limit} bytes")
            if rule.keep:
                kept += event.data
        return bytes(kept)

    async def answer(self, response: Response) -> None:
        """Send `response`; the guest has a limited time to take it."""
        headers = [
            ("Content-Type", response.content_type),
            ("Content-Length", str(len(response.body))),
            ("Connection", "close"),
        ]
        reason = HTTPStatus(response.status).phrase.encode()
        async with asyncio.timeout(self._limits.write_s):
            await self._send(h11.Response(status_code=response.status, headers=headers, reason=reason))
            for start in range(0, len(response.body), READ_SIZE):
                await self._send(h11.Data(data=response.body[start : start + READ_SIZE]))
            await self._send(h11.EndOfMessage())

    async def linger(self) -> None:
        """Give the guest a moment to read the answer to a request that was not read whole."""
        self._writer.write_eof()
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER_S):
                for _ in range(LINGER_READS):
                    if not await self._reader.read(READ_SIZE):
                        return

    async def peer_gone(self) -> None:
        """Return when the guest closes its side, or sends more than it should."""
        await self._reader.read(1)

    async def _next_event(self) -> h11.Event:
        while True:
            try:
                event = self._http.next_event()
                if event is h11.NEED_DATA:
                    self._http.receive_data(await self._reader.read(READ_SIZE))
                    continue
            except h11.RemoteProtocolError as error:
                raise RequestRefused(status=400, why=text(f"not HTTP: {error}")) from error
            if isinstance(event, h11.Event):
                return event
            raise ConnectionAbortedError

    async def _send(self, event: h11.Event) -> None:
        data = self._http.send(event)
        if data:
            self._writer.write(data)
            await self._writer.drain()
