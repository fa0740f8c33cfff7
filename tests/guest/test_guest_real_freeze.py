"""Real file systems, really frozen: loop-mounted images in a private mount namespace. Needs root."""

import ctypes
import errno
import fcntl
import os
import select
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.guest.test_guest_package import handle
from tests.guest.world import FakeHost, Guest, enable_on, public_settings
from vmkeep_guest import holder
from vmkeep_guest.apart import FITHAW
from vmkeep_guest.errors import BackupFailed
from vmkeep_guest.freezer import Freezer
from vmkeep_guest.holder import FIFREEZE
from vmkeep_guest.mounts import Mount, to_freeze

pytestmark = pytest.mark.slow

CLONE_NEWNS = 0x00020000
MAKE_FILE_SYSTEM = {"ext4": ["mkfs.ext4", "-q"], "xfs": ["mkfs.xfs", "-q"]}


@pytest.fixture(scope="module", autouse=True)
def private_mounts() -> Iterator[None]:
    """Let no mount of ours be seen outside of this process and its children, nor after these tests."""
    libc = ctypes.CDLL(None, use_errno=True)
    folder, root = Path.cwd(), os.open("/", os.O_RDONLY)
    usual = os.open("/proc/self/ns/mnt", os.O_RDONLY)
    assert libc.unshare(CLONE_NEWNS) == 0
    run("mount", "--make-rprivate", "/")
    yield
    assert libc.setns(usual, CLONE_NEWNS) == 0
    os.fchdir(root)  # entering a namespace leaves a chroot
    os.chroot(".")
    os.chdir(folder)
    os.close(usual)
    os.close(root)


def run(*command: object) -> None:
    subprocess.run([str(word) for word in command], check=True)


class Disk:
    """One mounted image."""

    def __init__(self, folder: Path, kind: str) -> None:
        image, self.folder = folder / f"{kind}.img", folder / kind
        with image.open("wb") as file:
            file.truncate(320 << 20)
        run(*MAKE_FILE_SYSTEM[kind], image)
        self.folder.mkdir()
        run("mount", "-o", "loop", image, self.folder)
        device = self.folder.stat().st_dev
        self.mount = Mount(str(self.folder), f"{os.major(device)}:{os.minor(device)}", kind)

    def ioctl(self, request: int) -> int:
        """Return the errno with which the kernel refuses `request`, 0 when it does not."""
        descriptor = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, request, 0)
        except OSError as error:
            return error.errno or errno.EIO
        finally:
            os.close(descriptor)
        return 0

    @property
    def is_frozen(self) -> bool:
        """Whether it is; found out by freezing it, and undone."""
        if self.ioctl(FIFREEZE) == errno.EBUSY:
            return True
        assert self.ioctl(FITHAW) == 0
        return False


@pytest.fixture(params=["ext4", "xfs"])
def disk(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Disk]:
    made = Disk(tmp_path, request.param)
    yield made
    run("umount", made.folder)


@pytest.fixture
def disks(tmp_path: Path) -> Iterator[list[Disk]]:
    made = [Disk(tmp_path, kind) for kind in ("ext4", "xfs")]
    yield made
    for disk in made:
        run("umount", disk.folder)


@dataclass
class Freeze:
    """A disk that a process of its own holds frozen; the others that could thaw it."""

    parent: int
    freezer: int
    guard: Path
    """Its folder in /proc."""


@contextmanager
def frozen(disk: Disk) -> Iterator[Freeze]:
    told, tell = os.pipe()
    parent = os.fork()
    if parent == 0:
        with Freezer([disk.mount]) as freezer:
            freezer.freeze()
            os.write(tell, str(freezer.pid).encode())
            signal.pause()
    watched = -1
    try:
        freezer_pid = int(os.read(told, 20))
        guard = find_guard(disk)
        watched = os.pidfd_open(int(guard.name))
        yield Freeze(parent, freezer_pid, guard)
    finally:
        os.kill(parent, signal.SIGKILL)
        os.waitpid(parent, 0)
        if watched >= 0:
            select.select([watched], [], [])  # readable when the last of them has let go of the mount point
            os.close(watched)
        os.close(told)
        os.close(tell)


def find_guard(disk: Disk) -> Path:
    """Return the guard of a disk: the one of that name that holds it open."""
    [found] = [
        process
        for process in Path("/proc").glob("[0-9]*")
        if command_of(process) == b"vmkeep-thaw"
        and disk.folder in {file.readlink() for file in process.glob("fd/*")}
    ]
    return found


def command_of(process: Path) -> bytes:
    try:
        return (process / "cmdline").read_bytes().strip(b"\0")
    except OSError:  # it has ended
        return b""


