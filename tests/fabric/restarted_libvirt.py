"""Run as a program in a lab of its own: ends libvirtd under the fabric, starts it again, prints what the fabric says."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.fabric.on_guests import new_fabric
from tests.lab.tools import wait_for
from vmkeep.fabric.errors import HypervisorUnreachable
from vmkeep.fabric.fabric import Fabric


def answer(fabric: Fabric) -> str:
    try:
        return f"{len(fabric.list_machines())} machines"
    except HypervisorUnreachable:
        return "unreachable"


def say(fabric: Fabric) -> None:
    sys.stdout.write(f"{answer(fabric)}\n")


def main() -> None:
    pid_file = Path("/run/libvirtd.pid")
    with tempfile.TemporaryDirectory() as folder:
        fabric = new_fabric(Path(folder))
        say(fabric)
        pid = int(pid_file.read_text())
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: answer(fabric) == "unreachable", "libvirtd is gone")
        say(fabric)
        Path("/run/libvirt/libvirt-sock").unlink(missing_ok=True)
        subprocess.run(["libvirtd", "--daemon"], check=True)
        wait_for(lambda: answer(fabric) != "unreachable", "libvirtd is back")
        say(fabric)


if __name__ == "__main__":
    main()
