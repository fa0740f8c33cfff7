"""The whole product on a real guest: `vmkeep up`, the command line, two backups, a kill, restores."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.lab.guest import Guest
from tests.lab.lab import Lab

pytestmark = pytest.mark.qemu
VMKEEP = Path(sys.executable).with_name("vmkeep")


class Service:
    """`vmkeep up` as a process of its own, and the command line beside it."""

    def __init__(self, state_dir: Path) -> None:
        self.state_dir = state_dir
        self.environ = {**os.environ, "VMKEEP_STATE_DIR": str(state_dir), "VMKEEP_PORT": "0"}

    @contextmanager
    def running(self, end: signal.Signals = signal.SIGTERM) -> Iterator[None]:
        with (
            (self.state_dir.parent / "up.log").open("a") as log,
            subprocess.Popen([VMKEEP, "up"], env=self.environ, stdout=subprocess.PIPE, stderr=log) as up,
        ):
            assert up.stdout is not None
            assert b"vmkeep is ready at https://127.0.0.1:" in up.stdout.readline()
            try:
                yield
            finally:
                up.send_signal(end)
            assert up.wait(60) == (0 if end is signal.SIGTERM else -end)

    def run(self, *arguments: str) -> str:
        ended = subprocess.run(
            [VMKEEP, *arguments], env=self.environ, capture_output=True, text=True, check=False
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout

    def list(self, *arguments: str) -> list[dict[str, dict[str, object]]]:
        found: list[dict[str, dict[str, object]]] = json.loads(self.run(*arguments, "--output", "json"))
        return found


def test_a_guest_is_backed_up_restored_and_deleted_by_the_command_line(lab: Lab, guest: Guest) -> None:
    folder = lab.new_folder("service")
    service = Service(folder / "state")
    with service.running(end=signal.SIGKILL):
        service.run("fabric", "attach", "vmkeep")
        service.run("vault", "create", "main")
        guest.wait_for(lambda: "Ready" in service.run("vm", "show", guest.name), "a ready agent")
        service.run("protection", "enable-for-vm", "--vm", guest.name)
        service.run("protection", "backup-now", "--vm", guest.name)
        guest.write_file("/data/proof", b"written between two backups")
    with service.running():
        service.run("protection", "backup-now", "--vm", guest.name)
        second, first = service.list("recoverypoint", "list", "--vm", guest.name)
        tiers = [tier["type"] for tier in second["properties"]["recoveryPointTierDetails"]]  # type: ignore[attr-defined] # JSON
        assert tiers == ["InstantRP", "HardenedRP"]
        assert second["properties"]["recoveryPointType"] == "FileSystemConsistent"
        ours = [point["properties"]["vmkeep"] for point in (first, second)]
        assert ours[1]["storedBytes"] < ours[0]["storedBytes"] / 10  # type: ignore[index] # JSON
        service.run("restore", "disks", "--vm", guest.name, "--to", str(folder / "out"), "--format", "raw")
        assert b"written between two backups" in (folder / "out/vdb.raw").read_bytes()
        service.run("restore", "vm", "--vm", guest.name, "--name", "copy")
        copy = Guest(lab.connection.lookupByName("copy"))
        guest.power_off()
        copy.boot()
        assert copy.read_file("/data/proof") == b"written between two backups"
        service.run("repository", "check", "--vault", "main", "--read-data")
        service.run("protection", "disable", "--vm", guest.name, "--delete-backup-data", "--yes")
        service.run("vault", "delete", "main")
        service.run("fabric", "check")
