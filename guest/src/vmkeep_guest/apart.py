"""What the processes that hold and end a freeze share: thawing, and standing apart from the agent."""

import ctypes
import errno
import os
import signal
import time
from contextlib import suppress

TYPE_CHECKING = False  # `typing` is not imported at run time: it would cost 3 ms at each start
if TYPE_CHECKING:
    from collections.abc import Callable

    Ioctl = Callable[[int, int, int], object]

FITHAW = 0xC0045878
"""`_IOWR('X', 120, int)` of linux/fs.h: let writes go on; EINVAL when the file system is not frozen."""
_THAW_TRIES = 25
_THAW_PAUSE_S = 0.2
_MCL_CURRENT_AND_FUTURE = 3


def let_go(mount: int, ioctl: "Ioctl") -> bool:
    """Thaw the file system of one open descriptor; return False when it was not frozen, or will not thaw in 5 s."""
    for _ in range(_THAW_TRIES):
        try:
            ioctl(mount, FITHAW, 0)
        except OSError as error:
            if error.errno == errno.EINVAL:
                return False
            time.sleep(_THAW_PAUSE_S)
        else:
            return True
    return False


def detach(kept: "set[int]") -> None:
    """Leave the parent's process group and close all it had open, except `kept`.

    The agent kills an extension's whole group when it takes too long: we must outlive that to thaw. Its standard
    streams are files on a disk that will be frozen.
    """
    os.setsid()
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        os.dup2(nowhere, stream)
    opened = {int(name) for name in os.listdir("/proc/self/fd")}
    for descriptor in opened - kept - {0, 1, 2}:
        with suppress(OSError):  # the one that listed them is closed already
            os.close(descriptor)


def make_unkillable() -> None:
    """Ignore polite signals, stay in memory, be the last to go when memory runs out. Best effort."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    ctypes.CDLL(None).mlockall(_MCL_CURRENT_AND_FUTURE)
    with suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
        file.write("-1000")
