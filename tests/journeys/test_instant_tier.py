"""The instant tier: restored from without the vault, kept by a lock, deleted by hand."""

import pytest

from tests.journeys.service import RunningService
from tests.lab.guest import Guest
from tests.lab.lab import Lab

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(900)]


def test_instant_tier_restores_without_the_vault_and_goes_when_no_lock_keeps_it(
    protected: RunningService, guest: Guest, lab: Lab
) -> None:
    original = dict(guest.disks)
    proof = b"in the instant tier"
    for number in range(2):
        guest.write_file("/data/proof", proof + bytes([number]))
        assert protected.backup_now(guest.name).status == "Completed"

    vaults = protected.state_dir / "vaults"
    away = vaults.rename(vaults.with_name("away"))
    out = lab.new_folder("out")
    to = ("--vm", guest.name, "--to", str(out), "--format", "raw", "--disk", "vdb")
    refused = protected.job("restore", "disks", *to, "--tier", "vault")
    assert (refused.status, refused.error) == ("Failed", "NotARepository")
    restored = protected.job("restore", "vm", "--vm", guest.name, "--name", "copy", "--tier", "instant")
    assert restored.status == "Completed", restored.json
    assert restored.facts["Restored From"] == "instant tier"
    assert protected.job("restore", "disks", *to).status == "Completed"
    assert proof + b"\1" in (out / "vdb.raw").read_bytes()
    if vaults.exists():
        vaults.rmdir()
    away.rename(vaults)

    [group] = [one["name"] for one in protected.ask("group", "list") if "AzureBackupRG" in one["name"]]
    protected.ask(
        "lock", "create", "--name", "keep", "--lock-type", "CanNotDelete", "--resource-group", group
    )
    delete = ("restore-point", "collection", "delete", guest.name, "--yes")
    assert "Please remove the lock and try again" in protected.refusal(*delete)
    assert len(protected.ask("restore-point", "collection", "list")) == 1
    protected.ask("lock", "delete", "--name", "keep")
    with guest.writer():
        protected.ask(*delete)
    assert protected.ask("restore-point", "collection", "list") == []
    assert guest.disks == original
    assert guest.read_file("/data/proof") == proof + b"\1"
    assert protected.findings() == []
    assert len(protected.points(guest.name)) == 2
