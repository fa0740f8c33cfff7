"""Collects what the agent left in a guest as one archive: bounded, with a manifest, secrets taken out."""

import io
import json
import re
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from vmkeep.base.errors import VmkeepError
from vmkeep.base.units import MIB
from vmkeep.fabric.errors import GuestAgentSilent
from vmkeep.fabric.offline.errors import GuestPathNotFound, GuestPathUnfit
from vmkeep.fabric.offline.files import GuestFiles, clean
from vmkeep.fabric.offline.probes import CONFIG, LOG, Json, look
from vmkeep.fabric.offline.redaction import redact

FILE_LIMIT = 4 * MIB
"""What is taken of one file, from its end."""
TOTAL_LIMIT = 64 * MIB
MOST_FILES = 500
_BINARY = re.compile(rb"[\x01-\x08\x0e-\x1a\x1c-\x1f]")
"""What no text has. Zeros alone are no sign: they are in the log of a guest that had no time to write its last lines."""
_LOST = re.compile(rb"\0[^\n]*\n?")
"""Zeros and the rest of their line, which could be a secret whose name is lost."""
WANTED = (
    "/etc/os-release",
    "/usr/lib/os-release",
    CONFIG,
    LOG,
    "/var/log/azure/*.log",
    "/var/log/azure/*/*.log",
    "/var/lib/waagent/*.xml",
    "/var/lib/waagent/*/config/HandlerState",
    "/var/lib/waagent/*/config/HandlerStatus",
    "/var/lib/waagent/*/HandlerEnvironment.json",
    "/var/lib/waagent/*/status/*.status",
)
"""Paths in the guest; `*` stands for any one name. Settings of extensions and keys are not among them."""


@dataclass(slots=True)
class _Archive:
    """A tar archive in the making, and the list of what is in it."""

    files: GuestFiles
    bytes_taken: int = 0
    listed: list[Json] = field(default_factory=list)
    content: dict[str, bytes] = field(default_factory=dict)

    def add(self, path: str) -> None:
        """Take a file of the guest in; when that cannot be, say why."""
        entry: Json = {"path": clean(path)}
        self.listed.append(entry)
        room = min(FILE_LIMIT, TOTAL_LIMIT - self.bytes_taken)
        try:
            found = self.files.find(path)
            data = self.files.read(path, limit=room, from_end=True)
        except GuestAgentSilent:
            raise  # nothing more will be heard of this guest: another way to its files may do better
        except VmkeepError as error:
            entry["left_out"] = str(error)
            return
        size = found.size_bytes if found else 0
        zeros = data.count(0)
        if zeros and _BINARY.search(data):
            entry["left_out"] = "it is not a text, so secrets in it could not be found"
            return
        self.bytes_taken += len(data)
        if size > len(data):
            data = data.partition(b"\n")[2]  # a line that was cut could hold the end of a secret
        text, redacted = redact(_LOST.sub(b"", data).decode("utf-8", "replace"))
        name = self._free_name(path)
        self.content[name] = text.encode()
        entry |= {"name": name, "size_bytes": size, "truncated": size > room, "redacted": redacted}
        if zeros:
            entry["zero_bytes"] = zeros

    def _free_name(self, path: str) -> str:
        """Return a harmless name in the archive that no other member has."""
        parts = [
            re.sub(r"[^\w.@-]", "_", part, flags=re.ASCII).lstrip(".") or "_"
            for part in path.split("/")
            if part
        ]
        name = "/".join(["guest", *parts])
        return f"{name}.{len(self.listed)}" if name in self.content else name


def collect(files: GuestFiles) -> dict[str, bytes]:
    """Return the wanted files of a guest, manifest.json and observations.json, by name. Raises GuestAgentSilent."""
    archive = _Archive(files)
    for path in _wanted_paths(files):
        archive.add(path)
    manifest = {
        "vm": files.vm,
        "origin": files.origin,
        "moment": files.moment.isoformat(),
        "files": archive.listed,
    }
    observations = json.dumps([one.to_json() for one in look(files)], indent=1)
    return {
        "manifest.json": json.dumps(manifest, indent=1).encode(),
        "observations.json": without_secrets(observations),
        **archive.content,
    }


def collect_nothing(vm: str) -> dict[str, bytes]:
    """Return the manifest of a guest whose files cannot be reached."""
    return {"manifest.json": json.dumps({"vm": vm, "origin": None, "moment": None, "files": []}).encode()}


def without_secrets(text: str) -> bytes:
    """Return a text of ours or of a guest as it may go into an archive."""
    return redact(text)[0].encode()


def _wanted_paths(files: GuestFiles) -> list[str]:
    found = dict.fromkeys(path for pattern in WANTED for path in _matching(files, "", pattern[1:].split("/")))
    return list(found)[:MOST_FILES]


def _matching(files: GuestFiles, folder: str, parts: list[str], *, searched: bool = False) -> Iterator[str]:
    """Yield the paths below `folder` that the parts of a pattern stand for.

    From the first folder that is searched on, no symlink is followed: it could lead to what was not asked for.
    """
    part, rest = parts[0], parts[1:]
    searched = searched or "*" in part
    if searched and not _is(files, folder, "folder"):
        return
    names = [part] if "*" not in part else [name for name in _names(files, folder) if fnmatchcase(name, part)]
    for name in names:
        if rest:
            yield from _matching(files, f"{folder}/{name}", rest, searched=searched)
        elif _is(files, f"{folder}/{name}", "regular"):
            yield f"{folder}/{name}"


def _names(files: GuestFiles, folder: str) -> tuple[str, ...]:
    try:
        return files.list(folder, limit=MOST_FILES).names
    except (GuestPathNotFound, GuestPathUnfit):
        return ()


def _is(files: GuestFiles, path: str, kind: str) -> bool:
    """Whether there is something of a kind at a path, not just a symlink to it."""
    try:
        found = files.find(path, follow=False)
    except GuestPathUnfit:
        return False
    return found is not None and found.kind == kind


def pack(content: Mapping[str, bytes], *, unreached: Sequence[str], at: float) -> bytes:
    """Return a tar.gz of these files; `unreached` says why better ways to the guest's files failed."""
    manifest = json.loads(content["manifest.json"]) | {"unreached": list(unreached)}
    content = {**content, "manifest.json": json.dumps(manifest, indent=1).encode()}
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", compresslevel=6) as tar:
        for name, data in content.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode, member.mtime = len(data), 0o600, int(at)
            tar.addfile(member, io.BytesIO(data))
    return packed.getvalue()
