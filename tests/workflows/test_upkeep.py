"""What expiry and deletion promise."""

import threading
from datetime import timedelta

import pytest

from tests.fakes.fabric import BLOCK
from tests.fakes.repository import StoreUnreachable
from tests.workflows.world import PATIENCE_S, World
from vmkeep.base.clock import FakeClock
from vmkeep.catalog.errors import ItemNotFound
from vmkeep.model.job import JobStatus
from vmkeep.model.protection import ProtectedItem, Tier
from vmkeep.workflows.errors import CancelNotSupported


def days_pass(world: World, days: int) -> None:
    assert isinstance(world.clock, FakeClock)
    world.clock.advance(timedelta(days=days).total_seconds())


def back_up_daily(world: World, item: ProtectedItem, days: int) -> None:
    for day in range(days):
        world.write(item, day + 1, chr(ord("b") + day))
        world.expired(world.back_up(item))
        days_pass(world, 1)


def test_instant_tiers_are_merged_after_the_policys_days_and_the_newest_stays(world: World) -> None:
    item = world.protect()
    back_up_daily(world, item, 4)
    tiers = [point.tiers for point in world.points(item)]
    both = {Tier.INSTANT, Tier.VAULT}
    assert tiers == [both, both, both, {Tier.VAULT}]
    days_pass(world, 20)
    world.expired(world.back_up(item))
    assert [point.tiers for point in world.points(item)] == [both, *[{Tier.VAULT}] * 4]
    assert len(world.fabric.layers(item.vm_uuid)) == 2


def test_points_leave_the_vault_after_the_policys_days_but_never_the_last(world: World) -> None:
    item = world.protect()
    back_up_daily(world, item, 2)
    days_pass(world, 100)
    world.hook.raising("ingest: begun", StoreUnreachable())
    failed = world.back_up(item)
    world.expired(failed)
    points = world.points(item)
    assert [point.tiers for point in points] == [{Tier.INSTANT}, {Tier.INSTANT, Tier.VAULT}]
    world.wait_until(lambda: "prune: done" in world.hook.seen)
    assert len(world.repository(item).list_manifests()) == 1


def test_merge_that_fails_is_tried_again_and_fails_no_job(world: World) -> None:
    item = world.protect()
    back_up_daily(world, item, 3)
    days_pass(world, 10)
    world.hook.raising("merge: begun", StoreUnreachable())
    job = world.back_up(item)
    world.expired(job)
    assert job.status is JobStatus.COMPLETED
    assert len(world.fabric.layers(item.vm_uuid)) > 2
    world.hook.clear()
    world.wait_until(lambda: len(world.fabric.layers(item.vm_uuid)) == 2)


def test_capture_that_could_not_be_undone_is_undone_later(world: World) -> None:
    item = world.protect()
    for phase in ("capture: layered", "discard: begun"):
        world.hook.raising(phase, StoreUnreachable())
    job = world.back_up(item)
    assert job.status is JobStatus.FAILED
    assert [warning.message.partition(":")[0] for warning in job.warnings] == ["clean-up is not complete"]
    assert len(world.fabric.layers(item.vm_uuid)) == 2
    world.hook.clear()
    world.wait_until(lambda: world.fabric.layers(item.vm_uuid) == [None])


def test_expiry_gives_way_to_a_job(world: World) -> None:
    item = world.protect()
    back_up_daily(world, item, 3)
    days_pass(world, 10)
    merging, go_on = threading.Event(), threading.Event()

    def pause() -> None:
        merging.set()
        assert go_on.wait(PATIENCE_S)

    world.hook.at("merge: begun", pause)
    world.back_up(item)
    assert merging.wait(PATIENCE_S)
    second = world.engine.start_backup(item, reason="test")
    go_on.set()
    assert world.ended(second).status is JobStatus.COMPLETED
    world.expired(second)
    world.hook.clear()
    world.wait_until(lambda: len(world.fabric.layers(item.vm_uuid)) == 3)


def test_deleted_item_leaves_nothing(world: World) -> None:
    item = world.protect()
    world.back_up(item)
    world.write(item, 1, "b")
    world.back_up(item)
    before = world.fabric.disk_content(item.vm_uuid, "vda")
    job = world.ended(world.engine.start_delete_item_data(item, reason="test"))
    assert job.status is JobStatus.COMPLETED
    with pytest.raises(ItemNotFound):
        world.catalog.get_item(item.id)
    assert world.fabric.layers(item.vm_uuid) == [None]
    assert world.fabric.disk_content(item.vm_uuid, "vda") == before
    assert world.repository(item).list_manifests() == []
    world.wait_until(lambda: "prune: done" in world.hook.seen)
    world.catalog.delete_vault(item.vault_id)


def test_item_of_a_vm_that_is_gone_can_be_deleted(world: World) -> None:
    item = world.protect()
    world.back_up(item)
    world.fabric.delete_machine(item.vm_uuid)
    job = world.ended(world.engine.start_delete_item_data(item, reason="test"))
    assert job.status is JobStatus.COMPLETED


def test_deletion_that_fails_can_be_done_again(world: World) -> None:
    item = world.protect()
    world.back_up(item)
    world.hook.raising("merge: begun", StoreUnreachable())
    job = world.ended(world.engine.start_delete_item_data(item, reason="test"))
    assert job.status is JobStatus.FAILED
    world.hook.clear()
    job = world.ended(world.engine.start_delete_item_data(item, reason="test"))
    assert job.status is JobStatus.COMPLETED


def test_deletion_cannot_be_cancelled_in_azures_words(world: World) -> None:
    item = world.protect()
    world.back_up(item)
    deleting, go_on = threading.Event(), threading.Event()

    def pause() -> None:
        deleting.set()
        assert go_on.wait(PATIENCE_S)

    world.hook.at("merge: begun", pause)
    job = world.engine.start_delete_item_data(item, reason="test")
    assert deleting.wait(PATIENCE_S)
    with pytest.raises(CancelNotSupported, match="Cancellation isn't supported for this job type"):
        world.engine.stop(job.id)
    go_on.set()
    assert world.ended(job).status is JobStatus.COMPLETED


def test_repository_keeps_what_the_remaining_points_need(world: World) -> None:
    item = world.protect()
    back_up_daily(world, item, 2)
    days_pass(world, 40)
    world.write(item, 9, "z")
    world.expired(world.back_up(item))
    world.wait_until(lambda: "prune: done" in world.hook.seen)
    [point] = world.points(item)
    disk = world.repository(item).manifest(point.manifest_id).disks[0]
    assert disk.size_bytes == 16 * BLOCK
    chunks = {path.name for path in (world.root / "vaults" / item.vault_id / "chunks").iterdir()}
    assert set(disk.chunks.values()) == chunks
