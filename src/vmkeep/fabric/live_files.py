"""A running guest's files, read through qemu-guest-agent: what `OfflineFiles` offers, as the guest itself tells it.

The guest may be hostile: it can tell anything about itself; sizes and time are bounded.
"""

import base64
import posixpath
import stat
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from vmkeep.base.clock import Clock
from vmkeep.base.units import KIB
from vmkeep.fabric import guest_agent
from vmkeep.fabric.errors import GuestAgentRefused, GuestAgentSilent
from vmkeep.fabric.host import Domain
from vmkeep.fabric.offline.collection import WANTED
from vmkeep.fabric.offline.errors import GuestPathNotFound, GuestPathUnfit
from vmkeep.fabric.offline.files import FileFacts, FileSystem, FolderListing, clean
from vmkeep.fabric.offline.probes import DPKG_STATUS, HANDLERS, PROGRAMS, UNIT_FOLDERS, UNIT_NAMES, WANTS

LIMIT_S = 60.0
"""How long all looks into one guest may take together; captures of the VM wait meanwhile."""
_SURVEY_LIMIT_S = 20
_PART = 32 * KIB
_LISTING = 32 * KIB
_MOST_LINKS = 8
_FIELDS = 6
_KINDS = {"f": "regular", "d": "folder", "l": "symlink"}
_PLACES = (
    *(path for path in WANTED if "*" not in path),
    DPKG_STATUS,
    *PROGRAMS,
    *(f"{folder}/{name}" for folder in (*UNIT_FOLDERS, WANTS) for name in UNIT_NAMES),
    "/var/log/azure",
    HANDLERS,
)
_NAMES = {path.rpartition("/")[2] for path in (*WANTED, *_PLACES[:-2], "HandlerManifest.json")}
"""Names of files that the survey looks for."""
_SURVEY = r"""
export LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin
find {places} -maxdepth 3 \( -type d -o {names} \) \
  -printf '%y\t%s\t%m\t%T@\t%l\t%p\0' 2>/dev/null | head -c {limit}
"""


class LiveFiles:
    """Files of a running guest that a survey found. Only regular ones are opened: a pipe could hold the agent up.

    Every method raises GuestAgentSilent, GuestAgentRefused.
    """

    def __init__(self, domain: Domain, clock: Clock) -> None:
        self.vm: str = domain.name()
        self.origin = "the running guest, through qemu-guest-agent"
        self.moment = clock.now()
        self._domain = domain
        self._clock = clock
        self._end = clock.monotonic() + LIMIT_S
        self._facts = read_survey(self._survey())
        self.file_systems: Sequence[FileSystem] = read_file_systems(self._ask("guest-get-fsinfo"))

    def find(self, path: str, *, follow: bool = True) -> FileFacts | None:
        """Return what the survey found at a path, or None; with `follow`, of a symlink what it points to."""
        return self._facts.get(self._resolve(path) if follow else path)

    def _resolve(self, path: str) -> str:
        for _ in range(_MOST_LINKS):
            found = self._facts.get(path)
            if found is None or found.kind != "symlink":
                return path
            path = posixpath.normpath(posixpath.join(posixpath.dirname(path), found.target))
        raise GuestPathUnfit(self.vm, clean(path), "its symlinks go round in circles")

    def exists(self, path: str) -> bool:
        """Whether the survey found something at a path."""
        return self.find(path) is not None

    def list(self, path: str, *, limit: int = 1000) -> FolderListing:
        """Return up to `limit` names of a folder, of those the survey looked for. Raises GuestPathNotFound."""
        if path not in self._facts:
            raise GuestPathNotFound(self.vm, clean(path))
        names = [posixpath.basename(one) for one in self._facts if posixpath.dirname(one) == path]
        return FolderListing(tuple(names[:limit]), more=len(names) > limit)

    def read(self, path: str, *, limit: int, from_end: bool = False) -> bytes:
        """Return up to `limit` bytes of a regular file: its first, or its last. Raises GuestPathNotFound, GuestPathUnfit."""
        path = self._resolve(path)
        found = self._facts.get(path)
        if found is None:
            raise GuestPathNotFound(self.vm, clean(path))
        if found.kind != "regular":
            raise GuestPathUnfit(self.vm, clean(path), "it is not a regular file")
        handle = self._ask("guest-file-open", path=path, mode="rb")
        try:
            if from_end and found.size_bytes > limit:
                self._ask("guest-file-seek", handle=handle, offset=found.size_bytes - limit, whence="set")
            return self._content(handle, limit)
        finally:
            guest_agent.ask(self._domain, "guest-file-close", handle=handle)

    def _content(self, handle: object, limit: int) -> bytes:
        data = bytearray()
        while len(data) < limit:
            part = self._ask("guest-file-read", handle=handle, count=min(limit - len(data), _PART))
            try:
                content = base64.b64decode(part["buf-b64"])
            except (KeyError, TypeError, ValueError) as error:
                raise GuestAgentRefused(self.vm, "guest-file-read", "an answer that is none") from error
            if not content:
                break
            data += content
        return bytes(data[:limit])

    def _survey(self) -> str:
        names = " -o ".join(f"-name '{name}'" for name in sorted(_NAMES))
        script = _SURVEY.format(places=" ".join(_PLACES), names=names, limit=_LISTING)
        return guest_agent.run_script(self._domain, script, limit_s=_SURVEY_LIMIT_S, clock=self._clock)

    def _ask(self, command: str, **arguments: object) -> Any:  # the guest's JSON
        if self._clock.monotonic() > self._end:
            raise GuestAgentSilent(self.vm, command, f"looking into the guest took longer than {LIMIT_S:g} s")
        return guest_agent.ask(self._domain, command, **arguments)


def read_survey(printed: str) -> dict[str, FileFacts]:
    """Return what the survey's script found, by path; lines that are none are left out."""
    facts: dict[str, FileFacts] = {}
    for line in printed.split("\0")[:-1]:
        fields = line.split("\t", _FIELDS - 1)
        try:
            kind, size, mode, modified, target, path = fields
            facts[path] = FileFacts(
                kind=_KINDS.get(kind, "other"),
                size_bytes=max(int(size), 0),
                mode=stat.S_IMODE(int(mode, 8)),
                modified=datetime.fromtimestamp(float(modified), UTC),
                target=clean(target),
            )
        except (ValueError, OverflowError, OSError):
            continue
    return facts


def read_file_systems(told: object) -> tuple[FileSystem, ...]:
    """Return the guest's mounted file systems from `guest-get-fsinfo`; those in no known form are left out."""
    found: list[FileSystem] = []
    for one in told if isinstance(told, list) else ():
        try:
            size, used = int(one.get("total-bytes", 0)), int(one.get("used-bytes", 0))
            free = size - used if size else None
            texts = {key: clean(one[key]) for key in ("name", "type", "mountpoint")}
        except (AttributeError, KeyError, TypeError, ValueError):
            continue
        found.append(
            FileSystem(texts["name"], texts["type"], size, free, "", "", "mounted", texts["mountpoint"])
        )
    return tuple(found)
