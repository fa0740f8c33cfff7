"""What is asked wrongly, or meets a broken world, fails with a clear word, leaves nothing, and works once mended."""

from pathlib import Path

import pytest

from tests.journeys.conftest import wait_for_agent
from tests.journeys.service import RunningService
from tests.lab.guest import Guest
from tests.lab.lab import Lab
from tests.lab.tools import run

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(900)]


def backs_up(service: RunningService, guest: Guest) -> None:
    """Promise that a backup succeeds and the host is as it should be."""
    job = service.backup_now(guest.name)
    assert job.status == "Completed", job.json
    assert service.findings() == []


def names(lab: Lab) -> set[str]:
    """Return the VMs of the host."""
    return {domain.name() for domain in lab.connection.listAllDomains()}


def test_wrong_requests_are_refused_by_name_and_leave_nothing(
    protected: RunningService, guest: Guest, lab: Lab
) -> None:
    assert "nobody" in protected.refusal("protection", "backup-now", "--vm", "nobody")
    assert "nowhere" in protected.refusal("vault", "show", "nowhere")

    guest.pause()
    paused = protected.backup_now(guest.name)
    guest.resume()
    assert (paused.status, paused.error) == ("Failed", "UserErrorVmNotInDesirableState")
    assert guest.name in paused.message
    assert protected.points(guest.name) == []
    assert protected.findings() == []

    first = protected.backup_now(guest.name, "--no-wait")
    second = protected.refusal("protection", "backup-now", "--vm", guest.name)
    assert "another backup operation is currently in progress" in second
    assert first.id in second
    assert protected.job("job", "wait", first.id).status == "Completed"

    folder = lab.new_folder("small")
    run("mount", "-t", "tmpfs", "-o", "size=20M", "tmpfs", folder)
    to = ("--vm", guest.name, "--to", str(folder))
    assert "4711" in protected.refusal("restore", "disks", *to, "--recovery-point", "4711")
    full = protected.job("restore", "disks", *to, "--format", "raw")
    assert (full.status, full.error) == ("Failed", "TargetFull")
    assert str(folder) in full.message
    assert list(folder.iterdir()) == []
    run("umount", folder)

    taken = protected.job("restore", "vm", "--vm", guest.name, "--name", guest.name)
    assert (taken.status, taken.error) == ("Failed", "VmNameTaken")
    assert guest.name in taken.message
    assert names(lab) == {guest.name}
    assert not list((protected.state_dir / "restored").glob("*"))
    backs_up(protected, guest)


def test_lost_repository_fails_the_backup_and_a_lost_key_the_start_until_they_are_back(
    protected: RunningService, guest: Guest
) -> None:
    vaults = protected.state_dir / "vaults"
    away = vaults.rename(vaults.with_name("away"))
    gone = protected.backup_now(guest.name)
    assert (gone.status, gone.error) == ("Failed", "NotARepository")
    assert str(vaults) in gone.message
    assert not list(vaults.glob("*")), "a folder that was moved away is not made anew"
    if vaults.exists():
        vaults.rmdir()
    away.rename(vaults)
    backs_up(protected, guest)

    key = protected.state_dir / "master.key"
    protected.stop()
    kept = key.rename(key.with_name("kept.key"))
    refused = protected.run("up")
    assert (refused.code, key.exists()) == (1, False), "a new key could not open the vault"
    assert f"the master key {key} is missing" in refused.err
    kept.replace(key)
    protected.start()
    wait_for_agent(protected, guest)
    backs_up(protected, guest)


def test_vm_that_lost_its_disks_comes_back_from_the_vault_and_a_flipped_byte_is_found(
    protected: RunningService, guest: Guest, lab: Lab
) -> None:
    guest.write_file("/data/proof", b"in the vault")
    digest = guest.digest("/data/proof")
    backs_up(protected, guest)
    disks = guest.disks.values()
    guest.power_off()
    guest.domain.undefine()
    for disk in disks:
        for file in disk.parent.glob("*"):
            file.unlink()
    job = protected.job("restore", "vm", "--vm", guest.name, "--name", "again")
    assert job.status == "Completed", job.json
    again = lab.get_guest("again")
    again.boot()
    assert again.digest("/data/proof") == digest
    again.power_off()

    pack = largest(protected.state_dir / "vaults")
    content = bytearray(pack.read_bytes())
    content[len(content) // 2] ^= 1
    pack.write_bytes(content)
    checked = protected.run("repository", "check", "--vault", "main", "--read-data")
    assert checked.code == 1
    assert pack.name in checked.out
    assert "manifest" in checked.out
    hurt = protected.job("restore", "vm", "--vm", guest.name, "--name", "hurt")
    assert (hurt.status, hurt.error) == ("Failed", "ObjectDamaged")
    assert pack.name in hurt.message
    assert names(lab) == {"again"}
    assert not (protected.state_dir / "restored" / "hurt").exists()


def largest(folder: Path) -> Path:
    """Return the largest file below a folder: a pack, in a repository."""
    return max((file for file in folder.rglob("*") if file.is_file()), key=lambda file: file.stat().st_size)
