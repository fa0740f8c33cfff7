"""Answer one request after the other on the socket that is standard input, until it is closed."""

import json
import socket
import stat
from typing import Any

from vmkeep.fabric.offline.reader import frames
from vmkeep.fabric.offline.reader.ranges import HostDisk
from vmkeep.fabric.offline.reader.tree import Refused, Tree, build_tree
from vmkeep.fabric.offline.reader.volumes import FAILURES, list_volumes

Json = dict[str, Any]  # JSON values


class Reader:
    """Answers requests about the files of one guest."""

    def __init__(self, link: socket.socket) -> None:
        self._link = link
        self._tree: Tree | None = None

    def answer(self, request: Json) -> Json | bytes:
        """Return what was asked for. Raises Refused."""
        match request["ask"]:
            case "survey":
                return self._survey(request["disks"])
            case "stat":
                entry = self._files.find(request["path"], follow=request["follow"])
                return {"found": None if entry is None else _describe(entry)}
            case "list":
                return self._list(request["path"], request["limit"])
            case "read":
                return self._read(request["path"], request["offset"], request["length"])
            case other:
                raise Refused("unknown-request", str(other))

    @property
    def _files(self) -> Tree:
        if self._tree is None:
            raise Refused("no-system", "no operating system was found")
        return self._tree

    def _survey(self, disks: list[Json]) -> Json:
        known = [(disk["name"], HostDisk(self._link, at, disk["size"])) for at, disk in enumerate(disks)]
        volumes = list_volumes(known)
        why = ""
        try:
            self._tree = build_tree(volumes)
        except Refused as error:
            why = str(error)
        return {"volumes": [volume.to_json() for volume in volumes], "why_no_system": why}

    def _list(self, path: str, limit: int) -> Json:
        folder = self._find(path)
        if not stat.S_ISDIR(folder.file_mode):
            raise Refused("path-unfit", "it is not a folder")
        names: list[str] = []
        for entry in folder.sub_file_entries:
            if len(names) == limit:
                return {"names": names, "more": True}
            if entry.name and "/" not in entry.name and entry.name not in {".", ".."}:
                names.append(entry.name)
        return {"names": names, "more": False}

    def _read(self, path: str, offset: int, length: int) -> bytes:
        entry = self._find(path)
        if not stat.S_ISREG(entry.file_mode):
            raise Refused("path-unfit", "it is not a regular file")
        length = min(length, entry.size - offset, frames.LARGEST)
        data: bytes = entry.read_buffer_at_offset(length, offset) if length > 0 else b""
        return data

    def _find(self, path: str) -> Any:  # the library's entry
        entry = self._files.find(path)
        if entry is None:
            raise Refused("path-not-found", "it does not exist")
        return entry


_KINDS = {
    stat.S_IFREG: "regular",
    stat.S_IFDIR: "folder",
    stat.S_IFLNK: "symlink",
}


def _describe(entry: Any) -> Json:  # the library's entry
    kind = _KINDS.get(stat.S_IFMT(entry.file_mode), "other")
    return {
        "kind": kind,
        "size_bytes": entry.size if kind == "regular" else 0,
        "mode": stat.S_IMODE(entry.file_mode),
        "modified_ns": entry.get_modification_time_as_integer(),
        "target": entry.symbolic_link_target if kind == "symlink" else "",
    }


def serve(link: socket.socket) -> None:
    """Say that the reader runs, then answer until the host closes the socket."""
    reader = Reader(link)
    frames.send(link, frames.ANSWER, b"up")
    while True:
        try:
            kind, payload = frames.receive(link)
        except frames.FrameBroken:
            return
        if kind != frames.ASK:
            return
        try:
            answer = reader.answer(json.loads(payload))
        except Refused as error:
            answer = {"refused": error.kind, "why": str(error)}
        except FAILURES as error:
            answer = {"refused": "damaged", "why": str(error)}
        if isinstance(answer, bytes):
            frames.send(link, frames.DATA, answer)
        else:
            frames.send(link, frames.ANSWER, json.dumps(answer).encode())


if __name__ == "__main__":
    serve(socket.socket(fileno=0))
