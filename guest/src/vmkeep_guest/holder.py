"""The child process that freezes file systems, holds them, and always lets go of them again.

It lets go when its parent says so, when its parent dies, and at its own deadline, whichever comes first. Between
the first freeze and the last thaw it touches no file system: no imports, no logging, no files; a write there
would wait for a thaw that only this process can do.
"""

import ctypes
import errno
import fcntl
import os
import select
import time
from contextlib import suppress

from vmkeep_guest import guard
from vmkeep_guest.apart import detach, let_go, make_unkillable

TYPE_CHECKING = False  # `typing` is not imported at run time: it would cost 3 ms at each start
if TYPE_CHECKING:
    from vmkeep_guest.apart import Ioctl

FIFREEZE = 0xC0045877
"""`_IOWR('X', 119, int)` of linux/fs.h: stop all writes to a file system, after bringing its disk up to date."""

FREEZE = b"F"
THAW = b"T"

READY, FROZE, FROZEN, FAILED, THAWED = "ready", "froze", "frozen", "failed", "thawed"
TOLD, EXPIRED = "told", "expired"
"""What the child reports, a line each, words parted by spaces:

`ready` · `froze i` for each mount · `frozen` when all are · `failed errno i`, none held, errno ETIMEDOUT when past
the deadline · `thawed seconds told|expired i…`, the last being mounts that somebody else had thawed.
"""

_BUSY_ROUNDS = 5
_BUSY_PAUSE_S = 1.0


class Holder:
    """Freezes what the open descriptors in `mounts` stand on, in their order, and thaws in the reverse order.

    `hold_s` counts from the first freeze; `line` leads to the guard. `ioctl` is `fcntl.ioctl`, or a test's own.
    """

    def __init__(
        self,
        mounts: "list[int]",
        commands: int,
        reports: int,
        line: int,
        *,
        hold_s: float,
        ioctl: "Ioctl" = fcntl.ioctl,
    ) -> None:
        self._mounts = mounts
        self._commands = commands
        self._reports = reports
        self._line = line
        self._hold_s = hold_s
        self._ioctl = ioctl
        self._deadline = 0.0
        self._since = 0.0
        self._frozen = []  # type: list[int]

    def run(self) -> None:
        """Live the child's whole life. Returns with nothing frozen by us."""
        detach({self._commands, self._reports, self._line, *self._mounts})
        make_unkillable()
        self._sync()
        self._report(READY)
        if self._told(None) != FREEZE:
            return
        end = TOLD
        try:
            problem = self._freeze()
            if problem is None:
                self._report(FROZEN)
                end = EXPIRED if self._told(self._deadline) is None else TOLD
        finally:
            stolen = self._thaw()
        if problem is None:
            self._report(THAWED, time.monotonic() - self._since, end, *stolen)
        else:
            self._report(FAILED, *problem)

    def _freeze(self) -> "tuple[int, int] | None":
        """Freeze all mounts; return `(errno, mount)` of the one that would not, or None.

        A mount frozen by somebody else is waited for, with ours let go meanwhile.
        """
        problem = None
        for turn in range(_BUSY_ROUNDS):
            if turn and self._told(time.monotonic() + _BUSY_PAUSE_S) is not None:
                break
            problem = self._freeze_once()
            if problem is None or problem[0] != errno.EBUSY:
                break
            self._thaw()
        return problem

    def _freeze_once(self) -> "tuple[int, int] | None":
        guard.tell(self._line, guard.FREEZE)
        self._since = time.monotonic()
        self._deadline = self._since + self._hold_s
        for index, descriptor in enumerate(self._mounts):
            try:
                self._ioctl(descriptor, FIFREEZE, 0)
            except OSError as error:
                return error.errno or errno.EIO, index
            self._frozen.append(index)
            self._report(FROZE, index)
            if time.monotonic() > self._deadline:
                return errno.ETIMEDOUT, index
        return None

    def _thaw(self) -> "list[int]":
        """Thaw what we froze, last first; return those that were no longer frozen, and so not sound."""
        stolen = []
        while self._frozen:
            index = self._frozen.pop()
            if not let_go(self._mounts[index], self._ioctl):
                stolen.append(index)
        guard.tell(self._line, guard.THAWED)
        return stolen

    def _sync(self) -> None:
        """Write out what is dirty now, so that the freeze itself has little left to write."""
        library = ctypes.CDLL(None)
        for descriptor in self._mounts:
            library.syncfs(descriptor)

    def _told(self, deadline: "float | None") -> "bytes | None":
        """Return the parent's next command, empty bytes when the parent is gone, None at the deadline."""
        patience = None if deadline is None else max(0.0, deadline - time.monotonic())
        readable, _, _ = select.select([self._commands], [], [], patience)
        return os.read(self._commands, 1) if readable else None

    def _report(self, *words: object) -> None:
        with suppress(OSError):  # the parent is gone: the next look at the commands ends the hold
            os.write(self._reports, " ".join(map(str, words)).encode() + b"\n")
