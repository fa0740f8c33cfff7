"""One way through the command line: attach, protect, back up, be killed, back up, restore disks, delete."""

import pytest

from tests.journeys.conftest import wait_for_agent
from tests.journeys.service import RunningService
from tests.lab.guest import Guest
from tests.lab.lab import Lab

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(900)]

PROOF = b"written between two backups"


def test_vault_outlives_a_kill_and_leaves_nothing_when_deleted(
    protected: RunningService, guest: Guest, lab: Lab
) -> None:
    original = dict(guest.disks)
    protected.ask("fabric", "attach", "vmkeep")
    first = protected.backup_now(guest.name)
    guest.write_file("/data/proof", PROOF)
    protected.kill()
    protected.start()
    wait_for_agent(protected, guest)
    second = protected.backup_now(guest.name)
    assert (first.status, second.status) == ("Completed", "Completed")
    assert int(second.facts["Bytes Stored"]) < int(first.facts["Bytes Stored"]) / 10

    newest, _ = protected.ask("recoverypoint", "list", "--vm", guest.name)
    assert [tier["type"] for tier in newest["properties"]["recoveryPointTierDetails"]] == [
        "InstantRP",
        "HardenedRP",
    ]
    out = lab.new_folder("out")
    assert (
        protected.job("restore", "disks", "--vm", guest.name, "--to", str(out), "--format", "raw").status
        == "Completed"
    )
    assert PROOF in (out / "vdb.raw").read_bytes()

    assert protected.ask("repository", "check", "--vault", "main", "--read-data")["problems"] == []
    protected.ask("protection", "disable", "--vm", guest.name, "--delete-backup-data", "--yes")
    protected.ask("vault", "delete", "main")
    assert protected.ask("fabric", "check") == []
    assert guest.disks == original
