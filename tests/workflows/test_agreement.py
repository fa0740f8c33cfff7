"""Catalog and host come to agree again, whoever changed what behind whose back."""

from collections.abc import Sequence
from dataclasses import replace

from tests.fakes.repository import StoreUnreachable
from tests.workflows.world import World
from vmkeep.base.ids import new_guid
from vmkeep.model.job import Job, JobStatus
from vmkeep.model.protection import ProtectedItem, Tier
from vmkeep.model.restore_point import Warned


def check(world: World, item: ProtectedItem, *, repair: bool = False) -> tuple[list[str], list[str]]:
    """What is found amiss with an item's VM, and what was repaired; other tests leave VMs in the same world."""
    report = world.engine.check_host(repair=repair)
    return codes(report.found, item), codes(report.repaired, item)


def codes(warnings: Sequence[Warned], item: ProtectedItem) -> list[str]:
    return [one.code for one in warnings if item.vm_name in one.message]


def warned(job: Job) -> list[str]:
    return [warning.code for warning in job.warnings]


def stray(world: World, item: ProtectedItem) -> str:
    """Capture a point that no recovery point has, as a catalog put back from an old copy leaves it."""
    point_id = new_guid()
    world.fabric.capture(item.vm_uuid, point_id=point_id, on_phase=lambda _: None, cancelled=lambda: False)
    return point_id


def lose(world: World, item: ProtectedItem) -> None:
    """Take the newest restore point away behind the catalog's back."""
    held = world.points(item)[0].restore_point
    assert held is not None
    world.fabric.lose_layers(item.vm_uuid, held.id)


def test_what_agrees_is_left_alone(world: World) -> None:
    item = world.protect()
    world.expired(world.back_up(item))
    before = world.points(item)
    assert check(world, item, repair=True) == ([], [])
    assert world.points(item) == before


def test_stray_restore_point_is_found_and_merged_when_asked(world: World) -> None:
    item = world.protect()
    world.expired(world.back_up(item))
    point_id = stray(world, item)
    content = world.fabric.disk_content(item.vm_uuid, "vda")
    assert check(world, item) == (["StrayRestorePoint"], [])
    assert point_id in world.fabric.layers(item.vm_uuid)
    assert check(world, item, repair=True) == ([], ["StrayRestorePoint"])
    assert point_id not in world.fabric.layers(item.vm_uuid)
    assert world.fabric.disk_content(item.vm_uuid, "vda") == content


def test_stray_restore_point_is_merged_after_the_next_backup(world: World) -> None:
    item = world.protect()
    point_id = stray(world, item)
    world.expired(world.back_up(item))
    world.wait_until(lambda: point_id not in world.fabric.layers(item.vm_uuid))
    assert len(world.fabric.layers(item.vm_uuid)) == 2


def test_point_of_a_running_job_is_no_stray(world: World) -> None:
    item = world.protect()
    seen: list[tuple[list[str], list[str]]] = []
    world.hook.at("capture: complete", lambda: seen.append(check(world, item, repair=True)))
    assert world.back_up(item).status is JobStatus.COMPLETED
    assert seen == [([], [])]


def test_lost_restore_point_leaves_the_vault_tier(world: World) -> None:
    item = world.protect()
    world.expired(world.back_up(item))
    lose(world, item)
    assert check(world, item) == (["RestorePointLost"], [])
    assert check(world, item, repair=True) == ([], ["RestorePointLost"])
    assert [point.tiers for point in world.points(item)] == [{Tier.VAULT}]


def test_lost_restore_point_no_longer_counts_after_the_next_backup(world: World) -> None:
    item = world.protect()
    world.expired(world.back_up(item))
    lose(world, item)
    world.expired(world.back_up(item))
    world.wait_until(lambda: world.points(item)[1].tiers == {Tier.VAULT})
    assert world.points(item)[0].tiers == {Tier.INSTANT, Tier.VAULT}


def test_recovery_point_that_is_lost_altogether_is_said_and_kept(world: World) -> None:
    item = world.protect()
    world.hook.raising("ingest: begun", StoreUnreachable())
    world.expired(world.back_up(item))
    lose(world, item)
    for repair in (True, False):
        assert check(world, item, repair=repair) == (["RecoveryPointLost"], [])
    assert len(world.points(item)) == 1


def test_repair_that_fails_says_why(world: World) -> None:
    item = world.protect()
    stray(world, item)
    world.hook.raising("merge: begun", StoreUnreachable())
    report = world.engine.check_host(repair=True)
    assert report.found[0].code == "StoreUnreachable"
    assert codes(report.found, item) == ["StrayRestorePoint"]


def test_renamed_vm_goes_on_under_its_new_name(world: World) -> None:
    item = world.protect()
    world.back_up(item)
    world.fabric.rename(item.vm_uuid, "renamed")
    job = world.back_up(item)
    assert (job.status, warned(job)) == (JobStatus.COMPLETED_WITH_WARNINGS, ["VmRenamed"])
    assert world.catalog.get_item(item.id).vm_name == "renamed"
    assert world.back_up(item).status is JobStatus.COMPLETED


def test_name_of_another_item_is_not_taken(world: World) -> None:
    item = world.protect()
    other = replace(world.protect(), vault_id=item.vault_id, policy_name=item.policy_name)
    world.catalog.put_item(other)
    world.fabric.rename(item.vm_uuid, other.vm_name)
    job = world.back_up(item)
    assert (job.status, warned(job)) == (JobStatus.COMPLETED, [])
    assert world.catalog.get_item(item.id).vm_name == item.vm_name


def test_vm_defined_anew_on_its_disks_is_the_same_item(world: World) -> None:
    item = world.protect()
    world.expired(world.back_up(item))
    world.write(item, 3, "c")
    new = world.fabric.redefine(item.vm_uuid, item.vm_name)
    job = world.back_up(item)
    assert (job.status, warned(job)) == (JobStatus.COMPLETED_WITH_WARNINGS, ["VmRedefined"])
    assert world.catalog.get_item(item.id).vm_uuid == new
    held = [point.restore_point for point in world.points(item)]
    assert [point.vm_uuid for point in held if point] == [new, new]
    assert check(world, item) == ([], [])
    assert world.back_up(world.catalog.get_item(item.id)).status is JobStatus.COMPLETED


def test_vm_defined_anew_and_protected_anew_is_another_item(world: World) -> None:
    item = world.protect()
    world.expired(world.back_up(item))
    new = world.fabric.redefine(item.vm_uuid, item.vm_name)
    other = world.protect()
    world.catalog.update_item(other.id, vm_uuid=new)
    job = world.back_up(item)
    assert job.status is JobStatus.FAILED
    assert job.error is not None
    assert job.error.code == "UserErrorVmNotFoundV2"
