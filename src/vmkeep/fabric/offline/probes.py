"""Probes of a guest's files: what they say, with where and as of when. They look, and conclude nothing.

All values are the guest's own words, cleaned: a hostile guest can lie here, but about itself only.
"""

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from vmkeep.base.errors import VmkeepError
from vmkeep.fabric.offline.errors import GuestFilesUnreadable, GuestPathNotFound, GuestPathUnfit
from vmkeep.fabric.offline.files import FileSystem, GuestFiles, clean

Json = dict[str, Any]  # JSON values
LOG = "/var/log/waagent.log"
CONFIG = "/etc/waagent.conf"
DPKG_STATUS = "/var/lib/dpkg/status"
HANDLERS = "/var/lib/waagent"
UNIT_NAMES = ("walinuxagent.service", "waagent.service")
PROGRAMS = ("/usr/sbin/waagent", "/usr/bin/waagent", "/usr/sbin/waagent2.0")
PACKAGES = ("walinuxagent", "waagent")
SIGNATURES = (
    "is running as the goal state agent",
    "[HEARTBEAT]",
    "No route exists to 168.63.129.16",
    "Failed to send DHCP request",
    "Protocol endpoint not found",
    "WireServer is not responding. Reset dhcp endpoint",
    "WireProtocol endpoint is None",
    "No protocol found",
    "Extensions.Enabled=y",
    "Traceback (most recent call last)",
)
"""Parts of lines by which the agent's log tells one trouble from another."""
_TEXT_LIMIT = 1 << 20
_TAIL = 256 << 10
_STATUS_LIMIT = 32 << 20
_MOST_HANDLERS = 50
_MOST_SETTINGS = 200
UNIT_FOLDERS = (
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/lib/systemd/system",
)
WANTS = "/etc/systemd/system/multi-user.target.wants"
_LINE_TIME = re.compile(r"^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?)Z? ")


@dataclass(frozen=True, slots=True)
class Observation:
    """One look at a guest's files: `subject` names it, `path` and `origin` say where, `moment` as of when."""

    subject: str
    path: str
    origin: str
    moment: datetime
    value: Json
    unanswered: str = ""
    """Why there is no value, when the look failed; a failed look is evidence of nothing."""

    def to_json(self) -> Json:
        """Return the observation as JSON values."""
        return {
            "subject": self.subject,
            "path": self.path,
            "origin": self.origin,
            "moment": self.moment.isoformat(),
            "value": self.value,
            "unanswered": self.unanswered,
        }


def look(files: GuestFiles) -> list[Observation]:
    """Return what all probes see; one that fails says why and does not stop the others."""
    probes: list[tuple[str, str, Callable[[GuestFiles], Json]]] = [
        ("os-release", "/etc/os-release", lambda files: read_settings(_text(files, "/etc/os-release"))),
        ("agent-package", DPKG_STATUS, _look_at_package),
        ("agent-program", PROGRAMS[0], _look_at_program),
        ("agent-unit", UNIT_FOLDERS[0], look_at_unit),
        ("agent-config", CONFIG, lambda files: read_settings(_text(files, CONFIG))),
        ("agent-log", LOG, _look_at_log),
        ("handlers", HANDLERS, _look_at_handlers),
        ("file-systems", "/", lambda files: {"file_systems": [_show(one) for one in files.file_systems]}),
    ]
    return [_observe(files, subject, path, probe) for subject, path, probe in probes]


def _observe(files: GuestFiles, subject: str, path: str, probe: Callable[[GuestFiles], Json]) -> Observation:
    try:
        value, unanswered = probe(files), ""
    except GuestPathNotFound:
        value, unanswered = {"present": False}, ""
    except VmkeepError as error:
        value, unanswered = {}, str(error)
    return Observation(subject, path, files.origin, files.moment, value, unanswered)


# pure readers of the guest's formats


def read_settings(text: str) -> dict[str, str]:
    """Return the `NAME=value` lines of os-release or waagent.conf; comments and quotes are taken off."""
    settings: dict[str, str] = {}
    for line in text.splitlines():
        name, equals, value = line.partition("=")
        if equals and not name.lstrip().startswith("#") and len(settings) < _MOST_SETTINGS:
            settings[clean(name.strip())] = clean(value.split(" #")[0].strip().strip("\"'"))
    return settings


