"""The last resort: a process apart that thaws when both others that could are gone, or forget to.

It stands outside of the agent's session and control group and under a name of its own, so that what ends the extension,
or every Python, does not end it too. While anything is frozen it touches no file system.
"""

import ctypes
import fcntl
import os
import select
import socket
import time
from contextlib import suppress

from vmkeep_guest.apart import detach, let_go, make_unkillable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vmkeep_guest.apart import Ioctl

READY, FREEZE, THAWED, END = b"R", b"F", b"T", b"E"
"""What it says: I watch. What it is told: a freeze begins · nothing is frozen by us any more · go."""

_LATE_S = 5.0
"""The freezer keeps its own deadline; this much later it has forgotten it."""
_NAME = b"vmkeep-thaw"
_PR_SET_NAME = 15
_ROOT_GROUPS = ("/sys/fs/cgroup/cgroup.procs", "/sys/fs/cgroup/systemd/cgroup.procs")
_ARG_START, _ARG_END = 45, 46
"""Places in /proc/self/stat after the name (proc(5): fields 48 and 49)."""


def start(mounts: "list[int]", hold_s: float, ioctl: "Ioctl" = fcntl.ioctl) -> int:
    """Start the guard of these mounts; return the line that leads to it.

    It thaws after a FREEZE without THAWED: `hold_s` and some later, or when nobody holds the line any more.
    """
    line, guards = socket.socketpair()
    parent = os.fork()
    if parent == 0:
        os.setsid()
        if os.fork() == 0:
            with suppress(BaseException):
                _watch(mounts, guards.fileno(), hold_s, ioctl)
        os._exit(0)
    os.waitpid(parent, 0)
    guards.close()
    return line.detach()


def await_ready(line: int) -> None:
    """Return when the guard watches; a freeze without it is still guarded by two others."""
    if select.select([line], [], [], _LATE_S)[0]:
        os.read(line, len(READY))


def tell(line: int, word: bytes) -> None:
    """Tell the guard; one that was killed does not hear it."""
    with suppress(OSError):
        os.write(line, word)


def dismiss(line: int) -> None:
    """Return when the guard has let go of the mounts and ended: nothing is frozen any more."""
    tell(line, END)
    select.select([line], [], [], _LATE_S)


def _watch(mounts: "list[int]", line: int, hold_s: float, ioctl: "Ioctl") -> None:
    detach({line, *mounts})
    make_unkillable()
    _stand_apart()
    os.write(line, READY)
    deadline = None
    while True:
        patience = None if deadline is None else max(0.0, deadline - time.monotonic())
        readable, _, _ = select.select([line], [], [], patience)
        word = os.read(line, 64)[-1:] if readable else b""
        if word == END or (not word and deadline is None):
            return
        if not word:
            break
        deadline = time.monotonic() + hold_s + _LATE_S if word == FREEZE else None
    for mount in reversed(mounts):
        let_go(mount, ioctl)


def _stand_apart() -> None:
    """Leave the agent's control group and take another name, in both places where people look. Best effort."""
    for group in _ROOT_GROUPS:
        with suppress(OSError), open(group, "w", encoding="ascii") as file:
            file.write("0")
    ctypes.CDLL(None).prctl(_PR_SET_NAME, _NAME, 0, 0, 0)
    with open("/proc/self/stat", "rb") as file:
        fields = file.read().rpartition(b")")[2].split()
    first, end = int(fields[_ARG_START]), int(fields[_ARG_END])
    if end - first > len(_NAME):
        ctypes.memset(first, 0, end - first)
        ctypes.memmove(first, _NAME, len(_NAME))
