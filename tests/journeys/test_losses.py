"""One guest loses its agents, a disk file, and at last itself; each backup says so, and all that was captured is kept."""

import pytest

from tests.journeys.conftest import wait_for_agent
from tests.journeys.service import RunningService
from tests.lab.guest import Guest
from tests.lab.lab import Lab

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(900)]
NO_AZURE_AGENT, NO_GUEST_AGENT = "UserErrorGuestAgentStatusUnavailable", "GuestAgentSilent"
PROOF = b"kept from the first backup on"


def test_what_a_guest_loses_is_named_and_what_was_captured_is_in_the_vault(
    protected: RunningService, guest: Guest, lab: Lab
) -> None:
    guest.write_file("/data/proof", PROOF)
    loses_its_azure_agent(protected, guest)
    loses_a_disk_file(protected, guest)
    loses_its_agents_and_itself(protected, guest)

    oldest, out = protected.points(guest.name)[-1], lab.new_folder("out")
    disk = ("--recovery-point", oldest, "--to", str(out), "--format", "raw", "--disk", "vdb")
    assert protected.job("restore", "disks", "--vm", guest.name, *disk).status == "Completed"
    assert PROOF in (out / "vdb.raw").read_bytes()
    again = protected.job("restore", "vm", "--vm", guest.name, "--name", "again")
    assert again.status == "Completed", again.json
    copy = lab.get_guest("again")
    copy.boot()
    assert copy.read_file("/data/proof") == PROOF
    copy.wait_for(lambda: protected.findings() == [], "all merges have ended")


def loses_its_azure_agent(service: RunningService, guest: Guest) -> None:
    guest.run("systemctl", "stop", "walinuxagent")
    with guest.writer() as writes:
        job = service.backup_now(guest.name)
    assert (job.status, job.warnings) == ("CompletedWithWarnings", [NO_AZURE_AGENT])
    assert job.facts["Consistency"] == "file-system"
    assert "Restart the agent (walinuxagent)" in job.message
    assert writes.longest_gap_s < 10
    guest.run("systemctl", "start", "walinuxagent")
    wait_for_agent(service, guest)


def loses_a_disk_file(service: RunningService, guest: Guest) -> None:
    disk = guest.disks["vdb"]
    away = disk.rename(disk.with_name("away"))
    before = service.backup_now(guest.name)
    away.rename(disk)
    during = service.job_in("goal-state-seen", guest.name)
    disk.rename(away)
    during = service.job("job", "wait", during.id)
    away.rename(disk)
    for job in (before, during):
        assert (job.status, job.error) == ("Failed", "DiskVanished"), job.json
        assert f"{disk} (vdb) does not exist" in job.message
        assert "Put the file back" in job.message
    assert service.backup_now(guest.name).status == "Completed"


def loses_its_agents_and_itself(service: RunningService, guest: Guest) -> None:
    guest.run("dd", "if=/dev/urandom", "of=/data/much", "bs=1M", "count=100", "conv=fsync", "status=none")
    guest.run("systemctl", "stop", "walinuxagent")
    guest.start(["systemctl", "stop", "qemu-guest-agent"])
    job = service.job_in("reading what changed", guest.name)
    guest.power_off()
    guest.domain.undefine()
    job = service.job("job", "wait", job.id)
    assert (job.status, job.warnings) == ("CompletedWithWarnings", [NO_AZURE_AGENT, NO_GUEST_AGENT])
    assert job.facts["Consistency"] == "crash"
    assert "Install or restart qemu-guest-agent" in job.message
    gone = service.backup_now(guest.name)
    assert (gone.status, gone.error) == ("Failed", "UserErrorVmNotFoundV2")
    assert f"VM '{guest.name}'" in gone.message