def blocked_writer(disk: Disk) -> subprocess.Popen[bytes]:
    writer = subprocess.Popen(["sh", "-c", f"echo x > {disk.folder}/file && sync {disk.folder}/file"])
    wait_until_blocked(writer.pid)
    assert writer.poll() is None
    return writer


def test_writer_waits_while_frozen_and_goes_on_when_the_parent_is_killed(disk: Disk) -> None:
    with frozen(disk) as freeze:
        writer = blocked_writer(disk)
        os.kill(freeze.parent, signal.SIGKILL)
        assert writer.wait() == 0
    assert not disk.is_frozen


def test_guard_thaws_when_freezer_and_parent_are_killed(disk: Disk) -> None:
    with frozen(disk) as freeze:
        writer = blocked_writer(disk)
        os.kill(freeze.freezer, signal.SIGSTOP)  # so that it cannot thaw when its parent dies
        os.kill(freeze.parent, signal.SIGKILL)
        os.kill(freeze.freezer, signal.SIGKILL)
        assert writer.wait() == 0
    assert not disk.is_frozen


def test_guard_has_a_name_and_a_session_of_its_own(disk: Disk) -> None:
    with frozen(disk) as freeze:
        assert (freeze.guard / "comm").read_text() == "vmkeep-thaw\n"
        sessions = {os.getsid(pid) for pid in (freeze.parent, freeze.freezer, int(freeze.guard.name))}
        assert len(sessions) == 3


def wait_until_blocked(pid: int) -> None:
    """Return when the process waits inside the kernel, uninterruptible."""
    while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "D":
        os.sched_yield()


def test_foreign_freeze_is_left_alone(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holder, "_BUSY_PAUSE_S", 0.0)
    assert disk.ioctl(FIFREEZE) == 0
    with Freezer([disk.mount]) as freezer, pytest.raises(BackupFailed, match="somebody else holds it"):
        freezer.freeze()
    assert disk.ioctl(FITHAW) == 0  # it was still frozen, by us who are somebody else here


def test_foreign_thaw_is_noticed(disk: Disk) -> None:
    with Freezer([disk.mount]) as freezer:
        freezer.freeze()
        assert disk.ioctl(FITHAW) == 0
        assert "somebody else thawed" in freezer.thaw().flaw


def test_killed_freezer_is_made_good_by_its_parent(disk: Disk) -> None:
    with Freezer([disk.mount]) as freezer:
        freezer.freeze()
        assert disk.is_frozen
        os.kill(freezer.pid, signal.SIGKILL)
        freezer.thaw()
        assert not disk.is_frozen


def test_backup_freezes_all_disks_for_the_host_and_lets_go(
    guest: Guest, host: FakeHost, disks: list[Disk]
) -> None:
    seen = []
    host.on_call = lambda call: seen.append((call, [disk.is_frozen for disk in disks]))
    guest.write_settings(0, public_settings(), {})
    lines = [f"30 1 {d.mount.device} / {d.folder} rw - {d.mount.kind} /dev/vdb rw" for d in disks]
    enable_on(guest, 0, "\n".join(lines))
    assert seen == [
        ("presnapshot", [False, False]),
        ("presnapshot", [False, False]),
        ("dosnapshot", [True, True]),
        ("postsnapshot", [False, False]),
    ]
    assert guest.status(0)["code"] == "1"
    assert guest.telemetry(0)["FrozenMounts"] == f"{disks[1].folder},{disks[0].folder}"


@pytest.fixture
def etc_of_our_own(tmp_path: Path) -> Iterator[None]:
    """An `/etc/azure` that only we see, and that forbids freezing anything of this machine."""
    for name in ("upper", "work"):
        (tmp_path / name).mkdir()
    (tmp_path / "upper" / "azure").mkdir()
    skipped = [mount.point for mount in to_freeze(Path("/proc/self/mountinfo").read_bytes(), set())]
    text = f"[SnapshotThread]\nMountsToSkip = {','.join(skipped)}\n"
    (tmp_path / "upper" / "azure" / "vmbackup.conf").write_text(text)
    options = f"lowerdir=/etc,upperdir={tmp_path}/upper,workdir={tmp_path}/work"
    run("mount", "-t", "overlay", "-o", options, "overlay", "/etc")
    yield
    run("umount", "/etc")


@pytest.mark.usefixtures("etc_of_our_own")
def test_whole_command_line_backs_up_as_the_agent_runs_it(guest: Guest, host: FakeHost) -> None:
    guest.write_settings(0, public_settings(), {})
    address = {"AZURE_GUEST_AGENT_WIRE_PROTOCOL_ADDRESS": host.address}
    assert handle(guest, "install", **address).returncode == 0
    done = handle(guest, "enable", ConfigSequenceNumber="0", **address)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert host.calls() == ["presnapshot", "dosnapshot", "postsnapshot"]
    assert guest.status(0)["code"] == "1"
