"""Nobody's guest stays frozen, whatever happens to the one who froze it."""

import pytest

from tests.journeys.service import RunningService
from tests.lab.guest import Guest

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(900)]

KILLER = """
import ctypes, os, signal, threading, time
ctypes.CDLL(None).mlockall(3)

def write():
    file = os.open("/var/tmp/probe", os.O_CREAT | os.O_WRONLY)
    while True:
        os.pwrite(file, b"x", 0)
        time.sleep(0.005)

def command(pid):
    try:
        return open("/proc/%s/cmdline" % pid).read()
    except OSError:
        return ""

def is_frozen(thread):
    return "rwsem" in open("/proc/self/task/%d/wchan" % thread.native_id).read()

old, ours = set(os.listdir("/proc")), set()
thread = threading.Thread(target=write, daemon=True)
thread.start()
open("/run/killer-ready", "w").close()
while not is_frozen(thread):  # a freeze is short: whom to kill must be known when it begins
    new = [pid for pid in os.listdir("/proc") if pid.isdigit() and pid not in old | ours]
    ours |= {pid for pid in new if "__main__.py\\0" in command(pid)}
    time.sleep(0.002)
killed = [pid for pid in ours if os.path.exists("/proc/" + pid)]
for pid in killed:
    os.kill(int(pid), signal.SIGKILL)
print(len(killed), flush=True)
os._exit(0)
"""
"""Runs in the guest: as soon as a write to / waits for a thaw, kills everything the extension runs."""


def test_guest_whose_freezer_is_killed_writes_again_within_12_s(
    protected: RunningService, guest: Guest
) -> None:
    killer = guest.start(["python3", "-c", KILLER])
    guest.wait_for(lambda: guest.exec(["test", "-e", "/run/killer-ready"]).rc == 0, "the killer is ready")
    with guest.writer() as writes:
        job = protected.backup_now(guest.name)
        killed = guest.wait_for(lambda: guest.ended(killer), "the killer has struck")
    assert int(killed.out) >= 3, killed  # the extension, its freezer, and their guard
    assert writes.longest_gap_s > 1, "the guest stood still when its freezer was killed"
    assert writes.longest_gap_s < 12
    assert job.status in {"CompletedWithWarnings", "Failed"}, job.json
    assert job.warnings or job.error
    assert protected.findings() == []
    assert protected.backup_now(guest.name).status == "Completed"
