"""Freezing with a pretended kernel: real processes, real deaths, no file system stopped."""

import errno
import os
import select
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from vmkeep_guest import holder
from vmkeep_guest.errors import BackupFailed
from vmkeep_guest.freezer import Freezer
from vmkeep_guest.holder import FIFREEZE
from vmkeep_guest.mounts import Mount

PATIENCE_S = 20.0


class FakeKernel:
    """Stands in for `fcntl.ioctl` in every process; tells the test what was done, through a FIFO.

    `refusals` holds the errnos with which the next calls such as `freeze data` fail; set it before the freezer starts.
    A call in `gated` waits for `open_gate`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.refusals: dict[str, list[int]] = {}
        self.gated: set[str] = set()
        self._gate = folder / "gate"
        self._fifo = folder / "done"
        os.mkfifo(self._gate)
        os.mkfifo(self._fifo)
        self._reader = os.open(self._fifo, os.O_RDWR)
        self._unread = b""

    def ioctl(self, descriptor: int, request: int, _argument: int) -> int:
        name = Path(f"/proc/self/fd/{descriptor}").readlink().name
        action = f"{'freeze' if request == FIFREEZE else 'thaw'} {name}"
        if action in self.gated:
            self._gate.read_bytes()
        pending = self.refusals.get(action)
        refusal = pending.pop() if pending else 0
        with self._fifo.open("w") as done:
            done.write(f"{action}{' refused' if refusal else ''}\n")
        if refusal:
            raise OSError(refusal, os.strerror(refusal))
        return 0

    def open_gate(self) -> None:
        self._gate.write_bytes(b"")

    def done(self) -> str:
        """Return the next thing done, waiting for it."""
        while b"\n" not in self._unread:
            readable, _, _ = select.select([self._reader], [], [], PATIENCE_S)
            assert readable, "nothing more was done"
            self._unread += os.read(self._reader, 4096)
        line, _, self._unread = self._unread.partition(b"\n")
        return line.decode()

    def all_done(self) -> list[str]:
        """Return all that was done and not told yet, without waiting."""
        while select.select([self._reader], [], [], 0)[0]:
            self._unread += os.read(self._reader, 4096)
        lines, self._unread = self._unread.decode().splitlines(), b""
        return lines

    def close(self) -> None:
        os.close(self._reader)


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeKernel]:
    monkeypatch.setattr(holder, "_BUSY_PAUSE_S", 0.0)
    fake = FakeKernel(tmp_path)
    yield fake
    fake.close()


@pytest.fixture
def mounts(tmp_path: Path) -> list[Mount]:
    return [make_mount(tmp_path / name) for name in ("data", "root")]


def make_mount(folder: Path) -> Mount:
    folder.mkdir()
    number = folder.stat().st_dev
    return Mount(str(folder), f"{os.major(number)}:{os.minor(number)}", "ext4")


@pytest.fixture
def freezer(kernel: FakeKernel, mounts: list[Mount]) -> Iterator[Freezer]:
    with Freezer(mounts, ioctl=kernel.ioctl) as ready:
        yield ready


def test_thaws_in_reverse_order_of_freezing(freezer: Freezer, kernel: FakeKernel) -> None:
    freezer.freeze()
    assert kernel.all_done() == ["freeze data", "freeze root"]
    thaw = freezer.thaw()
    assert kernel.all_done() == ["thaw root", "thaw data"]
    assert not thaw.flaw
    assert thaw.seconds > 0


def test_an_exception_while_frozen_thaws(kernel: FakeKernel, mounts: list[Mount]) -> None:
    with suppress(ZeroDivisionError), Freezer(mounts, ioctl=kernel.ioctl) as freezer:
        freezer.freeze()
        raise ZeroDivisionError
    assert kernel.all_done()[2:] == ["thaw root", "thaw data"]


def test_never_told_to_freeze_never_freezes(kernel: FakeKernel, mounts: list[Mount]) -> None:
    with Freezer(mounts, ioctl=kernel.ioctl):
        pass
    assert kernel.all_done() == []


def test_thaws_when_the_parent_is_killed(kernel: FakeKernel, mounts: list[Mount]) -> None:
    parent = os.fork()
    if parent == 0:
        with Freezer(mounts, ioctl=kernel.ioctl) as freezer:
            freezer.freeze()
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(parent, 0)
    assert [kernel.done() for _ in range(4)] == ["freeze data", "freeze root", "thaw root", "thaw data"]


def test_outlives_the_killing_of_its_process_group(kernel: FakeKernel, mounts: list[Mount]) -> None:
    parent = os.fork()
    if parent == 0:
        os.setsid()
        with Freezer(mounts, ioctl=kernel.ioctl) as freezer:
            freezer.freeze()
            os.killpg(0, signal.SIGKILL)
    os.waitpid(parent, 0)
    assert [kernel.done() for _ in range(4)][2:] == ["thaw root", "thaw data"]


def test_thaws_at_its_deadline_and_says_so(kernel: FakeKernel, mounts: list[Mount]) -> None:
    with Freezer(mounts, hold_s=0.05, ioctl=kernel.ioctl) as freezer:
        freezer.freeze()
        assert [kernel.done() for _ in range(4)][2:] == ["thaw root", "thaw data"]
        assert "given up" in freezer.thaw().flaw


def test_parent_thaws_when_the_child_is_killed(freezer: Freezer, kernel: FakeKernel) -> None:
    freezer.freeze()
    os.kill(freezer.pid, signal.SIGKILL)
    assert "ended before its time" in freezer.thaw().flaw
    assert kernel.all_done()[2:] == ["thaw root", "thaw data"]


def test_polite_signals_do_not_end_a_freeze(freezer: Freezer) -> None:
    freezer.freeze()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        os.kill(freezer.pid, number)
    assert not freezer.thaw().flaw


def test_foreign_freeze_is_waited_for_and_never_thawed(kernel: FakeKernel, mounts: list[Mount]) -> None:
    kernel.refusals["freeze root"] = [errno.EBUSY] * 9
    failure = refused_freeze(kernel, mounts)
    assert failure.code == 121
    assert "root cannot be frozen: somebody else holds it frozen" in failure.message
    assert kernel.all_done() == ["freeze data", "freeze root refused", "thaw data"] * 5


def test_foreign_freeze_that_ends_in_time_does_no_harm(kernel: FakeKernel, mounts: list[Mount]) -> None:
    kernel.refusals["freeze root"] = [errno.EBUSY] * 2
    with Freezer(mounts, ioctl=kernel.ioctl) as freezer:
        freezer.freeze()
        assert not freezer.thaw().flaw
    assert kernel.all_done()[-4:] == ["freeze data", "freeze root", "thaw root", "thaw data"]


def test_mount_that_does_not_freeze_is_named_and_the_others_are_thawed(
    kernel: FakeKernel, mounts: list[Mount]
) -> None:
    kernel.refusals["freeze root"] = [errno.EIO]
    failure = refused_freeze(kernel, mounts)
    assert failure.code == 121
    assert failure.message.endswith("root cannot be frozen: Input/output error")
    assert kernel.all_done() == ["freeze data", "freeze root refused", "thaw data"]


def test_freeze_that_hangs_is_given_up_and_thawed_when_it_ends(
    kernel: FakeKernel, mounts: list[Mount]
) -> None:
    kernel.gated.add("freeze data")
    with Freezer(mounts, wait_s=0.5, ioctl=kernel.ioctl) as freezer:
        with pytest.raises(BackupFailed) as caught:
            freezer.freeze()
        kernel.open_gate()
    assert caught.value.code == 122
    assert kernel.all_done()[-1] == "thaw data"


def test_freezing_past_the_deadline_fails_as_a_timeout(kernel: FakeKernel, mounts: list[Mount]) -> None:
    failure = refused_freeze(kernel, mounts, hold_s=0.0)
    assert failure.code == 122
    assert kernel.all_done() == ["freeze data", "thaw data"]


def test_thaw_by_somebody_else_spoils_the_freeze(kernel: FakeKernel, mounts: list[Mount]) -> None:
    kernel.refusals["thaw data"] = [errno.EINVAL]
    with Freezer(mounts, ioctl=kernel.ioctl) as freezer:
        freezer.freeze()
        assert freezer.thaw().flaw == f"somebody else thawed {mounts[0].point}"


def test_thaw_that_fails_for_a_moment_is_tried_again(kernel: FakeKernel, mounts: list[Mount]) -> None:
    kernel.refusals["thaw root"] = [errno.EIO]
    with Freezer(mounts, ioctl=kernel.ioctl) as freezer:
        freezer.freeze()
        assert not freezer.thaw().flaw
    assert kernel.all_done()[2:] == ["thaw root refused", "thaw root", "thaw data"]


@pytest.mark.parametrize("missing", ["gone", "hidden"])
def test_mount_that_cannot_be_opened_fails_before_any_freeze(
    kernel: FakeKernel, mounts: list[Mount], missing: str
) -> None:
    if missing == "gone":
        Path(mounts[1].point).rmdir()
    else:
        mounts[1].device = "99:99"
    with (
        pytest.raises(BackupFailed, match="root cannot be opened") as caught,
        Freezer(mounts, ioctl=kernel.ioctl),
    ):
        pass
    assert caught.value.code == 123
    assert kernel.all_done() == []


def refused_freeze(kernel: FakeKernel, mounts: list[Mount], hold_s: float = 60.0) -> BackupFailed:
    with Freezer(mounts, hold_s=hold_s, ioctl=kernel.ioctl) as freezer, pytest.raises(BackupFailed) as caught:
        freezer.freeze()
    return caught.value
