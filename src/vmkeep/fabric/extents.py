"""Where the bytes of a frozen disk are: which file, at which offset.

What changed between two restore points is what is allocated in the layers between them. QEMU's own block status
(`qemu-img map`) tells it, with the offset of each range in its file; the tables of the images are never read here.
"""

import json
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from vmkeep.fabric import qemu_img
from vmkeep.fabric.chain import Image
from vmkeep.fabric.tool_secret import NAME
from vmkeep.model.disk_io import Extent, ExtentKind

ZERO = -1
OPAQUE = -2
"""Data without a plain place in a file of the chain: compressed clusters, or an external data file."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A range of a disk and where it is: `file` counts from the newest file of the map, or is ZERO or OPAQUE."""

    start: int
    length: int
    file: int
    offset: int

    @property
    def end(self) -> int:
        """First byte after the range."""
        return self.start + self.length


@dataclass(slots=True)
class ExtentMap:
    """Ascending pieces of one disk, in 28 bytes each: there may be millions."""

    _starts: "array[int]" = field(default_factory=lambda: array("Q"))
    _lengths: "array[int]" = field(default_factory=lambda: array("Q"))
    _offsets: "array[int]" = field(default_factory=lambda: array("Q"))
    _files: "array[int]" = field(default_factory=lambda: array("l"))

    def append(self, piece: Piece) -> None:
        """Add a piece after the last one, joining the two where they are one range in one place."""
        last = self[len(self) - 1] if self._starts else None
        if last and last.end == piece.start and _continues(last, piece):
            self._lengths[-1] += piece.length
            return
        self._starts.append(piece.start)
        self._lengths.append(piece.length)
        self._offsets.append(piece.offset)
        self._files.append(piece.file)

    def __len__(self) -> int:
        return len(self._starts)

    def __getitem__(self, index: int) -> Piece:
        return Piece(self._starts[index], self._lengths[index], self._files[index], self._offsets[index])

    def extents(self) -> Iterator[Extent]:
        """Yield the ranges as the repository wants them."""
        for index in range(len(self)):
            kind = ExtentKind.ZERO if self._files[index] == ZERO else ExtentKind.DATA
            yield Extent(self._starts[index], self._lengths[index], kind)

    def cut(self, start: int, length: int) -> Iterator[Piece | tuple[int, int]]:
        """Yield what covers a range, in order: pieces cut to it, and (start, length) where the map has a gap."""
        at, end = start, start + length
        index = max(bisect_right(self._starts, start) - 1, 0)
        while at < end:
            piece = self[index] if index < len(self) else None
            if piece is None or piece.start >= end:
                yield at, end - at
                return
            if piece.start > at:
                yield at, piece.start - at
                at = piece.start
            if piece.end > at:
                size = min(piece.end, end) - at
                yield Piece(at, size, piece.file, piece.offset + at - piece.start)
                at += size
            index += 1


def _continues(last: Piece, piece: Piece) -> bool:
    if last.file != piece.file:
        return False
    return piece.file < 0 or last.offset + last.length == piece.offset


def image_spec(images: Sequence[Image], *, whole: bool) -> dict[str, Any]:  # QEMU's block options
    """Return QEMU's description of the newest files of a chain (base first), with all else cut off.

    `whole`: the images begin with the chain's base; otherwise what is below them reads as unallocated.
    Encrypted ones are opened by the secret that `tool_secret` names.
    """
    spec: dict[str, Any] | None = None
    for image in images:
        layer: dict[str, Any] = {
            "driver": str(image.format),
            "file": {"driver": "file", "filename": image.path},
        }
        if image.format == "qcow2" and (spec is not None or not whole):
            layer["backing"] = spec
        if image.format == "luks":
            layer["key-secret"] = NAME
        elif image.encrypted:
            layer["encrypt"] = {"format": "luks", "key-secret": NAME}
        spec = layer
    assert spec is not None  # noqa: S101 - callers pass at least one image
    return spec


def map_images(images: Sequence[Image], *, size_bytes: int, key: str | None = None) -> ExtentMap:
    """Return what is allocated in these files, base first; nothing below them counts.

    QEMU tells no place in the file for what is encrypted: it is all read through QEMU.
    Raises DiskVanished, DiskKeyMissing, DiskKeyWrong, ImageUnreadable.
    """
    if not images:
        return ExtentMap()
    spec = json.dumps(image_spec(images, whole=False))
    arguments = ["map", "-U", "--output=json", f"json:{spec}"]
    with qemu_img.lines(arguments, path=images[-1].path, key=key) as lines:
        plain = [image.plain for image in reversed(images)]
        return read_map(lines, size_bytes=size_bytes, plain=plain)


def read_map(lines: Iterable[str], *, size_bytes: int, plain: Sequence[bool]) -> ExtentMap:
    """Read what `qemu-img map --output=json` prints: one range a line. Ranges nobody allocated are left out.

    `plain` tells of each file, newest first, whether offsets are offsets in that file.
    """
    found = ExtentMap()
    for line in lines:
        text = line.strip().strip("[],")
        if not text:
            continue
        entry = json.loads(text)
        length = min(entry["length"], size_bytes - entry["start"])
        if entry["present"] and length > 0:
            found.append(_read_entry(entry, length, plain))
    return found


def _read_entry(entry: dict[str, Any], length: int, plain: Sequence[bool]) -> Piece:  # qemu-img's JSON
    if entry["zero"]:
        return Piece(entry["start"], length, ZERO, 0)
    if "offset" not in entry or not plain[entry["depth"]]:
        return Piece(entry["start"], length, OPAQUE, 0)
    return Piece(entry["start"], length, entry["depth"], entry["offset"])
