"""Encrypted VMs: no backup without their keys, and a restore needs nothing but the recovery point."""

from pathlib import Path

import pytest

from tests.workflows.world import World, block
from vmkeep.base.ids import new_guid
from vmkeep.model.disk_key import KeyReference
from vmkeep.model.job import Job, JobStatus, TaskName, TaskStatus
from vmkeep.model.machine import DiskFormat
from vmkeep.model.protection import ProtectedItem, RecoveryPoint, Tier


@pytest.fixture
def reference() -> KeyReference:
    return KeyReference(f"kv-{new_guid()[:8]}", "os-key")


@pytest.fixture
def item(world: World, reference: KeyReference) -> ProtectedItem:
    """An encrypted VM whose key is in a key vault that lets backups have it."""
    item = world.protect()
    world.fabric.encrypt(item.vm_uuid, "vda", "first", reference)
    world.key_vaults.put(reference, "first")
    return item


def error_of(job: Job) -> tuple[str, str, str]:
    assert job.status is JobStatus.FAILED
    assert job.error
    return job.error.code, job.error.message, job.error.advice


def restore_vm(world: World, item: ProtectedItem, point: RecoveryPoint, tier: Tier) -> dict[str, str]:
    """Restore a point as a new VM; returns the keys that the host was given for it."""
    name = f"restored-{new_guid()[:8]}"
    job = world.engine.start_restore_vm(item, point, new_name=name, network=None, tier=tier, reason="test")
    assert world.ended(job).status is JobStatus.COMPLETED
    restored = world.fabric.get_machine(name)
    assert Path(restored.disks[0].path).read_bytes().startswith(block("a"))
    return world.fabric.passphrases(restored.uuid)


def test_backup_without_permissions_fails_before_the_guest_is_touched(
    world: World, item: ProtectedItem, reference: KeyReference
) -> None:
    world.key_vaults.missing[reference.key_vault] = ["keys backup", "secrets get", "secrets list"]
    job = world.back_up(item)
    code, message, advice = error_of(job)
    assert code == "UserErrorKeyvaultPermissionsNotConfigured"
    assert (
        message == "Backup doesn't have sufficient permissions to the key vault for backup of encrypted VMs."
    )
    assert (
        f"'{reference.key_vault}', the backup service 'backup-service' lacks keys backup, secrets get"
        in advice
    )
    assert "Grant them: grant keys backup, secrets get, secrets list. Permissions just granted" in advice
    assert "a little later" in advice
    assert job.tasks[0].name is TaskName.TAKE_SNAPSHOT
    assert job.tasks[0].status is TaskStatus.FAILED
    assert "capture: frozen" not in world.hook.seen
    assert world.points(item) == []


def test_permissions_given_back_let_the_next_backup_succeed(
    world: World, item: ProtectedItem, reference: KeyReference
) -> None:
    assert world.back_up(item).status is JobStatus.COMPLETED
    world.key_vaults.missing[reference.key_vault] = ["secrets get"]
    assert world.back_up(item).status is JobStatus.FAILED
    world.key_vaults.missing[reference.key_vault] = []
    world.write(item, 1, "b")
    assert world.back_up(item).status is JobStatus.COMPLETED
    assert len(world.points(item)) == 2


def test_outlook_names_what_a_backup_of_an_encrypted_vm_lacks(
    world: World, item: ProtectedItem, reference: KeyReference
) -> None:
    good = [line for line in world.engine.outlook(item.vm_uuid).lines if line.subject == "Encryption"]
    assert [line.code for line in good] == [""]
    world.key_vaults.missing[reference.key_vault] = ["secrets get"]
    outlook = world.engine.outlook(item.vm_uuid)
    assert "UserErrorKeyvaultPermissionsNotConfigured" in {line.code for line in outlook.failures}


def test_encrypted_vm_whose_key_nobody_named_is_refused(world: World) -> None:
    item = world.protect()
    world.fabric.encrypt(item.vm_uuid, "vda", "first")
    code, _message, advice = error_of(world.back_up(item))
    assert code == "DiskKeyNotNamed"
    assert f"vmkeep vm encryption set {item.vm_name}" in advice


def test_secret_that_is_not_there_is_named(
    world: World, item: ProtectedItem, reference: KeyReference
) -> None:
    world.key_vaults.lose(reference.key_vault)
    code, message, _advice = error_of(world.back_up(item))
    assert code == "DiskKeyUnavailable"
    assert reference.key_vault in message
    assert reference.secret in message


def test_key_vault_that_does_not_answer_is_no_missing_permission(
    world: World, item: ProtectedItem, reference: KeyReference
) -> None:
    world.key_vaults.unreachable.add(reference.key_vault)
    job = world.back_up(item)
    assert error_of(job)[:2] == ("OutOfReach", f"the key vault '{reference.key_vault}' does not answer")
    assert "capture: frozen" not in world.hook.seen
    assert "OutOfReach" in {line.code for line in world.engine.outlook(item.vm_uuid).failures}
    world.key_vaults.unreachable.clear()
    assert world.back_up(item).status is JobStatus.COMPLETED


def test_secret_that_does_not_open_the_disk_fails_the_backup_and_not_the_restore(
    world: World, item: ProtectedItem, reference: KeyReference
) -> None:
    world.key_vaults.put(reference, "mistyped")
    assert error_of(world.back_up(item))[0] == "DiskKeyWrong"
    assert world.points(item) == []


@pytest.mark.parametrize("tier", list(Tier))
def test_restore_needs_no_key_vault_and_encrypts_the_disks_again(
    world: World, item: ProtectedItem, reference: KeyReference, tier: Tier
) -> None:
    world.back_up(item)
    world.key_vaults.lose(reference.key_vault)
    [point] = world.points(item)
    assert restore_vm(world, item, point, tier) == {"vda": "first"}
    assert world.fabric.written_keys["vda.qcow2"] == "first"


def test_restored_disk_files_are_encrypted_with_the_key_of_their_point(
    world: World, item: ProtectedItem, tmp_path: Path
) -> None:
    world.back_up(item)
    job = world.engine.start_restore_disks(
        item,
        world.points(item)[0],
        folder=tmp_path,
        disk_format=DiskFormat.RAW,
        disk_names=None,
        tier=None,
        reason="test",
    )
    assert world.ended(job).status is JobStatus.COMPLETED
    assert world.fabric.written_keys["vda.raw"] == "first"


def test_rotated_key_is_taken_by_the_next_backup_and_old_points_keep_theirs(
    world: World, item: ProtectedItem, reference: KeyReference
) -> None:
    world.back_up(item)
    world.fabric.encrypt(item.vm_uuid, "vda", "second")
    world.key_vaults.put(reference, "second")
    world.write(item, 1, "b")
    assert world.back_up(item).status is JobStatus.COMPLETED
    new, old = world.points(item)
    assert [point.disk_keys[0].version for point in (old, new)] == ["1", "2"]
    assert restore_vm(world, item, old, Tier.VAULT) == {"vda": "first"}
    assert restore_vm(world, item, new, Tier.VAULT) == {"vda": "second"}


def test_point_carries_its_key_sealed_and_the_secret_as_the_key_vault_backs_it_up(
    world: World, item: ProtectedItem, reference: KeyReference
) -> None:
    world.back_up(item)
    [key] = world.points(item)[0].disk_keys
    assert (key.disk, key.reference, key.secret_backup) == ("vda", reference, b"backup of os-key")
    assert b"first" not in key.sealed
    assert "first" not in repr(key)
