"""A limit on the CPU time of a guest, through the kernel's control groups, version 1 or 2."""

from pathlib import Path

from tests.lab.errors import LabCommandFailed
from tests.lab.guest import Guest
from tests.lab.namespace import scratch
from tests.lab.tools import run

PERIOD_US = 100_000


def hold_cpu(guest: Guest, *, percent: int) -> None:
    """Let a guest's QEMU, with all its threads, have `percent` of one CPU."""
    root = _hierarchy()
    group = root / scratch().name
    group.mkdir()
    quota_us = PERIOD_US * percent // 100
    if (group / "cpu.cfs_quota_us").exists():
        (group / "cpu.cfs_period_us").write_text(str(PERIOD_US))
        (group / "cpu.cfs_quota_us").write_text(str(quota_us))
    else:
        (root / "cgroup.subtree_control").write_text("+cpu")
        (group / "cpu.max").write_text(f"{quota_us} {PERIOD_US}")
    (group / "cgroup.procs").write_text(str(guest.pid))


def lift_hold(guest: Guest) -> None:
    """Let a guest that was held have what it wants again."""
    root = _hierarchy()
    (root / "cgroup.procs").write_text(str(guest.pid))
    (root / scratch().name).rmdir()


def _hierarchy() -> Path:
    """Return where this lab sees the CPU controller."""
    folder = scratch() / "cgroup"
    if not folder.exists():
        folder.mkdir()
        try:
            run("mount", "-t", "cgroup", "-o", "cpu", "none", str(folder))
        except LabCommandFailed:  # the controller is with version 2
            run("mount", "-t", "cgroup2", "none", str(folder))
    return folder
