"""A guest's files, read from outside by the sandboxed reader; whatever it answers is checked before it is believed."""

import json
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from vmkeep.base.clock import Clock
from vmkeep.base.errors import VmkeepError
from vmkeep.fabric.offline.errors import (
    GuestFilesUnreadable,
    GuestPathNotFound,
    GuestPathUnfit,
    GuestSystemNotFound,
    OfflineReadTimedOut,
)
from vmkeep.fabric.offline.reader import frames
from vmkeep.fabric.offline.sandbox import running_reader
from vmkeep.model.disk_io import DiskSource

REQUEST_LIMIT_S = 60.0
SESSION_LIMIT_S = 300.0
"""How long one reader may take for all it is asked."""
LONGEST_TEXT = 500


@dataclass(frozen=True, slots=True)
class FileSystem:
    """What is in a partition, on a whole disk or in a logical volume; texts are the guest's, cleaned."""

    name: str
    kind: str
    size_bytes: int
    free_bytes: int | None
    """As its superblock says, which a running guest does not always keep up to date."""
    uuid: str
    label: str
    journal: str
    """Whether what the guest wrote last was brought in: `clean`, `replayed (…)`, `not replayed`, `damaged: …`."""
    mounted_at: str
    """Where it is in the guest's tree; empty when nowhere."""


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What is at a path. `kind` is regular, folder, symlink or other; `target` is a symlink's."""

    kind: str
    size_bytes: int
    mode: int
    modified: datetime
    target: str


@dataclass(frozen=True, slots=True)
class FolderListing:
    """Names in a folder; `more` when there are more than were asked for."""

    names: tuple[str, ...]
    more: bool


class GuestFiles(Protocol):
    """The files of one guest at one moment, however they are reached; `OfflineFiles` says what the methods promise."""

    vm: str
    origin: str
    moment: datetime
    file_systems: Sequence[FileSystem]

    def find(self, path: str, *, follow: bool = True) -> FileFacts | None:
        """Return what is at a path, or None."""
        ...

    def exists(self, path: str) -> bool:
        """Whether there is something at a path."""
        ...

    def list(self, path: str, *, limit: int = 1000) -> FolderListing:
        """Return names of a folder."""
        ...

    def read(self, path: str, *, limit: int, from_end: bool = False) -> bytes:
        """Return a regular file's first or last bytes."""
        ...


