"""Locks, resources and restore point collections on the command line."""

import json
import re
from dataclasses import replace

import pytest

from tests.arm.running import Running
from tests.catalog.records import RESTORE_POINT
from tests.cli.conftest import Vmkeep
from vmkeep.model.protection import Tier


@pytest.fixture
def backed_up(vmkeep: Vmkeep, running: Running) -> Vmkeep:
    """Back web01 up; its recovery point is in both tiers."""
    vmkeep("vault", "create", "main")
    vmkeep("protection", "enable-for-vm", "--vm", "web01")
    vmkeep("protection", "backup-now", "--vm", "web01")
    [item] = running.catalog.list_items()
    [point] = running.catalog.list_recovery_points(item.id)
    running.catalog.put_recovery_point(replace(point, restore_point=RESTORE_POINT))
    return vmkeep


def test_locks_are_made_listed_and_deleted(vmkeep: Vmkeep) -> None:
    vmkeep("vault", "create", "main")
    assert "Nothing is locked" in vmkeep("lock", "list").output
    vmkeep("lock", "create", "-n", "all", "--lock-type", "readonly", "--notes", "on holiday")
    group = ("--resource-group", "local")
    vmkeep("lock", "create", "-n", "group", "-t", "CanNotDelete", *group)
    vmkeep("lock", "create", "-n", "one", "-t", "CanNotDelete", "--resource-name", "MAIN", *group)
    shown = vmkeep("lock", "list").output
    assert re.search(r"all +ReadOnly +/subscriptions/[0-9a-f-]+ +on holiday", shown)
    assert re.search(r"one +CanNotDelete +\S+/vaults/main", shown)
    refused = vmkeep("vault", "delete", "main", fails=True).stderr
    assert "Please remove the lock and try again" in refused
    assert "lock 'one'" in refused
    for name in ("all", "group", "one"):
        assert f"Lock '{name}'" in vmkeep("lock", "delete", "--name", name).output
    assert "there is no lock 'one'" in vmkeep("lock", "delete", "-n", "one", fails=True).stderr
    vmkeep("vault", "delete", "main")


def test_locks_of_one_name_must_be_told_apart(vmkeep: Vmkeep) -> None:
    for vm in ("web01", "db01"):
        vmkeep("lock", "create", "-n", "keep", "-t", "ReadOnly", "--resource", vm)
    assert "there are 2 locks named 'keep'" in vmkeep("lock", "delete", "-n", "keep", fails=True).stderr
    vmkeep("lock", "delete", "-n", "keep", "--resource-name", "db01")
    [left] = json.loads(vmkeep("lock", "list", "-o", "json").output)
    assert left["id"].endswith("/virtualMachines/web01/providers/Microsoft.Authorization/locks/keep")


def test_hidden_resources_and_groups_are_listed(backed_up: Vmkeep) -> None:
    resources = backed_up("resource", "list").output
    assert re.search(r"AzureBackup_web01_1 +AzureBackupRG_local_1 +\S+/restorePointCollections", resources)
    assert "web01" not in backed_up("resource", "list", "--resource-group", "none").output
    assert "AzureBackupRG_local_1" in backed_up("group", "list").output


def test_a_collection_is_shown_and_deleted(backed_up: Vmkeep) -> None:
    assert re.search(
        r"AzureBackup_web01_1 .* web01 +1", backed_up("restore-point", "collection", "list").output
    )
    shown = backed_up("restore-point", "collection", "show", "web01").output
    assert RESTORE_POINT.id in shown
    delete = ("restore-point", "collection", "delete", "AzureBackup_web01_1")
    backed_up("lock", "create", "-n", "keep", "-t", "CanNotDelete", "-g", "AzureBackupRG_local_1")
    assert "Please remove the lock" in backed_up(*delete, "--yes", fails=True).stderr
    backed_up("lock", "delete", "-n", "keep")
    backed_up(*delete, fails=True)  # nobody says yes
    backed_up(*delete, "--yes")
    assert "No VM has a restore point" in backed_up("restore-point", "collection", "list").output
    assert "vault" in backed_up("recoverypoint", "list", "--vm", "web01").output


def test_the_only_copy_goes_only_by_force(backed_up: Vmkeep, running: Running) -> None:
    [item] = running.catalog.list_items()
    [point] = running.catalog.list_recovery_points(item.id)
    running.catalog.put_recovery_point(replace(point, manifest_id=""))
    delete = ("restore-point", "collection", "delete", "web01", "--yes")
    assert "the only copy" in backed_up(*delete, fails=True).stderr
    backed_up(*delete, "--force")


def test_a_restore_may_name_its_tier(backed_up: Vmkeep, running: Running) -> None:
    backed_up("restore", "vm", "--vm", "web01", "--name", "copy", "--tier", "vault")
    backed_up("restore", "disks", "--vm", "web01", "--to", "/srv/out", "--tier", "Instant")
    assert [restore["tier"] for restore in running.engine.restores] == [Tier.VAULT, Tier.INSTANT]
