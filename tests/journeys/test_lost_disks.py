"""Disk files and whole VMs that go away at the wrong moment."""

import pytest

from tests.journeys.service import RunningService
from tests.lab.guest import Guest
from tests.lab.lab import Lab

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(900)]


def test_lost_disk_file_and_lost_vm_are_named_and_what_was_captured_is_in_the_vault(
    protected: RunningService, guest: Guest, lab: Lab
) -> None:
    guest.write_file("/data/proof", b"kept from the first backup on")
    disk = guest.disks["vdb"]
    away = disk.rename(disk.with_name("away"))
    before = protected.backup_now(guest.name)
    away.rename(disk)
    assert (before.status, before.error) == ("Failed", "DiskVanished")
    assert f"{disk} (vdb) does not exist" in before.message
    assert "Put the file back" in before.message
    assert protected.points(guest.name) == []
    assert protected.findings() == []

    during = protected.job_in("goal-state-seen", guest.name)
    disk.rename(away)
    during = protected.job("job", "wait", during.id)
    away.rename(disk)
    assert (during.status, during.error) == ("Failed", "DiskVanished")
    assert f"{disk} (vdb) does not exist" in during.message
    first = protected.backup_now(guest.name)
    assert first.status == "Completed"

    guest.run("dd", "if=/dev/urandom", "of=/data/much", "bs=1M", "count=100", "conv=fsync", "status=none")
    job = protected.job_in("reading what changed", guest.name)
    guest.power_off()
    guest.domain.undefine()
    assert protected.job("job", "wait", job.id).status == "Completed"
    gone = protected.backup_now(guest.name)
    assert (gone.status, gone.error) == ("Failed", "UserErrorVmNotFoundV2")
    assert f"VM '{guest.name}'" in gone.message
    for point in (first, job):
        out = lab.new_folder("out")
        asked = ("--recovery-point", protected.job("job", "show", point.id).facts["Recovery Point"])
        restored = protected.job("restore", "disks", "--vm", guest.name, "--to", str(out), *asked)
        assert restored.status == "Completed", restored.json
    again = protected.job("restore", "vm", "--vm", guest.name, "--name", "again")
    assert again.status == "Completed", again.json
    copy = lab.get_guest("again")
    copy.boot()
    assert copy.read_file("/data/proof") == b"kept from the first backup on"
    copy.power_off()
    copy.wait_for(lambda: protected.findings() == [], "all merges have ended")