class OfflineFiles:
    """The files of one guest at one moment. `path` is absolute, as the guest would see it.

    Every method raises OfflineReadTimedOut, GuestFilesUnreadable, GuestSystemNotFound, and what reading the disk raises.
    """

    def __init__(
        self,
        link: socket.socket,
        disks: Sequence[DiskSource],
        *,
        vm: str,
        origin: str,
        moment: datetime,
        clock: Clock,
        limit_s: float,
        confirm: Callable[[], None],
    ) -> None:
        self.vm = vm
        self.origin = origin
        """What is read, such as `restore point x`."""
        self.moment = moment
        """When the files were as they are read."""
        self._link = link
        self._disks = disks
        self._clock = clock
        self._limit_s = limit_s
        self._confirm = confirm
        self._session_end = clock.monotonic() + SESSION_LIMIT_S
        self._ended: VmkeepError | None = None
        survey = self._ask({"ask": "survey", "disks": [_disk(disk) for disk in disks]})
        with self._believing():
            self.file_systems: Sequence[FileSystem] = tuple(
                _file_system(volume) for volume in survey["volumes"]
            )
            self._why_no_system = clean(survey["why_no_system"])

    def find(self, path: str, *, follow: bool = True) -> FileFacts | None:
        """Return what is at a path, or None; with `follow`, of a symlink what it points to. Raises GuestPathUnfit."""
        answer = self._ask({"ask": "stat", "path": path, "follow": follow}, path)
        with self._believing():
            return None if answer["found"] is None else _facts(answer["found"])

    def exists(self, path: str) -> bool:
        """Whether there is something at a path. Raises GuestPathUnfit."""
        return self.find(path) is not None

    def list(self, path: str, *, limit: int = 1000) -> FolderListing:
        """Return up to `limit` names of a folder, as the guest wrote them. Raises GuestPathNotFound, GuestPathUnfit."""
        answer = self._ask({"ask": "list", "path": path, "limit": limit}, path)
        with self._believing():
            names = tuple(str(name) for name in answer["names"] if "/" not in name)[:limit]
            return FolderListing(names, more=bool(answer["more"]))

    def read(self, path: str, *, limit: int, from_end: bool = False) -> bytes:
        """Return up to `limit` bytes of a regular file: its first, or its last. Raises GuestPathNotFound, GuestPathUnfit."""
        found = self.find(path)
        if found is None:
            raise GuestPathNotFound(self.vm, clean(path))
        start = max(found.size_bytes - limit, 0) if from_end else 0
        data = bytearray()
        while len(data) < limit:
            length = min(limit - len(data), frames.LARGEST)
            part = self._bytes(
                {"ask": "read", "path": path, "offset": start + len(data), "length": length}, path
            )
            data += part
            if not part:
                break
        return bytes(data[:limit])

    def _ask(self, request: dict[str, Any], path: str = "") -> dict[str, Any]:  # JSON values
        kind, payload = self._exchange(request)
        with self._believing():
            answer = json.loads(payload) if kind == frames.ANSWER else None
            if not isinstance(answer, dict):
                raise TypeError("not a JSON object")
        if "refused" in answer:
            raise self._refusal(answer, clean(path))
        return answer

    def _bytes(self, request: dict[str, Any], path: str) -> bytes:  # JSON values
        kind, payload = self._exchange(request)
        if kind == frames.DATA:
            return payload
        with self._believing():
            raise self._refusal(json.loads(payload), clean(path))
        raise AssertionError  # the context above swallows nothing

    def _refusal(self, answer: dict[str, Any], path: str) -> VmkeepError:  # JSON values
        why = clean(answer.get("why", ""))
        match answer.get("refused"):
            case "path-not-found":
                return GuestPathNotFound(self.vm, path)
            case "path-unfit":
                return GuestPathUnfit(self.vm, path, why)
            case "no-system":
                return GuestSystemNotFound(self.vm, self._why_no_system or why)
            case _:
                return GuestFilesUnreadable(self.vm, why or "the reader gave no reason")

    def _exchange(self, request: dict[str, Any]) -> tuple[bytes, bytes]:  # JSON values
        """Send a request and return its answer; disks are read for the reader meanwhile, until the time is up.

        After a failure nothing more is asked: the next answer could be a late one, to another question.
        """
        if self._ended is not None:
            raise self._ended
        end = min(self._clock.monotonic() + self._limit_s, self._session_end)
        try:
            frames.send(self._link, frames.ASK, json.dumps(request).encode())
            while True:
                left_s = end - self._clock.monotonic()
                if left_s <= 0:
                    raise TimeoutError  # noqa: TRY301 - as the socket does
                self._link.settimeout(left_s)
                kind, payload = frames.receive(self._link)
                if kind != frames.WANT:
                    self._confirm()
                    return kind, payload
                frames.send(self._link, frames.BYTES, self._read_disk(payload))
        except TimeoutError as error:
            self._ended = OfflineReadTimedOut(self.vm, self._limit_s)
            raise self._ended from error
        except (OSError, frames.FrameBroken) as error:
            self._ended = GuestFilesUnreadable(self.vm, f"the reader ended before it answered ({error})")
            raise self._ended from error

    def _read_disk(self, wanted: bytes) -> bytes:
        with self._believing():
            number, offset, length = frames.RANGE.unpack(wanted)
            if length > frames.LARGEST:
                raise ValueError("it asks for too much at a time")
            disk: DiskSource = self._disks[number]
            if offset + length > disk.size_bytes:
                raise ValueError("it asks for more than the disk has")
        return disk.read(offset, length)

    @contextmanager
    def _believing(self) -> Iterator[None]:
        """Turn what is wrong with an answer into an error: the reader may have been taken over by what it read."""
        try:
            yield
        except (ValueError, KeyError, TypeError, IndexError, AttributeError, OverflowError) as error:
            raise GuestFilesUnreadable(
                self.vm, f"the reader answers nonsense: {error!r}"[:LONGEST_TEXT]
            ) from error


@contextmanager
def reading_offline(
    disks: Sequence[DiskSource],
    *,
    vm: str,
    origin: str,
    moment: datetime,
    clock: Clock,
    limit_s: float = REQUEST_LIMIT_S,
    confirm: Callable[[], None] = lambda: None,
) -> Iterator[OfflineFiles]:
    """Start a reader over the disks of a guest; it is ended with the context.

    `confirm` is called after every answer and raises when the disks are no longer what they were.
    Raises OfflineReaderUnavailable, OfflineReadTimedOut, GuestFilesUnreadable.
    """
    with running_reader() as link:
        yield OfflineFiles(
            link, disks, vm=vm, origin=origin, moment=moment, clock=clock, limit_s=limit_s, confirm=confirm
        )


def clean(text: object) -> str:
    """Return a guest's text fit for people: no control characters, no endless length."""
    return "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in str(text)[:LONGEST_TEXT]
    )


def _disk(disk: DiskSource) -> dict[str, object]:
    return {"name": disk.name, "size": disk.size_bytes}


def _file_system(told: dict[str, Any]) -> FileSystem:  # JSON values
    free = told["free_bytes"]
    return FileSystem(
        name=clean(told["name"]),
        kind=clean(told["kind"]),
        size_bytes=int(told["size_bytes"]),
        free_bytes=None if free is None else int(free),
        uuid=clean(told["uuid"]),
        label=clean(told["label"]),
        journal=clean(told["journal"]),
        mounted_at=clean(told["mounted_at"]),
    )


def _facts(told: dict[str, Any]) -> FileFacts:  # JSON values
    return FileFacts(
        kind=clean(told["kind"]),
        size_bytes=int(told["size_bytes"]),
        mode=int(told["mode"]),
        modified=datetime.fromtimestamp(int(told["modified_ns"]) / 1e9, UTC),
        target=clean(told["target"]),
    )
