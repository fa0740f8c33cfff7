"""A forgotten lock fills a collection until backups fail; once it is gone, the next scheduled run succeeds by itself."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from tests.journeys.service import JobSeen, RunningService
from tests.lab.guest import Guest
from tests.lab.lab import Lab
from tests.lab.tools import wait_for
from vmkeep.base.clock import SystemClock

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(900)]
LIMIT = 18
LIMIT_REACHED = ("Failed", "UserErrorRpCollectionLimitReached")
PROOF = b"written before the lock was placed"
FAR = timedelta(hours=12)
now = SystemClock().now


@pytest.fixture
def service(lab: Lab) -> Iterator[RunningService]:
    """`vmkeep up` that starts backups by itself and gives a deletion of a collection little time."""
    settings = {"VMKEEP_SCHEDULES": "true", "VMKEEP_COLLECTION_DELETE_S": "1"}
    service = RunningService(lab.new_folder("service") / "state", settings)
    service.start()
    yield service
    service.stop()


def test_a_lock_fills_the_collection_and_after_it_a_missed_scheduled_run_is_made_up_for(
    service: RunningService, guest: Guest
) -> None:
    original = dict(guest.disks)
    service.ask("vault", "create", "main")
    service.ask("policy", "create", "nightly", "--at", at(FAR))
    service.ask("protection", "enable-for-vm", "--vm", guest.name, "--policy", "nightly")
    guest.run("systemctl", "stop", "walinuxagent")  # without it a backup takes two seconds, not ten
    guest.write_file("/data/proof", PROOF)
    service.backup_now(guest.name)
    [group] = [one["name"] for one in service.ask("group", "list") if "AzureBackupRG" in one["name"]]
    service.ask("lock", "create", "--name", "keep", "--lock-type", "CanNotDelete", "--resource-group", group)

    fills_until_the_limit(service, guest)
    service.ask("lock", "delete", "--name", "keep", "--resource-group", group)
    first = service.backup_now(guest.name)
    assert (first.status, first.error) == LIMIT_REACHED
    assert "Clean-up of the oldest that are in the vault has been started" in first.message
    guest.wait_for(lambda: len(restore_points(service)) < LIMIT, "clean-up has made room", limit_s=300)

    made_up_for = misses_a_scheduled_run(service)
    assert made_up_for.status == "CompletedWithWarnings", made_up_for.json
    deletes_the_collection_in_several_tries(service, guest)
    assert guest.disks == original
    assert guest.read_file("/data/proof") == PROOF
    assert service.findings() == []


def fills_until_the_limit(service: RunningService, guest: Guest) -> None:
    for _ in range(LIMIT - 1):
        assert service.backup_now(guest.name).status == "CompletedWithWarnings"
    assert len(restore_points(service)) == LIMIT
    failed = service.backup_now(guest.name)
    assert (failed.status, failed.error) == LIMIT_REACHED
    assert "The Restore Point collection max limit has reached." in failed.message
    assert "CanNotDelete lock 'keep'" in failed.message
    assert service.verdict(failed).startswith("proven R1")
    assert len(restore_points(service)) == LIMIT


def misses_a_scheduled_run(service: RunningService) -> JobSeen:
    """Let a run fall due while the service is dead; return its job once it has ended."""
    before = {job["name"] for job in jobs(service)}
    due = now() + timedelta(minutes=1)
    service.ask("policy", "set", "nightly", "--at", at(timedelta(minutes=1)))
    service.kill()
    wait_for(lambda: now() > due, "the run is due", limit_s=90)
    service.start()
    [name] = wait_for(
        lambda: {job["name"] for job in jobs(service)} - before, "the missed run began", limit_s=120
    )
    job = service.job("job", "wait", name)
    assert [one["name"] for one in jobs(service) if one["name"] not in before] == [name]
    return job


def deletes_the_collection_in_several_tries(service: RunningService, guest: Guest) -> None:
    delete = ("restore-point", "collection", "delete", guest.name, "--yes")
    held = len(restore_points(service))
    refused = service.refusal(*delete)
    assert "CollectionDeletionTimedOut" in refused
    assert 0 < len(restore_points(service)) < held
    wait_for(lambda: service.run(*delete).code == 0, "the collection is deleted", limit_s=300)
    assert service.ask("restore-point", "collection", "list") == []


def restore_points(service: RunningService) -> list[Any]:
    """Return the restore points of the only collection."""
    [collection] = service.ask("restore-point", "collection", "list")
    return list(
        service.ask("restore-point", "collection", "show", collection["name"])["properties"]["restorePoints"]
    )


def jobs(service: RunningService) -> list[Any]:
    return list(service.ask("job", "list", "--operation", "Backup"))


def at(later: timedelta) -> str:
    """Return the time of day then, as policies take it: HH:MM in UTC."""
    return f"{now() + later:%H:%M}"
