"""Killed or stopped in the middle: the guest goes on writing, the job ends, nothing is left, the next backup works."""

import pytest

from tests.journeys.service import JobSeen, RunningService
from tests.lab.guest import Guest

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(900)]
SNAPSHOT, TRANSFER = "presnapshot", "reading what changed"
"""Phases of a job: the guest is about to be frozen; data goes to the vault."""


def layers(guest: Guest) -> list[str]:
    """Return the files beside the guest's disks."""
    return sorted(file.name for disk in guest.disks.values() for file in disk.parent.iterdir())


def kill_and_restart(service: RunningService, job: JobSeen) -> JobSeen:
    """Kill the service while a job runs, start it again, return the job at its end."""
    service.kill()
    service.start()
    return service.job("job", "wait", job.id)


def check_ended(service: RunningService, job: JobSeen) -> None:
    """Promise that a job which was cut short either was done or says why not, and left the host in order."""
    assert job.status in {"Completed", "CompletedWithWarnings", "Failed"}, job.json
    assert (job.status == "Failed") == bool(job.error)
    assert service.findings() == []


def test_killed_service_takes_its_backup_up_again_and_the_guest_never_stands_still(
    protected: RunningService, guest: Guest
) -> None:
    guest.run("dd", "if=/dev/urandom", "of=/data/much", "bs=1M", "count=60", "conv=fsync", "status=none")
    with guest.writer() as writes:
        transfer = kill_and_restart(protected, protected.job_in(TRANSFER, guest.name))
        snapshot = kill_and_restart(protected, protected.job_in(SNAPSHOT, guest.name))
    check_ended(protected, snapshot)
    check_ended(protected, transfer)
    assert writes.longest_gap_s < 60, "the extension thaws the guest by itself"
    ended_well = [job for job in (snapshot, transfer) if job.status != "Failed"]
    assert len(protected.points(guest.name)) == len(ended_well)
    assert protected.backup_now(guest.name).status == "Completed"
    assert protected.findings() == []


def test_stopped_backup_leaves_no_recovery_point_and_no_layer(
    protected: RunningService, guest: Guest
) -> None:
    guest.run("dd", "if=/dev/urandom", "of=/data/much", "bs=1M", "count=150", "conv=fsync", "status=none")
    before = layers(guest)
    for phase in ("taken-up", TRANSFER):
        job = protected.job_in(phase, guest.name)
        protected.job("job", "stop", job.id)
        assert protected.job("job", "wait", job.id).status == "Cancelled"
        assert protected.points(guest.name) == []
        assert layers(guest) == before
        assert protected.findings() == []
    assert protected.backup_now(guest.name).status == "Completed"