def read_package(status: str, names: Iterable[str] = PACKAGES) -> dict[str, str]:
    """Return state and version of the first of these packages in dpkg's status file; `absent` when none is there."""
    for name in names:
        found = re.search(rf"^Package: {re.escape(name)}\n(?:.+\n)*", status, re.MULTILINE)
        if found is not None:
            fields = dict(re.findall(r"^(Status|Version): (.*)$", found[0], re.MULTILINE))
            state = fields.get("Status", "").split(" ")[-1]
            return {"name": name, "state": clean(state), "version": clean(fields.get("Version", ""))}
    return {"state": "absent"}


def read_log(text: str) -> Json:
    """Return the last time in the agent's log, and of each signature its last line and how often it is there."""
    last, signatures = None, dict[str, Json]()
    for line in text.splitlines():
        moment = _line_time(line)
        last = moment or last
        for signature in SIGNATURES:
            if signature in line:
                times = signatures.get(signature, {"times": 0})["times"] + 1
                signatures[signature] = {"times": times, "last": last, "line": clean(line)}
    return {"last": last, "signatures": signatures}


def _line_time(line: str) -> str | None:
    """Return the time a line of the log begins with, in ISO form; None when it has none."""
    found = _LINE_TIME.match(line)
    if found is None:
        return None
    try:
        return datetime.fromisoformat(found[1]).replace(tzinfo=UTC).isoformat()
    except ValueError:
        return None


# looks


def look_at_unit(files: GuestFiles) -> Json:
    """Return whether systemd would start the agent: `enabled`, `disabled`, `masked` or `absent`, and which unit."""
    for name in UNIT_NAMES:
        for folder in UNIT_FOLDERS:
            path = f"{folder}/{name}"
            found = files.find(path, follow=False)
            if found is None:
                continue
            if found.target == "/dev/null" or (found.kind == "regular" and not found.size_bytes):
                return {"unit": name, "state": "masked", "path": path}
            wanted = files.find(f"{WANTS}/{name}", follow=False)
            return {"unit": name, "state": "enabled" if wanted else "disabled", "path": path}
    return {"state": "absent"}


def _look_at_package(files: GuestFiles) -> Json:
    return {"database": "dpkg", **read_package(_text(files, DPKG_STATUS, limit=_STATUS_LIMIT))}


def _look_at_program(files: GuestFiles) -> Json:
    for path in PROGRAMS:
        found = files.find(path)
        if found is not None:
            return {
                "present": True,
                "path": path,
                "mode": oct(found.mode),
                "modified": found.modified.isoformat(),
            }
    return {"present": False}


def _look_at_log(files: GuestFiles) -> Json:
    tail = files.read(LOG, limit=_TAIL, from_end=True).decode("utf-8", "replace")
    return read_log(tail)


def _look_at_handlers(files: GuestFiles) -> Json:
    names = [name for name in files.list(HANDLERS).names if re.fullmatch(r"[\w.]+-\d[\w.]*", name)]
    handlers = {clean(name): _look_at_handler(files, f"{HANDLERS}/{name}") for name in names[:_MOST_HANDLERS]}
    return {"handlers": handlers}


def _look_at_handler(files: GuestFiles, folder: str) -> Json:
    return {
        "state": clean(_text_if_there(files, f"{folder}/config/HandlerState").strip()),
        "status": _json_if_there(files, f"{folder}/config/HandlerStatus"),
        "has_environment": files.exists(f"{folder}/HandlerEnvironment.json"),
        "has_manifest": files.exists(f"{folder}/HandlerManifest.json"),
    }


def _text(files: GuestFiles, path: str, *, limit: int = _TEXT_LIMIT) -> str:
    return files.read(path, limit=limit).decode("utf-8", "replace")


def _text_if_there(files: GuestFiles, path: str) -> str:
    try:
        return _text(files, path)
    except (GuestPathNotFound, GuestPathUnfit, GuestFilesUnreadable):
        return ""


def _json_if_there(files: GuestFiles, path: str) -> Json:
    """Return the plain members of a JSON object, cleaned; empty when there is none."""
    try:
        told = json.loads(_text_if_there(files, path) or "{}")
    except (ValueError, RecursionError):
        return {}
    if not isinstance(told, dict):
        return {}
    return {clean(name): clean(value) for name, value in told.items() if isinstance(value, str | int | float)}


def _show(one: FileSystem) -> Json:
    return {
        "name": one.name,
        "kind": one.kind,
        "mounted_at": one.mounted_at,
        "size_bytes": one.size_bytes,
        "free_bytes": one.free_bytes,
        "journal": one.journal,
    }
