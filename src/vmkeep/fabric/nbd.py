"""Reading and writing images through `qemu-nbd`, which knows every format: the slower way, on a private socket.

The client speaks the NBD protocol's fixed newstyle negotiation with NBD_OPT_EXPORT_NAME and simple replies
(https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md).
"""

import os
import queue
import socket
import struct
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from vmkeep.fabric.errors import DiskIoFailed
from vmkeep.fabric.tool_secret import tool_secret

START_TIMEOUT_S = 30
POLL_S = 0.01
IO_TIMEOUT_S = 120
CONNECTIONS = 4

_INIT_MAGIC = b"NBDMAGIC"
_OPTION_MAGIC = b"IHAVEOPT"
_REQUEST = struct.Struct(">IHHQQI")
_REPLY = struct.Struct(">IIQ")
_REQUEST_MAGIC, _REPLY_MAGIC = 0x25609513, 0x67446698
_FIXED_NEWSTYLE_NO_ZEROES = 0b11
_OPT_EXPORT_NAME = 1
_READ, _WRITE, _DISCONNECT, _FLUSH = 0, 1, 2, 3
_LARGEST = 32 << 20
"""qemu-nbd refuses longer requests."""


class NbdConnection:
    """One connection; one request at a time. Errors are OSError, ENOSPC included."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(IO_TIMEOUT_S)
        self._socket.connect(path)
        if self._receive(16) != _INIT_MAGIC + _OPTION_MAGIC:
            raise ConnectionError("the NBD server greets in an unknown way")
        self._receive(2)
        self._socket.sendall(
            struct.pack(">I8sII", _FIXED_NEWSTYLE_NO_ZEROES, _OPTION_MAGIC, _OPT_EXPORT_NAME, 0)
        )
        self.size_bytes, _flags = struct.unpack(">QH", self._receive(10))

    def read(self, offset: int, length: int) -> bytes:
        """Return `length` bytes at `offset`."""
        self._request(_READ, offset, length)
        return bytes(self._receive(length))

    def write(self, offset: int, data: memoryview) -> None:
        """Write `data` at `offset`."""
        self._request(_WRITE, offset, len(data), data)

    def flush(self) -> None:
        """Return when what was written is on stable storage."""
        self._request(_FLUSH, 0, 0)

    def close(self) -> None:
        """Say goodbye and close."""
        with suppress(OSError):
            self._socket.sendall(_REQUEST.pack(_REQUEST_MAGIC, 0, _DISCONNECT, 0, 0, 0))
        self._socket.close()

    def _request(self, kind: int, offset: int, length: int, data: memoryview | None = None) -> None:
        self._socket.sendall(_REQUEST.pack(_REQUEST_MAGIC, 0, kind, 0, offset, length))
        if data is not None:
            self._socket.sendall(data)
        magic, error, _cookie = _REPLY.unpack(self._receive(_REPLY.size))
        if magic != _REPLY_MAGIC:
            raise ConnectionError("the NBD server answers in an unknown way")
        if error:
            raise OSError(error, os.strerror(error))

    def _receive(self, length: int) -> bytearray:
        data = bytearray(length)
        view = memoryview(data)
        while view:
            count = self._socket.recv_into(view)
            if not count:
                raise ConnectionError("the NBD server closed the connection")
            view = view[count:]
        return data


class NbdImage:
    """An image opened by a `qemu-nbd` of our own; `read` and `write` may be called from several threads.

    `arguments` are qemu-nbd's, ending with the image; `path` is what errors call it; `key` opens an encrypted one.
    """

    def __init__(self, arguments: Sequence[str], *, path: str, key: str | None = None) -> None:
        self._path = path
        self._directory = tempfile.TemporaryDirectory(prefix="vmkeep-nbd-")
        self._idle: queue.SimpleQueue[NbdConnection] = queue.SimpleQueue()
        self._opening = threading.Semaphore(CONNECTIONS)
        self._process: subprocess.Popen[bytes] | None = None
        try:
            with tool_secret(key) as secret:
                self._process = self._start([*secret.arguments, *arguments], secret.descriptors)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def read(self, offset: int, length: int) -> bytes:
        """Return `length` bytes at `offset`. Raises DiskIoFailed."""
        with self._failing_as("read"), self._connection() as connection:
            parts = [connection.read(at, size) for at, size in _steps(offset, length)]
        return b"".join(parts)

    def write(self, offset: int, data: bytes | memoryview) -> None:
        """Write `data` at `offset`. Raises OSError as the server's storage does."""
        view = memoryview(data)
        with self._connection() as connection:
            for at, size in _steps(offset, len(view)):
                connection.write(at, view[at - offset : at - offset + size])

    def flush(self) -> None:
        """Return when what was written is on stable storage. Raises OSError."""
        with self._connection() as connection:
            connection.flush()

    def close(self) -> None:
        """Close all connections, end the server and wait for it."""
        with suppress(queue.Empty):
            while True:
                self._idle.get_nowait().close()
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(START_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._directory.cleanup()

    def _start(self, arguments: Sequence[str], descriptors: Sequence[int]) -> subprocess.Popen[bytes]:
        """Start the server and wait for its pid file, the sign that it listens."""
        pid_file, messages = Path(self._directory.name, "pid"), Path(self._directory.name, "messages")
        command = ["qemu-nbd", "--persistent", f"--shared={CONNECTIONS}", f"--socket={self._socket_path}"]
        with messages.open("wb") as stderr:
            process = subprocess.Popen(
                [*command, f"--pid-file={pid_file}", *arguments],
                pass_fds=descriptors,
                stdin=subprocess.DEVNULL,
                stderr=stderr,
            )
        for _ in range(int(START_TIMEOUT_S / POLL_S)):
            if pid_file.exists() and pid_file.stat().st_size:
                return process
            with suppress(subprocess.TimeoutExpired):
                process.wait(POLL_S)
                break
        process.kill()
        process.wait()
        why = messages.read_text(errors="replace").strip() or f"no sign of life in {START_TIMEOUT_S} s"
        raise DiskIoFailed("open", self._path, why)

    @property
    def _socket_path(self) -> str:
        return str(Path(self._directory.name, "socket"))

    @contextmanager
    def _connection(self) -> Iterator[NbdConnection]:
        """Lend a connection; one that failed is closed, not lent again."""
        with self._opening:
            try:
                connection = self._idle.get_nowait()
            except queue.Empty:
                connection = NbdConnection(self._socket_path)
            try:
                yield connection
            except BaseException:
                connection.close()
                raise
            self._idle.put(connection)

    @contextmanager
    def _failing_as(self, action: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise DiskIoFailed(action, self._path, str(error)) from error


def _steps(offset: int, length: int) -> Iterator[tuple[int, int]]:
    for at in range(offset, offset + length, _LARGEST):
        yield at, min(_LARGEST, offset + length - at)
