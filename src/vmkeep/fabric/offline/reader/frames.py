"""How the reader and its host talk: frames of kind (1 byte), length (4 bytes, big-endian) and payload, over one socket.

The reader begins with an `ANSWER` once it runs. The host sends a request (`ASK`), the reader may ask for bytes of a disk (`WANT`, answered by `BYTES`) as often as it needs,
and ends with an answer (`ANSWER`, JSON, or `DATA`, the bytes of a file). One request at a time.
"""

import socket
import struct

ASK, WANT, BYTES, ANSWER, DATA = b"Q", b"W", b"B", b"A", b"D"
RANGE = struct.Struct(">HQI")
"""A `WANT`: number of the disk, offset, length."""
LARGEST = 4 << 20
"""Longest payload that either side accepts, in bytes."""
_HEAD = struct.Struct(">cI")


class FrameBroken(Exception):
    """The other side closed, or does not keep to the format."""


def send(link: socket.socket, kind: bytes, payload: bytes) -> None:
    """Send one frame. Raises OSError."""
    link.sendall(_HEAD.pack(kind, len(payload)) + payload)


def receive(link: socket.socket) -> tuple[bytes, bytes]:
    """Return the next frame's kind and payload. Raises FrameBroken, OSError."""
    kind, length = _HEAD.unpack(receive_exactly(link, _HEAD.size))
    if length > LARGEST:
        raise FrameBroken(f"a frame of {length} bytes")
    return kind, receive_exactly(link, length)


def receive_exactly(link: socket.socket, length: int) -> bytes:
    """Return `length` bytes. Raises FrameBroken, OSError."""
    data = bytearray(length)
    view = memoryview(data)
    while view:
        count = link.recv_into(view)
        if not count:
            raise FrameBroken("the connection was closed")
        view = view[count:]
    return bytes(data)
