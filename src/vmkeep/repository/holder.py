"""Which process this is, for good: lets a later one on the same machine know that it has ended."""

import os
from pathlib import Path
from typing import Final

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_NAMESPACE: Final = Path("/proc/self/ns/pid")
_STATE: Final = 0
_STARTED: Final = 19
"""Start time among the fields of /proc/<pid>/stat that follow the name (proc(5), field 22)."""


def this_process() -> str:
    """Return `boot/namespace/pid/start`: no two processes have the same; empty where /proc does not tell."""
    try:
        return f"{_world()}/{os.getpid()}/{_started(os.getpid())}"
    except OSError:
        return ""


def has_ended(process: str) -> bool:
    """Whether a process that `this_process` named has ended for certain; one of another machine or boot never has."""
    try:
        boot, namespace, pid, started = process.split("/")
        if f"{boot}/{namespace}" != _world():
            return False
        return _started(int(pid)) != started
    except FileNotFoundError:
        return True
    except (OSError, ValueError):
        return False


def _world() -> str:
    """Return what makes process ids comparable: this boot of this machine, and the namespace they are counted in."""
    return f"{_BOOT_ID.read_text().strip()}/{_NAMESPACE.readlink()}"


def _started(pid: int) -> str:
    """Return when a process started, in ticks since boot; empty when it is dead but not yet reaped."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return "" if fields[_STATE] in {"Z", "X"} else fields[_STARTED]
