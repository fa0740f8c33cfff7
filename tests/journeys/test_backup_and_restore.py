"""The main promise: what was in the guest at a backup is in the VM restored from it."""

import pytest

from tests.journeys.service import RunningService
from tests.lab.guest import Guest
from tests.lab.lab import Lab
from vmkeep.base.units import MIB

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(900)]


def fill(guest: Guest, name: str, mib: int) -> dict[str, str]:
    """Write `mib` MiB of random bytes to a new file on each disk; return the digest of each file."""
    digests = {}
    for path in (f"/root/{name}", f"/data/{name}"):
        guest.run("dd", "if=/dev/urandom", f"of={path}", "bs=1M", f"count={mib}", "conv=fsync", "status=none")
        digests[path] = guest.digest(path)
    return digests


def test_restored_vm_holds_what_the_guest_held_at_each_backup(
    protected: RunningService, guest: Guest, lab: Lab
) -> None:
    first = fill(guest, "first.bin", 10)
    with guest.writer():
        full = protected.backup_now(guest.name)
    second = fill(guest, "second.bin", 25)
    with guest.writer() as writes:
        incremental = protected.backup_now(guest.name)
    fill(guest, "third.bin", 3)

    assert (full.status, full.warnings) == ("Completed", [])
    assert (incremental.status, incremental.warnings) == ("Completed", [])
    assert incremental.facts["Consistency"] == "file-system"
    assert writes.longest_gap_s < 10
    read = int(incremental.facts["Bytes Read"])
    assert 50 * MIB <= read <= 110 * MIB
    assert int(incremental.facts["Bytes Stored"]) < read + 2 * MIB

    points = protected.ask("recoverypoint", "list", "--vm", guest.name)
    newest, oldest = (point["name"] for point in points)
    for name, point, held in (("copy-1", oldest, first), ("copy-2", newest, {**first, **second})):
        job = protected.job("restore", "vm", "--vm", guest.name, "--recovery-point", point, "--name", name)
        assert job.status == "Completed", job.json
        copy = lab.get_guest(name)
        copy.boot()
        assert copy.uuid != guest.uuid
        assert copy.domain.UUIDString() != guest.domain.UUIDString()
        assert {path: copy.digest(path) for path in held} == held
        kept = copy.run("ls", "/root", "/data")
        assert "third.bin" not in kept
        assert ("second.bin" in kept) == ("/root/second.bin" in held)
        assert guest.answers()
        copy.power_off()
