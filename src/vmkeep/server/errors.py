"""Why `vmkeep up` cannot start."""

from dataclasses import dataclass

from vmkeep.base.errors import Retry, VmkeepError


@dataclass(eq=False)
class StateDirUnusable(VmkeepError):
    """The state folder cannot be made or is open to others."""

    retry = Retry.AFTER_CHANGE
    text = "cannot use the state folder {e.path}: {e.why}"
    remedy = "Run as root, or name another folder with --state-dir."
    path: str
    why: str


@dataclass(eq=False)
class AlreadyRunning(VmkeepError):
    """Another process uses the state folder."""

    retry = Retry.AFTER_CHANGE
    text = "vmkeep is already running with the state folder {e.path}"
    remedy = "Use the running one, stop it first, or start with another --state-dir."
    path: str


@dataclass(eq=False)
class CannotListen(VmkeepError):
    """The API's address cannot be had."""

    retry = Retry.AFTER_CHANGE
    text = "cannot listen on {e.address}:{e.port}: {e.why}"
    remedy = "Stop what uses the port, or choose another one with --port."
    address: str
    port: int
    why: str


@dataclass(eq=False)
class KeyFileUnreadable(VmkeepError):
    """A key or certificate file in the state folder is damaged."""

    retry = Retry.AFTER_CHANGE
    text = "{e.path} cannot be read: {e.why}"
    remedy = "Restore it from a copy, or remove it: a new one is made at the next start and clients must be set up anew."
    path: str
    why: str
