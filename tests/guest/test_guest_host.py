"""Calls to the host over real sockets, with hosts that misbehave."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from vmkeep_guest.host import Answer, Call, NoAnswer, host_time

Talk = Callable[[socket.socket], None]


class Listener:
    """Serves one connection after the other, each as the next `Talk` says."""

    def __init__(self) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.socket.getsockname()[1]}"
        self.threads: list[threading.Thread] = []

    def serve(self, *talks: Talk) -> None:
        thread = threading.Thread(target=self._serve, args=talks)
        thread.start()
        self.threads.append(thread)

    def _serve(self, *talks: Talk) -> None:
        for talk in talks:
            connection, _ = self.socket.accept()
            with connection:
                talk(connection)


@pytest.fixture
def listener() -> Iterator[Listener]:
    made = Listener()
    yield made
    for thread in made.threads:
        thread.join()
    made.socket.close()


def says(*pieces: bytes) -> Talk:
    def talk(connection: socket.socket) -> None:
        connection.recv(65536)
        for piece in pieces:
            connection.sendall(piece)

    return talk


def ask(listener: Listener, patience_s: float = 10.0) -> Answer:
    return Call("dosnapshot", listener.address).post({"taskId": "t"}, patience_s)


@pytest.mark.parametrize(
    "pieces",
    [
        (b'HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n{"a": 1}',),
        (b"HTTP/1.1 200 OK\r\ncontent-", b'length:8\r\n\r\n{"a"', b": 1}"),
        (
            b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{"a\r\n',
            b'5;x=y\r\n": 1}\r\n0\r\n\r\n',
        ),
        (b'HTTP/1.0 200 OK\r\n\r\n{"a": 1}',),
    ],
    ids=["length", "piecemeal", "chunked", "until-the-end"],
)
def test_answer_is_read_however_it_is_sent(listener: Listener, pieces: tuple[bytes, ...]) -> None:
    listener.serve(says(*pieces))
    answer = ask(listener)
    assert (answer.status, answer.content) == (200, {"a": 1})


@pytest.mark.parametrize(
    "pieces",
    [
        (),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 80\r\n\r\nshort",),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nshort",),
        (b"SSH-2.0-OpenSSH\r\n\r\n",),
        (b"HTTP/1.1 two hundred\r\n\r\n",),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (2 << 20),),
    ],
    ids=["silence", "cut", "cut-chunk", "not-http", "no-status", "endless"],
)
def test_nonsense_is_no_answer(listener: Listener, pieces: tuple[bytes, ...]) -> None:
    def talk(connection: socket.socket) -> None:
        with suppress(OSError):  # the caller may hang up
            says(*pieces)(connection)

    listener.serve(talk)
    with pytest.raises(NoAnswer):
        ask(listener)


def test_patience_bounds_the_whole_answer_not_each_piece(listener: Listener) -> None:
    stop = threading.Event()

    def drip(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n")
        while not stop.wait(0.01):
            connection.sendall(b".")

    listener.serve(drip)
    with pytest.raises(NoAnswer):
        ask(listener, patience_s=0.3)
    stop.set()


def test_nobody_listening_is_no_answer() -> None:
    with pytest.raises(NoAnswer, match="no connection"):
        Call("dosnapshot", "127.0.0.1:1").post({}, 1.0)


def test_connection_that_the_host_closed_meanwhile_is_made_again(listener: Listener) -> None:
    closed = threading.Event()
    listener.serve(lambda _: closed.set(), says(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"))
    with Call("dosnapshot", listener.address) as call:
        connection = call.connect(10.0)
        connection.recv(1, socket.MSG_PEEK)  # returns when the host has closed
        assert call.post({}, 10.0).status == 200


@pytest.mark.parametrize(
    "told",
    [None, {}, {"year": 2026}, {"year": 2026, "month": 13, "day": 1, "hour": 0, "minute": 0, "second": 0}],
)
def test_host_that_does_not_tell_the_time_tells_nothing(told: object) -> None:
    answer = Answer(200, b"{}")
    answer.content = {"responseTime": told}
    assert host_time(answer) is None
