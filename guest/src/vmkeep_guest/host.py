"""The host's snapshot service: three POSTs to the wire server, spoken over a plain socket.

`http.client` would double the start-up time of the extension, connects only when it sends, and cannot bound the
time of a whole answer; a backup needs all three.
"""

import json
import os
import select
import socket
import time
from datetime import datetime, timezone

from vmkeep_guest import codes
from vmkeep_guest.errors import BackupFailed
from vmkeep_guest.files import items, members

DEFAULT_ADDRESS = "168.63.129.16"
PRESNAPSHOT_S = 10.0
DOSNAPSHOT_S = 40.0
POSTSNAPSHOT_S = 5.0
NO_ANSWER = 555
"""Stands for the HTTP status when there was no answer at all."""
EMPTY_ANSWER = 557
"""Stands for the HTTP status when the body was empty."""
_MAX_ANSWER_BYTES = 1 << 20
_MAX_REASON = 500


class NoAnswer(Exception):
    """The host could not be reached, or did not answer in time, or not in HTTP."""


class Answer:
    """What the host said: the HTTP status (557 for an empty answer) and the body as JSON, None when it is not JSON."""

    def __init__(self, status: int, body: bytes) -> None:
        self.empty = not body.strip()
        self.status = EMPTY_ANSWER if self.empty else status
        try:
            self.content = json.loads(body.decode("utf-8", "replace"))  # type: object
        except ValueError:
            self.content = None
        self.text = str(body[:_MAX_REASON], "utf-8", "replace")


class Call:
    """One POST over a connection of its own, which can be opened long before it is needed."""

    def __init__(self, name: str, address: str = "") -> None:
        address = address or os.environ.get("AZURE_GUEST_AGENT_WIRE_PROTOCOL_ADDRESS") or DEFAULT_ADDRESS
        self._host, _, port = address.partition(":")
        self._port = int(port or 80)
        self._path = "/metadata/recsvc/snapshot/{}?api-version=2017-12-01".format(name)
        self._socket = None  # type: socket.socket | None

    def connect(self, patience_s: float) -> socket.socket:
        """Open the connection and return it. Raises NoAnswer."""
        self._socket = socket.socket()  # create_connection() would import the rules for foreign host names
        try:
            self._socket.settimeout(patience_s)
            self._socket.connect((self._host, self._port))
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            self.close()
            raise NoAnswer("no connection to {}:{}: {}".format(self._host, self._port, error)) from error
        return self._socket

    def post(self, body: "dict[str, object]", patience_s: float) -> Answer:
        """Send `body` and return the answer, all within `patience_s`. Raises NoAnswer."""
        deadline = time.monotonic() + patience_s
        connection = self._ready(patience_s)
        try:
            connection.settimeout(patience_s)
            connection.sendall(self._request(json.dumps(body).encode()))
            return _parse(_read(connection, deadline))
        except (OSError, ValueError) as error:
            raise NoAnswer("no answer from {}:{}: {}".format(self._host, self._port, error)) from error
        finally:
            self.close()

    def __enter__(self) -> "Call":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _ready(self, patience_s: float) -> socket.socket:
        """Return an open connection: a fresh one when the host has closed the first while we froze."""
        if self._socket is not None and not select.select([self._socket], [], [], 0)[0]:
            return self._socket
        self.close()
        return self.connect(patience_s)

    def _request(self, body: bytes) -> bytes:
        head = (
            "POST {} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nBackup: true\r\n"
            "Content-type: application/json\r\nUserAgent: VMSnapshot\r\nContent-Length: {}\r\n\r\n"
        )
        return head.format(self._path, self._host, len(body)).encode("ascii") + body


def _read(connection: socket.socket, deadline: float) -> bytes:
    """Return all bytes of the answer: up to its stated length, else to the end of the connection."""
    heard = b""
    while not _complete(heard):
        connection.settimeout(max(0.001, deadline - time.monotonic()))
        more = connection.recv(65536)
        if not more:
            return heard
        heard += more
        if len(heard) > _MAX_ANSWER_BYTES:
            raise ValueError("the answer is longer than {} bytes".format(_MAX_ANSWER_BYTES))
    return heard


def _split(answer: bytes) -> "tuple[str, dict[str, str], bytes]":
    """Return status line, headers (names in lower case) and body of an answer that may still be incomplete."""
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = str(head, "latin-1").split("\r\n")
    pairs = [line.partition(":") for line in lines]
    return status, {name.strip().lower(): value.strip() for name, _, value in pairs}, body


def _complete(answer: bytes) -> bool:
    if b"\r\n\r\n" not in answer:
        return False
    _, headers, body = _split(answer)
    if headers.get("transfer-encoding", "").lower() == "chunked":
        return _unchunk(body) is not None
    return "content-length" in headers and len(body) >= int(headers["content-length"])


def _parse(answer: bytes) -> Answer:
    """Read a whole answer. Raises ValueError when it is cut short or not HTTP."""
    status, headers, body = _split(answer)
    protocol, _, rest = status.partition(" ")
    if not protocol.startswith("HTTP/"):
        raise ValueError("not an HTTP answer")
    if headers.get("transfer-encoding", "").lower() == "chunked":
        whole = _unchunk(body)
    else:
        whole = body if len(body) >= int(headers.get("content-length", 0)) else None
    if whole is None:
        raise ValueError("the answer was cut short")
    return Answer(int(rest[:3]), whole)


def _unchunk(body: bytes) -> "bytes | None":
    """Join the chunks of a body; None when the last one is still missing."""
    whole = b""
    while b"\r\n" in body:
        size, _, rest = body.partition(b"\r\n")
        length = int(size.split(b";")[0], 16)
        if not length:
            return whole
        whole += rest[:length]
        body = rest[length + 2 :]
    return None


class DiskResult:
    """What became of one disk."""

    def __init__(self, entry: object) -> None:
        fields = members(entry)
        verdict = fields.get("isSuccessful")
        self.done = verdict is True or str(verdict).lower() == "true"
        self.uri = str(fields.get("snapshotUri") or "")
        self.error = str(fields.get("errorMessage") or "")[:_MAX_REASON]
        self.identifier = fields.get("ddSnapshotIdentifier")


def disk_results(answer: Answer) -> "list[DiskResult]":
    """Return what dosnapshot did, by disk, in the host's order.

    Raises BackupFailed 76 when it did nothing. Success is said as the string "true" or the value true; whatever
    else is said, or left out, is a failure.
    """
    if answer.empty:
        raise BackupFailed(codes.SNAPSHOT_FAILED, "the host's answer was empty")
    disks = [DiskResult(entry) for entry in items(members(answer.content).get("snapshotInfo"))]
    if answer.status not in (200, 201) or not disks:
        text = "the host took no snapshot; it answered {}: {}".format(answer.status, answer.text)
        raise BackupFailed(codes.SNAPSHOT_FAILED, text)
    return disks


def host_time(answer: Answer) -> "float | None":
    """Return the host's time in seconds since 1970 from a presnapshot answer; None when it does not tell."""
    told = members(members(answer.content).get("responseTime"))
    names = ("year", "month", "day", "hour", "minute", "second")
    try:
        year, month, day, hour, minute, second = [int(str(told[name])) for name in names]
        return datetime(year, month, day, hour, minute, second, tzinfo=timezone.utc).timestamp()
    except (KeyError, ValueError):
        return None
