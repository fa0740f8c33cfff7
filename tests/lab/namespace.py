"""A closed world for one command: namespaces of its own, a private libvirt, nothing left behind.

The outer half makes a scratch folder and starts the inner half as process 1 of new network, mount and process
namespaces. When process 1 ends, for whatever reason, the kernel ends every libvirtd, dnsmasq and QEMU with it;
when the outer half is killed, process 1 is killed too. Links to the outside do not exist: only loopback.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import libvirt

from tests.lab.errors import LabCommandFailed, LabNotPermitted, NotInLab
from tests.lab.hypervisor import open_libvirt
from tests.lab.locks import lock, locked
from tests.lab.tools import run, wait_for

LAB_VARIABLE = "VMKEEP_LAB"
"""Set to the scratch folder for everything that runs inside the lab."""
NOT_PERMITTED = 77
"""Exit code when this machine does not allow labs."""
PREFIX = "vmkeep-lab."
UNSHARE = ("unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child", "--")
PROBE = """
mount -t tmpfs tmpfs /run && mount -t sysfs sysfs /sys &&
ip link add probe type bridge && ip tuntap add dev probe0 mode tap && ip link set probe0 master probe
"""
PRIVATE = ("/etc/libvirt", "/var/lib/libvirt", "/var/cache/libvirt", "/var/log/libvirt")
QEMU_CONF = """\
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
namespaces = []
cgroup_controllers = []
stdio_handler = "logd"
"""
LIBVIRTD_CONF = """\
auth_unix_rw = "none"
log_filters = "3:remote 4:event 3:util.json 3:rpc"
log_outputs = "2:file:/var/log/libvirt/libvirtd.log"
"""


def scratch() -> Path:
    """Return the scratch folder of the lab that this process runs in; `NotInLab` outside of one."""
    if LAB_VARIABLE not in os.environ:
        raise NotInLab
    return Path(os.environ[LAB_VARIABLE])


def run_in_lab(command: Sequence[str]) -> int:
    """Run `command` in a new lab, return its exit code; `LabNotPermitted` where labs cannot be made."""
    require_permission()
    with scratch_folder() as folder:
        inner = [sys.executable, "-m", "tests.lab", "inside", str(folder), *command]
        lab = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *UNSHARE, *inner])
        with handled(signal.SIGINT, let_the_command_decide), handled(signal.SIGTERM, pass_on_below(lab.pid)):
            return lab.wait()


def let_the_command_decide(_number: int, _frame: object) -> None:
    """Do nothing: the terminal tells the command too, and the lab ends with it."""


def pass_on_below(pid: int) -> Callable[[int, object], None]:
    """Return a handler that sends its signal to the children of `pid`, which does not do so itself."""

    def pass_on(number: int, _frame: object) -> None:
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            os.kill(int(child), number)

    return pass_on


@contextmanager
def handled(number: signal.Signals, handler: Callable[[int, object], None]) -> Iterator[None]:
    """Handle a signal for a while."""
    usual = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, usual)


def require_permission() -> None:
    """Raise `LabNotPermitted` unless namespaces, bridges and taps can be made."""
    if os.geteuid() != 0:
        raise LabNotPermitted("not root")
    try:
        run(*UNSHARE, "sh", "-c", PROBE)
    except LabCommandFailed as error:
        raise LabNotPermitted(error.output) from error


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder that exists as long as this lab; those of labs that were killed are removed on the way."""
    parent = Path(tempfile.gettempdir())
    with locked(parent):
        for left in parent.glob(f"{PREFIX}*"):
            remove_unless_in_use(left)
        folder = Path(tempfile.mkdtemp(prefix=PREFIX))
        in_use = lock(folder)
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)
        os.close(in_use)


def remove_unless_in_use(folder: Path) -> None:
    """Remove the scratch folder of a lab that was killed."""
    with suppress(BlockingIOError), locked(folder, wait=False):
        shutil.rmtree(folder)


def live_inside(folder: Path, command: Sequence[str]) -> int:
    """Be process 1 of a lab: start libvirt, run `command`, reap what ends, return the exit code of `command`."""
    signal.signal(signal.SIGINT, let_the_command_decide)
    hide_the_machine(folder)
    start_libvirt(folder)
    child = subprocess.Popen(command, env={**os.environ, LAB_VARIABLE: str(folder)})
    signal.signal(signal.SIGTERM, lambda number, _frame: child.send_signal(number))
    while True:
        ended, status = os.wait()
        if ended == child.pid:
            child.returncode = os.waitstatus_to_exitcode(status)
            return child.returncode if child.returncode >= 0 else 128 - child.returncode


def hide_the_machine(folder: Path) -> None:
    """Give this mount namespace its own /run, /sys, /dev/kvm and libvirt folders."""
    run("mount", "-t", "tmpfs", "tmpfs", "/run")
    run("mount", "-t", "sysfs", "sysfs", "/sys")
    if Path("/dev/kvm").exists():
        # libvirt probes QEMU anew at every look-up while it may not open /dev/kvm as the user QEMU runs as.
        run("mknod", "-m", "0660", "/run/kvm", "c", "10", "232")
        run("chgrp", "kvm", "/run/kvm")
        run("mount", "--bind", "/run/kvm", "/dev/kvm")
    for place in PRIVATE:
        own = folder / place.strip("/").replace("/", "-")
        own.mkdir()
        if place == "/etc/libvirt":
            shutil.copytree("/etc/libvirt/nwfilter", own / "nwfilter")
        run("mount", "--bind", own, place)
    Path("/etc/libvirt/qemu.conf").write_text(QEMU_CONF)
    Path("/etc/libvirt/libvirtd.conf").write_text(LIBVIRTD_CONF)
    run("ip", "link", "set", "lo", "up")


def start_libvirt(folder: Path) -> None:
    """Start virtlogd and libvirtd, return when libvirt answers."""
    for daemon in ("virtlogd", "libvirtd"):
        with (folder / f"{daemon}.out").open("wb") as out:
            subprocess.Popen([daemon], stdout=out, stderr=out)
        socket = Path(f"/run/libvirt/{daemon.replace('libvirtd', 'libvirt')}-sock")
        wait_for(socket.exists, f"{daemon} listens")
    wait_for(answers, "libvirt answers")


def answers() -> bool:
    """Whether the lab's libvirt answers."""
    try:
        open_libvirt().close()
    except libvirt.libvirtError:
        return False
    return True
