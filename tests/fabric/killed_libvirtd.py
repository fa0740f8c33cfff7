"""Run as a program in a lab of its own: kills libvirtd in captures and merges of a running VM, and looks what is left.

Prints one line for each moment: what was struck, and `right` when the VM has what it wrote, the next backup is right,
and nothing is left when all points have gone.
"""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.fabric.idle_vm import IdleVm
from tests.fabric.on_guests import capture, merge, new_fabric
from tests.fabric.strikes import CAPTURE_MOMENTS, MERGE_MOMENTS, strike_at
from tests.fabric.test_qemu_killed import check_goes_on
from tests.lab.hypervisor import open_libvirt
from tests.lab.lab import Lab
from tests.lab.namespace import answers
from tests.lab.tools import wait_for
from vmkeep.base.errors import VmkeepError


def kill_libvirtd() -> None:
    os.kill(int(Path("/run/libvirtd.pid").read_text()), signal.SIGKILL)
    wait_for(lambda: not answers(), "libvirtd is gone")


def start_libvirtd(vm: IdleVm) -> None:
    Path("/run/libvirt/libvirt-sock").unlink(missing_ok=True)
    subprocess.run(["libvirtd", "--daemon"], check=True)
    wait_for(answers, "libvirtd is back")
    vm.domain = open_libvirt().lookupByUUIDString(vm.uuid)
    assert vm.domain.isActive(), "running guests outlive libvirtd"


def try_moment(work: str, moment: str) -> None:
    lab = Lab()
    vm, folder = IdleVm(lab), lab.new_folder("moment")
    vm.domain.create()
    fabric = new_fabric(folder / "state")
    point = capture(fabric, vm.uuid, "p1") if work != "capture" else None
    vm.write("-P 1 1M 1M")
    if work == "inner merge":
        capture(fabric, vm.uuid, "p2")
        vm.write("-P 2 2M 1M")
    with pytest.MonkeyPatch.context() as patch, suppress(VmkeepError):
        strike_at(moment, kill_libvirtd, patch)
        if point:
            merge(fabric, point)
        else:
            capture(fabric, vm.uuid, "p1")
    start_libvirtd(vm)
    if point:
        merge(fabric, point)
    check_goes_on(fabric, vm, folder)
    vm.domain.destroy()
    vm.domain.undefine()
    sys.stdout.write(f"{work}, {moment}: right\n")


def main() -> None:
    for moment in CAPTURE_MOMENTS:
        try_moment("capture", moment)
    for work in ("active merge", "inner merge"):
        for moment in MERGE_MOMENTS:
            try_moment(work, moment)


if __name__ == "__main__":
    main()
