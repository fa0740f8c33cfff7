"""Disk files and whole VMs that go away at the wrong moment."""

import pytest

from tests.journeys.service import RunningService
from tests.lab.guest import Guest
from tests.lab.lab import Lab

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(900)]
TRANSFER = "reading what changed"


def test_disk_file_that_was_moved_away_is_named_and_backups_work_once_it_is_back(
    protected: RunningService, guest: Guest
) -> None:
    disk = guest.disks["vdb"]
    away = disk.rename(disk.with_name("away"))
    before = protected.backup_now(guest.name)
    assert (before.status, before.error) == ("Failed", "DiskVanished")
    assert f"vdb ({disk})" in before.message
    assert "Put the file back" in before.message
    away.rename(disk)
    assert protected.points(guest.name) == []
    assert protected.findings() == []

    during = protected.job_in("goal-state-seen", guest.name)
    disk.rename(away)
    during = protected.job("job", "wait", during.id)
    assert (during.status, during.error) == ("Failed", "DiskVanished")
    assert str(disk) in during.message
    away.rename(disk)
    assert protected.backup_now(guest.name).status == "Completed"
    assert protected.findings() == []


def test_vm_that_is_deleted_during_its_backup_is_in_the_vault(
    protected: RunningService, guest: Guest, lab: Lab
) -> None:
    guest.write_file("/data/proof", b"first")
    first = protected.backup_now(guest.name)
    guest.run("dd", "if=/dev/urandom", "of=/data/much", "bs=1M", "count=150", "conv=fsync", "status=none")
    job = protected.job_in(TRANSFER, guest.name)
    guest.power_off()
    guest.domain.undefine()
    deleted = protected.job("job", "wait", job.id)
    assert (first.status, deleted.status) == ("Completed", "Completed"), deleted.json
    assert protected.findings() == []

    gone = protected.backup_now(guest.name)
    assert (gone.status, gone.error) == ("Failed", "VmVanished")
    assert guest.name in gone.message
    newest, oldest = protected.points(guest.name)
    for point, name in ((oldest, "older"), (newest, "newer")):
        restored = protected.job(
            "restore", "vm", "--vm", guest.name, "--recovery-point", point, "--name", name
        )
        assert restored.status == "Completed", restored.json
    copy = lab.get_guest("older")
    copy.boot()
    assert copy.read_file("/data/proof") == b"first"
    copy.power_off()
    assert protected.findings() == []
