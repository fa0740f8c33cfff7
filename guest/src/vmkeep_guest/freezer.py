"""Freezing seen from the backup: start the child that does it, tell it when, learn how it went."""

import errno
import fcntl
import os
import select
import time
from contextlib import suppress

from vmkeep_guest import codes, guard, holder
from vmkeep_guest.apart import let_go
from vmkeep_guest.errors import BackupFailed
from vmkeep_guest.holder import Holder
from vmkeep_guest.mounts import Mount

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vmkeep_guest.apart import Ioctl

HOLD_S = 60.0
WAIT_S = 66.0
_GOODBYE_S = 10.0


class Thaw:
    """How the freeze ended: from the first freeze to the last thaw in seconds, and what spoiled it, if anything."""

    def __init__(self, seconds: float, flaw: str = "") -> None:
        self.seconds = seconds
        self.flaw = flaw
        """Empty when all file systems stood still until we thawed them ourselves."""


class Freezer:
    """A child process ready to freeze `mounts`, in their order. Use as a context: leaving it thaws.

    Each stands in for the other: the child thaws when we die, we thaw when the child does, and the guard when both do.
    Entering it writes out dirty data and raises BackupFailed 123 for a mount that cannot be opened.
    """

    def __init__(
        self,
        mounts: "list[Mount]",
        hold_s: float = HOLD_S,
        wait_s: float = WAIT_S,
        ioctl: "Ioctl" = fcntl.ioctl,
    ) -> None:
        self._mounts = mounts
        self._hold_s = hold_s
        self._wait_s = wait_s
        self._ioctl = ioctl
        self._opened = []  # type: list[int]
        self._frozen = []  # type: list[int]
        self._ended = False
        self._unread = b""

    def __enter__(self) -> "Freezer":
        try:
            self._open_mounts()
            self._start()
        except BaseException:
            self._close_mounts()
            raise
        if self._expect(self._wait_s) != [holder.READY]:
            self.__exit__()
            raise BackupFailed(
                codes.FREEZE_TIMEOUT, "dirty data was not written out within {:.0f} s".format(self._wait_s)
            )
        guard.await_ready(self._line)
        return self

    def __exit__(self, *_: object) -> None:
        """Make the child thaw and wait for its end. One that hangs in the kernel is left: it thaws when it can."""
        os.close(self._commands)
        while self._expect(_GOODBYE_S):
            pass
        self._rescue()
        if self._ended:
            os.waitpid(self.pid, 0)
            guard.dismiss(self._line)
        os.close(self._line)
        os.close(self._reports)
        self._close_mounts()

    def freeze(self) -> None:
        """Return with every file system frozen. Raises BackupFailed 121 or 122, with none frozen by us."""
        self._tell(holder.FREEZE)
        deadline = time.monotonic() + self._wait_s
        report = [holder.FROZE]
        while report and report[0] == holder.FROZE:
            report = self._expect(deadline - time.monotonic())
        if report == [holder.FROZEN]:
            return
        if report and report[0] == holder.FAILED:
            raise self._refusal(int(report[1]), self._mounts[int(report[2])].printable)
        raise BackupFailed(
            codes.FREEZE_TIMEOUT, "the file systems were not frozen within {:.0f} s".format(self._wait_s)
        )

    def thaw(self) -> Thaw:
        """Thaw, and return how the freeze went."""
        self._tell(holder.THAW)
        report = self._expect(_GOODBYE_S)
        if not report:
            self._rescue()
            return Thaw(0.0, "the process that held the freeze ended before its time")
        seconds, end, stolen = float(report[1]), report[2], report[3:]
        if end == holder.EXPIRED:
            return Thaw(seconds, "the freeze was given up after {:.0f} s".format(self._hold_s))
        names = [self._mounts[int(index)].printable for index in stolen]
        return Thaw(seconds, "somebody else thawed " + ", ".join(names) if names else "")

    def _start(self) -> None:
        self._line = guard.start(self._opened, self._hold_s, self._ioctl)
        commands, self._commands = os.pipe()
        self._reports, reports = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                line, hold_s = self._line, self._hold_s
                Holder(self._opened, commands, reports, line, hold_s=hold_s, ioctl=self._ioctl).run()
            finally:
                os._exit(0)
        os.close(commands)
        os.close(reports)

    def _tell(self, command: bytes) -> None:
        with suppress(BrokenPipeError):  # the child has ended; its last report, or the lack of one, says why
            os.write(self._commands, command)

    def _expect(self, patience_s: float) -> "list[str]":
        """Return the child's next report; an empty one when it has ended or says nothing in time."""
        deadline = time.monotonic() + patience_s
        while b"\n" not in self._unread:
            patience = max(0.0, deadline - time.monotonic())
            readable, _, _ = select.select([self._reports], [], [], patience)
            heard = os.read(self._reports, 4096) if readable else b""
            if not heard:
                self._ended = bool(readable)
                return []
            self._unread += heard
        line, _, self._unread = self._unread.partition(b"\n")
        report = line.decode().split()
        if report[0] == holder.FROZE:
            self._frozen.append(int(report[1]))
        elif report[0] in (holder.FAILED, holder.THAWED):
            self._frozen.clear()
        return report

    def _rescue(self) -> None:
        """Do the child's duty when it was killed: thaw what it had frozen."""
        while self._ended and self._frozen:
            let_go(self._opened[self._frozen.pop()], self._ioctl)

    def _open_mounts(self) -> None:
        for mount in self._mounts:
            try:
                self._opened.append(mount.open())
            except OSError as error:
                text = "mount point {} cannot be opened: {}".format(mount.printable, error.strerror)
                raise BackupFailed(codes.MOUNT_NOT_OPENED, text, mount=mount.printable) from error

    def _close_mounts(self) -> None:
        while self._opened:
            os.close(self._opened.pop())

    def _refusal(self, number: int, point: str) -> BackupFailed:
        if number == errno.ETIMEDOUT:
            text = "{} took longer than {:.0f} s to freeze".format(point, self._hold_s)
            return BackupFailed(codes.FREEZE_TIMEOUT, text, mount=point)
        reason = "somebody else holds it frozen" if number == errno.EBUSY else os.strerror(number)
        return BackupFailed(codes.FREEZE_FAILED, "{} cannot be frozen: {}".format(point, reason), mount=point)
