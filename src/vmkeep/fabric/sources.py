"""Reading restore points: straight from the frozen files, never from the layer the guest writes to."""

import json
import os
import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from vmkeep.fabric.chain import Chain, Image, paths, read_chain
from vmkeep.fabric.errors import DiskIoFailed, DiskVanished, FrozenLayerWritten
from vmkeep.fabric.extents import OPAQUE, ZERO, Piece, image_spec, map_images
from vmkeep.fabric.nbd import NbdImage
from vmkeep.fabric.points import PointRecord, written_files
from vmkeep.model.disk_io import DiskSource, Extent
from vmkeep.model.restore_point import CapturedDisk, Warned


class FrozenDisk:
    """One disk of a restore point; see `DiskSource`. Whole when `layers` is the whole chain."""

    def __init__(self, name: str, chain: Chain, layers: Sequence[Image]) -> None:
        self.name = name
        self.size_bytes = chain[-1].size_bytes
        self.incremental = len(layers) < len(chain)
        self._chain = chain
        self._map = map_images(layers, size_bytes=self.size_bytes)
        self._opening = threading.Lock()
        self._files: dict[int, int] = {}
        self._nbd: NbdImage | None = None

    def extents(self) -> Iterator[Extent]:
        """Yield the ranges to look at, ascending."""
        return self._map.extents()

    def read(self, offset: int, length: int) -> bytes:
        """Return exactly `length` bytes at `offset`, changed or not. Raises DiskIoFailed, DiskVanished."""
        if offset < 0 or length < 0 or offset + length > self.size_bytes:
            raise DiskIoFailed("read", self._path, f"{length} bytes at {offset} are not within the disk")
        return b"".join(self._read_part(part) for part in self._map.cut(offset, length))

    def close(self) -> None:
        """Let go of files and servers."""
        for descriptor in self._files.values():
            os.close(descriptor)
        self._files.clear()
        if self._nbd is not None:
            self._nbd.close()
            self._nbd = None

    @property
    def _path(self) -> str:
        return self._chain[-1].path

    def _read_part(self, part: Piece | tuple[int, int]) -> bytes:
        if isinstance(part, tuple):  # not in the map: nothing is there, or it is older than the map
            start, length = part
            return self._server().read(start, length) if self.incremental else bytes(length)
        if part.file == ZERO:
            return bytes(part.length)
        if part.file == OPAQUE:
            return self._server().read(part.start, part.length)
        return self._read_plain(part)

    def _read_plain(self, piece: Piece) -> bytes:
        descriptor, parts = self._descriptor(piece.file), []
        at, end = piece.offset, piece.offset + piece.length
        try:
            while at < end:
                # a file may end within its last sector or cluster; QEMU reads zeros there
                part = os.pread(descriptor, end - at, at) or bytes(end - at)
                parts.append(part)
                at += len(part)
        except OSError as error:
            raise DiskIoFailed("read", self._image(piece.file).path, str(error)) from error
        return b"".join(parts)

    def _image(self, depth: int) -> Image:
        return self._chain[-1 - depth]

    def _descriptor(self, depth: int) -> int:
        with self._opening:
            if depth not in self._files:
                path = self._image(depth).path
                try:
                    self._files[depth] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                except FileNotFoundError as error:
                    raise DiskVanished(path, self.name) from error
            return self._files[depth]

    def _server(self) -> NbdImage:
        with self._opening:
            if self._nbd is None:
                # force-share: never stand in the way of a VM or a merge that wants to lock one of the files
                spec = {**image_spec(self._chain, whole=True), "read-only": True, "force-share": True}
                self._nbd = NbdImage(["--read-only", f"json:{json.dumps(spec)}"], path=self._path)
            return self._nbd


@dataclass(slots=True)
class DiskSet:
    """The disks of a restore point, open for reading until the `with` block ends.

    `healed` says for which disks, and why, the whole disk has to be read although an incremental was asked for.
    """

    disks: list[DiskSource]
    healed: tuple[Warned, ...]
    _open: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of everything."""
        self._open.close()


def open_sources(
    point: PointRecord, since: PointRecord | None, held: ExitStack, *, folding: Collection[str] = ()
) -> DiskSet:
    """Open the disks of `point`; incremental where what changed after `since` is known for certain.

    `folding`: files that a merge writes to; with the layers above them they read as ever.
    `held` is closed with the set, or at once when opening fails.
    Raises DiskVanished, FrozenLayerWritten, ImageUnreadable.
    """
    with held:
        point, since = point.unstamped(folding), since and since.unstamped(folding)
        disks: list[DiskSource] = []
        healed: list[Warned] = []
        for disk in point.point.disks:
            chain = read_chain(disk.path, disk.format, disk=disk.name)
            written = written_files(point, disk.chain)
            if written:
                raise FrozenLayerWritten(point.point.id, written[0])
            layers, why = _layers_to_read(disk, chain, since)
            if why:
                healed.append(Warned("WholeDiskRead", f"disk {disk.name} is read as a whole: {why}"))
            source = FrozenDisk(disk.name, chain, layers)
            held.callback(source.close)
            disks.append(source)
        return DiskSet(disks, tuple(healed), held.pop_all())
    raise AssertionError  # an ExitStack without exits swallows nothing


def _layers_to_read(disk: CapturedDisk, chain: Chain, since: PointRecord | None) -> tuple[Chain, str]:
    """Return the files to map, base first, and why that is the whole chain although `since` was given."""
    if since is None:
        return chain, ""
    before = since.disk(disk.name)
    why = _obstacle(disk, before, chain, since)
    if why or before is None:
        return chain, why
    return chain[paths(chain).index(before.path) + 1 :], ""


def _obstacle(disk: CapturedDisk, before: CapturedDisk | None, chain: Chain, since: PointRecord) -> str:
    if before is None:
        return "the previous restore point does not have it"
    files = paths(chain)
    if files != disk.chain:
        foreign = sorted(set(files) ^ set(disk.chain))
        return f"its chain is not the one that was captured ({', '.join(foreign) or 'order'})"
    if before.path not in files:
        return f"it was replaced: {before.path} is not part of it any more"
    if before.size_bytes != disk.size_bytes:
        return f"its size changed from {before.size_bytes} to {disk.size_bytes} bytes"
    written = written_files(since, before.chain)
    return f"{written[0]} was written to after it was frozen" if written else ""
