"""What the catalog promises, on each database."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest

from tests.catalog.records import ITEM, JOB, POINT, POLICY, RESTORE_POINT, START, VAULT
from vmkeep.base.clock import FakeClock
from vmkeep.base.errors import VmkeepError
from vmkeep.catalog import Catalog
from vmkeep.catalog.errors import (
    AlreadyExists,
    AlreadyProtected,
    ItemHasRecoveryPoints,
    ItemNotFound,
    JobNotFound,
    JobNotInProgress,
    OperationInProgress,
    PolicyInUse,
    PolicyNotFound,
    RecoveryPointNotFound,
    SettingNotFound,
    VaultNotEmpty,
    VaultNotFound,
)
from vmkeep.model.disk_selection import DiskSelection
from vmkeep.model.job import JobError, JobOperation, JobStatus, TaskName, TaskStatus
from vmkeep.model.lock import Lock, LockLevel
from vmkeep.model.protection import ProtectionState
from vmkeep.model.restore_point import PointDisk


@pytest.fixture
def protected(catalog: Catalog) -> Catalog:
    """Give the catalog one vault, with one policy and one item."""
    catalog.create_vault(VAULT)
    catalog.put_policy(POLICY)
    catalog.put_item(ITEM)
    return catalog


def test_everything_comes_back_as_it_was_put(protected: Catalog) -> None:
    job = replace(
        JOB,
        ended=START + timedelta(hours=1),
        tasks=(replace(JOB.tasks[0], started=START, status=TaskStatus.COMPLETED, done_bytes=1 << 40),),
        error=JobError("VmVanished", "gone", facts={"disk": "vda", "size": 3}),
        warnings=(JobError("Fell", "to a lower rung"),),
        properties={"Frozen Seconds": "0.3"},
    )
    protected.put_recovery_point(POINT)
    protected.create_job(job)
    assert protected.get_vault_by_id(VAULT.id) == VAULT
    assert protected.get_policy(VAULT.id, POLICY.name) == POLICY
    assert protected.get_item(ITEM.id) == ITEM
    assert protected.get_recovery_point(ITEM.id, POINT.id) == POINT
    assert protected.get_job(job.id) == job


def test_catalog_outlives_its_process(database_url: str, clock: FakeClock) -> None:
    first = Catalog(database_url, clock)
    first.create_vault(VAULT)
    first.close()
    second = Catalog(database_url, clock)
    assert second.list_vaults() == [VAULT]
    second.close()


def test_times_come_back_in_utc_whatever_zone_they_were_given_in(protected: Catalog) -> None:
    away = datetime(2026, 3, 1, 2, 30, tzinfo=timezone(timedelta(hours=5)))
    protected.put_recovery_point(replace(POINT, time=away))
    back = protected.get_recovery_point(ITEM.id, POINT.id).time
    assert back == away
    assert back.tzinfo is UTC


def test_names_are_found_whatever_their_case(protected: Catalog) -> None:
    assert protected.get_vault("LOCAL", "Main") == VAULT
    assert protected.get_policy(VAULT.id, "defaultpolicy") == POLICY
    assert protected.get_item_by_name(VAULT.id, "Local", "WEB01") == ITEM
    assert protected.list_vaults("LOCAL") == [VAULT]


def test_put_changes_and_never_doubles(protected: Catalog) -> None:
    protected.put_vault(replace(VAULT, tags={}))
    protected.put_policy(replace(POLICY, name="DEFAULTPOLICY", properties={"changed": True}))
    protected.put_item(replace(ITEM, last_backup_status="Completed"))
    assert [vault.tags for vault in protected.list_vaults()] == [{}]
    assert protected.list_policies(VAULT.id) == [replace(POLICY, properties={"changed": True})]
    assert [item.last_backup_status for item in protected.list_items()] == ["Completed"]


def test_second_vault_of_the_same_name_is_refused(protected: Catalog) -> None:
    twin = replace(VAULT, id="v-2", name="MAIN")
    with pytest.raises(AlreadyExists):
        protected.create_vault(twin)
    with pytest.raises(AlreadyExists):
        protected.put_vault(twin)


def test_vm_is_protected_at_most_once(protected: Catalog) -> None:
    with pytest.raises(AlreadyProtected, match="web01"):
        protected.put_item(replace(ITEM, id="i-2"))
    assert protected.find_item_for_vm(ITEM.vm_uuid) == ITEM
    assert protected.find_item_for_vm("another") is None


def test_item_needs_its_vault_and_policy(protected: Catalog) -> None:
    other = replace(ITEM, id="i-2", vm_uuid="u-2")
    with pytest.raises(PolicyNotFound):
        protected.put_item(replace(other, policy_name="Weekly"))
    with pytest.raises(VaultNotFound):
        protected.put_item(replace(other, vault_id="v-9"))


def test_item_without_policy_is_one_whose_protection_was_stopped(protected: Catalog) -> None:
    stopped = replace(ITEM, policy_name="")
    protected.put_item(stopped)
    assert protected.get_item(ITEM.id) == stopped
    protected.delete_policy(VAULT.id, POLICY.name)


def test_what_is_needed_cannot_be_deleted(protected: Catalog) -> None:
    protected.put_recovery_point(POINT)
    with pytest.raises(VaultNotEmpty, match=r"1 protected item"):
        protected.delete_vault(VAULT.id)
    with pytest.raises(PolicyInUse):
        protected.delete_policy(VAULT.id, POLICY.name)
    with pytest.raises(ItemHasRecoveryPoints, match="web01"):
        protected.delete_item(ITEM.id)


def test_empty_vault_goes_with_its_policies_and_jobs(protected: Catalog) -> None:
    protected.create_job(JOB)
    protected.delete_item(ITEM.id)
    protected.delete_vault(VAULT.id)
    assert protected.find_vault("local", "main") is None
    assert protected.list_policies(VAULT.id) == []
    assert protected.list_jobs() == []


@pytest.mark.parametrize(
    ("ask", "error"),
    [
        (lambda catalog: catalog.get_vault("local", "none"), VaultNotFound),
        (lambda catalog: catalog.get_vault_by_id("none"), VaultNotFound),
        (lambda catalog: catalog.delete_vault("none"), VaultNotFound),
        (lambda catalog: catalog.put_policy(replace(POLICY, vault_id="none")), VaultNotFound),
        (lambda catalog: catalog.get_policy("none", "none"), PolicyNotFound),
        (lambda catalog: catalog.delete_policy("none", "none"), PolicyNotFound),
        (lambda catalog: catalog.get_item("none"), ItemNotFound),
        (lambda catalog: catalog.get_item_by_name("none", "local", "none"), ItemNotFound),
        (lambda catalog: catalog.delete_item("none"), ItemNotFound),
        (lambda catalog: catalog.put_recovery_point(POINT), ItemNotFound),
        (lambda catalog: catalog.get_recovery_point("none", "1"), RecoveryPointNotFound),
        (lambda catalog: catalog.get_job("none"), JobNotFound),
        (lambda catalog: catalog.update_job("none", status=JobStatus.FAILED), JobNotFound),
        (lambda catalog: catalog.request_cancel("none"), JobNotFound),
        (lambda catalog: catalog.get_setting("none"), SettingNotFound),
    ],
)
def test_what_is_not_there_is_said_by_name(
    catalog: Catalog, ask: Callable[[Catalog], object], error: type[VmkeepError]
) -> None:
    with pytest.raises(error):
        ask(catalog)


def test_recovery_points_are_listed_newest_first(protected: Catalog) -> None:
    later = replace(POINT, id="1001", time=START + timedelta(days=1), restore_point=None, manifest_id="m-1")
    protected.put_recovery_point(later)
    protected.put_recovery_point(POINT)
    assert protected.list_recovery_points(ITEM.id) == [later, POINT]
    protected.delete_recovery_point(ITEM.id, later.id)
    protected.delete_recovery_point(ITEM.id, later.id)
    assert [point.restore_point for point in protected.list_recovery_points(ITEM.id)] == [RESTORE_POINT]


def test_recovery_point_ids_rise_even_when_the_clock_goes_back(catalog: Catalog, clock: FakeClock) -> None:
    ids = [catalog.new_recovery_point_id(), catalog.new_recovery_point_id()]
    clock.advance(-3600)
    ids.append(catalog.new_recovery_point_id())
    clock.advance(7200)
    ids.append(catalog.new_recovery_point_id())
    assert all(one.isdecimal() for one in ids)
    assert ids == sorted(set(ids), key=int)


def test_second_running_job_of_an_item_is_refused_in_azures_words(protected: Catalog) -> None:
    protected.create_job(JOB)
    protected.create_job(replace(JOB, id="j-other-item", item_id="i-2"))
    with pytest.raises(OperationInProgress) as refused:
        protected.create_job(replace(JOB, id="j-2"))
    assert refused.value.code == "UserErrorBackupOperationInProgress"
    assert str(refused.value) == (
        "Unable to initiate backup as another backup operation is currently in progress"
    )
    assert JOB.id in refused.value.advice


def test_next_job_may_run_when_the_one_before_has_ended(protected: Catalog) -> None:
    protected.create_job(JOB)
    protected.update_job(JOB.id, status=JobStatus.FAILED)
    protected.create_job(replace(JOB, id="j-2"))
    assert protected.find_running_job(ITEM.id) == replace(JOB, id="j-2")


def test_of_many_simultaneous_jobs_for_one_item_exactly_one_is_created(protected: Catalog) -> None:
    def create(number: int) -> bool:
        try:
            protected.create_job(replace(JOB, id=f"j-{number}"))
        except OperationInProgress:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        created = list(threads.map(create, range(16)))
    assert created.count(True) == 1


def test_jobs_are_filtered_and_listed_newest_first(protected: Catalog) -> None:
    backup = replace(JOB, status=JobStatus.COMPLETED)
    restore = replace(
        JOB, id="j-2", operation=JobOperation.RESTORE, started=START + timedelta(days=1), item_id="i-2"
    )
    protected.create_job(backup)
    protected.create_job(restore)
    assert protected.list_jobs() == [restore, backup]
    assert protected.list_jobs(vault_id=VAULT.id, operation=JobOperation.RESTORE) == [restore]
    assert protected.list_jobs(status=JobStatus.COMPLETED) == [backup]
    assert protected.list_jobs(item_id=ITEM.id) == [backup]
    assert protected.list_jobs(since=restore.started) == [restore]
    assert protected.list_jobs(until=backup.started) == [backup]
    assert protected.list_jobs(vault_id="none") == []


def test_job_and_task_change_only_where_told(protected: Catalog) -> None:
    protected.create_job(JOB)
    protected.update_job(JOB.id, properties={"Recovery Point": "1000"})
    protected.update_task(JOB.id, TaskName.TRANSFER, status=TaskStatus.IN_PROGRESS, done_bytes=5)
    after = protected.update_job(JOB.id, properties={"Bytes Read": "5"})
    assert after.properties == {"Recovery Point": "1000", "Bytes Read": "5"}
    assert after.tasks == (
        JOB.tasks[0],
        replace(JOB.tasks[1], status=TaskStatus.IN_PROGRESS, done_bytes=5),
    )
    assert protected.get_job(JOB.id) == after


def test_no_change_is_lost_when_many_write_the_same_job(protected: Catalog) -> None:
    protected.create_job(JOB)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda n: protected.update_job(JOB.id, properties={f"p{n}": "x"}), range(32)))
    assert len(protected.get_job(JOB.id).properties) == 32


def test_cancel_is_a_wish_until_the_job_ends(protected: Catalog) -> None:
    protected.create_job(JOB)
    assert not protected.cancel_requested(JOB.id)
    assert protected.request_cancel(JOB.id).status is JobStatus.CANCELLING
    protected.request_cancel(JOB.id)
    assert protected.cancel_requested(JOB.id)
    with pytest.raises(OperationInProgress):
        protected.create_job(replace(JOB, id="j-2"))
    protected.update_job(JOB.id, status=JobStatus.CANCELLED)
    with pytest.raises(JobNotInProgress) as refused:
        protected.request_cancel(JOB.id)
    assert str(refused.value) == "Backup can't cancel the job because it isn't in progress"


def test_settings_are_kept_and_replaced(catalog: Catalog) -> None:
    assert catalog.find_setting("tenant") is None
    catalog.put_setting("tenant", "t-1")
    catalog.put_setting("tenant", "t-2")
    assert catalog.get_setting("tenant") == "t-2"


def other_vault(catalog: Catalog) -> None:
    catalog.create_vault(replace(VAULT, id="v-2", name="other"))
    catalog.put_policy(replace(POLICY, vault_id="v-2"))


@pytest.mark.parametrize("state", [ProtectionState.PROTECTION_STOPPED, ProtectionState.BACKUPS_SUSPENDED])
def test_vm_of_a_stopped_item_may_have_an_active_one_in_another_vault(
    protected: Catalog, state: ProtectionState
) -> None:
    other_vault(protected)
    new = replace(ITEM, id="i-2", vault_id="v-2", created=START + timedelta(days=1))
    with pytest.raises(AlreadyProtected):
        protected.put_item(new)
    protected.update_item(ITEM.id, state=state)
    protected.put_item(new)
    assert protected.find_item_for_vm(ITEM.vm_uuid) == new
    assert [item.id for item in protected.list_items_for_vm(ITEM.vm_uuid)] == ["i-2", "i-1"]
    with pytest.raises(AlreadyProtected):
        protected.update_item(ITEM.id, state=ProtectionState.PROTECTED)
    protected.delete_item("i-2")
    assert protected.find_item_for_vm(ITEM.vm_uuid) == replace(ITEM, state=state)


def test_one_job_runs_for_a_vm_whatever_the_vault(protected: Catalog) -> None:
    other_vault(protected)
    protected.update_item(ITEM.id, state=ProtectionState.PROTECTION_STOPPED)
    protected.put_item(replace(ITEM, id="i-2", vault_id="v-2"))
    protected.create_job(JOB)
    with pytest.raises(OperationInProgress) as refused:
        protected.create_job(replace(JOB, id="j-2", item_id="i-2", vault_id="v-2"))
    assert (refused.value.job, refused.value.vault) == (JOB.id, VAULT.name)
    running = protected.find_running_job("i-2")
    assert running
    assert running.id == JOB.id
    protected.create_job(replace(JOB, id="j-3", item_id="i-3"))


def test_selected_disks_are_kept(protected: Catalog) -> None:
    selection = DiskSelection(included=True, luns=(0, 2), names=("vdb", "vdd"))
    protected.update_item(ITEM.id, disk_selection=selection)
    assert protected.get_item(ITEM.id).disk_selection == selection
    protected.update_item(ITEM.id, disk_selection=None)
    assert protected.get_item(ITEM.id) == ITEM
    disks = (PointDisk("vda", -1, 1 << 30, included=True), PointDisk("vdb", 0, 1 << 40, included=False))
    protected.put_recovery_point(replace(POINT, restore_point=None, disks=disks))
    assert protected.get_recovery_point(ITEM.id, POINT.id).known_disks == disks
    protected.put_recovery_point(POINT)
    assert [disk.name for disk in protected.get_recovery_point(ITEM.id, POINT.id).known_disks] == ["vda"]


def test_locks_differ_by_scope_and_name_and_never_by_case(catalog: Catalog) -> None:
    group = Lock("/subscriptions/s/resourceGroups/Local", "Keep", LockLevel.CAN_NOT_DELETE, START, "why")
    other = replace(group, scope="/subscriptions/s")
    assert [catalog.put_lock(lock) for lock in (group, other)] == [True, True]
    assert catalog.find_lock(group.scope.lower(), "KEEP") == group
    tighter = replace(group, scope=group.scope.upper(), name="keep", level=LockLevel.READ_ONLY)
    assert not catalog.put_lock(tighter)
    assert sorted(catalog.list_locks(), key=lambda lock: len(lock.scope)) == [other, tighter]
    assert catalog.delete_lock(group.scope, group.name)
    assert not catalog.delete_lock(group.scope, group.name)
    assert catalog.list_locks() == [other]
