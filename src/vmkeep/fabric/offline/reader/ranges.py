"""Bytes that can be read at an offset: a disk, a part of it, and the same as a stream for the libraries."""

import os
import socket
from collections import OrderedDict
from typing import Protocol

from vmkeep.fabric.offline.reader import frames

BLOCK = 64 << 10
"""What is asked of the host at a time, in bytes."""
KEPT_BLOCKS = 512


class Range(Protocol):
    """Bytes that can be read at an offset."""

    size: int

    def read_at(self, offset: int, length: int) -> bytes:
        """Return the bytes there are between `offset` and `offset + length`."""
        ...


class HostDisk:
    """A disk that the host reads for us; the blocks used last are kept."""

    def __init__(self, link: socket.socket, number: int, size: int) -> None:
        self.size = size
        self._link = link
        self._number = number
        self._kept: OrderedDict[int, bytes] = OrderedDict()

    def read_at(self, offset: int, length: int) -> bytes:
        """Return the bytes there are between `offset` and `offset + length`."""
        end = min(offset + length, self.size)
        if offset < 0 or offset >= end:
            return b""
        first = offset // BLOCK
        found = b"".join(self._block(number) for number in range(first, (end - 1) // BLOCK + 1))
        return found[offset - first * BLOCK : end - first * BLOCK]

    def _block(self, number: int) -> bytes:
        block = self._kept.pop(number, None)
        if block is None:
            block = self._fetch(number * BLOCK)
            if len(self._kept) >= KEPT_BLOCKS:
                self._kept.popitem(last=False)
        self._kept[number] = block
        return block

    def _fetch(self, offset: int) -> bytes:
        length = min(BLOCK, self.size - offset)
        frames.send(self._link, frames.WANT, frames.RANGE.pack(self._number, offset, length))
        kind, data = frames.receive(self._link)
        if kind != frames.BYTES or len(data) != length:
            raise frames.FrameBroken("the host sent something else than the bytes asked for")
        return data


class Part:
    """A part of a range, such as a partition; it never reaches beyond the range."""

    def __init__(self, under: Range, start: int, size: int) -> None:
        self._under = under
        self._start = start
        self.size = max(min(size, under.size - start), 0)

    def read_at(self, offset: int, length: int) -> bytes:
        """Return the bytes there are between `offset` and `offset + length`."""
        if offset < 0 or offset >= self.size:
            return b""
        return self._under.read_at(self._start + offset, min(length, self.size - offset))


class Stream:
    """A range as the libraries want it."""

    def __init__(self, under: Range) -> None:
        self._under = under
        self._at = 0

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes."""
        data = self._under.read_at(self._at, self._under.size - self._at if size < 0 else size)
        self._at += len(data)
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to an offset and return it."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._under.size}[whence]
        self._at = max(base + offset, 0)
        return self._at

    def tell(self) -> int:
        """Return where the stream is."""
        return self._at

    def get_size(self) -> int:
        """Return how long the stream is."""
        return self._under.size
