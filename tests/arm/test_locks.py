"""Locks on the wire, and what they keep from happening."""

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.arm.conftest import GROUP, ITEM, ROOT, VAULT, VM, Api
from tests.catalog.records import RESTORE_POINT
from vmkeep.model.protection import ProtectionState, RecoveryPoint, Tier

LOCKS = "/providers/Microsoft.Authorization/locks"
BACKUP_GROUP = f"{ROOT}/resourceGroups/AzureBackupRG_local_1"
COLLECTION = f"{BACKUP_GROUP}/providers/Microsoft.Compute/restorePointCollections/AzureBackup_web01_1"


def lock(api: Api, scope: str, level: str = "CanNotDelete", name: str = "keep") -> int:
    body = {"properties": {"level": level, "notes": "why"}}
    return api.call("PUT", f"{scope}{LOCKS}/{name}", body).status_code


def back_up(api: Api, *, in_vault: bool = True) -> RecoveryPoint:
    """Protect web01 and back it up; the point is in the instant tier too, and perhaps only there."""
    api.protect()
    assert api.call("POST", f"{ITEM}/backup", {}).status_code == 202
    [item] = api.service.catalog.list_items()
    [point] = api.service.catalog.list_recovery_points(item.id)
    point = replace(point, restore_point=RESTORE_POINT, manifest_id=point.manifest_id if in_vault else "")
    api.service.catalog.put_recovery_point(point)
    return point


@pytest.mark.parametrize("scope", [ROOT, GROUP, VM, VM.replace("/virtualMachines", "//virtualmachines")])
def test_a_lock_is_made_shown_changed_and_deleted(api: Api, scope: str) -> None:
    where = f"{scope}{LOCKS}/keep"
    assert (lock(api, scope), lock(api, scope, "readonly")) == (201, 200)
    shown = api.get(where)
    assert shown["properties"] == {"level": "ReadOnly", "notes": "why"}
    assert api.get(f"{ROOT}{LOCKS}")["value"] == [shown]
    assert (api.call("DELETE", where).status_code, api.call("DELETE", where).status_code) == (200, 204)
    assert api.error("GET", where)[0] == 404


def test_a_list_has_the_locks_above_and_below_unless_told(api: Api) -> None:
    for name, scope in (("all", ROOT), ("group", GROUP), ("vm", VM)):
        lock(api, scope, name=name)
    everything = api.get(f"{GROUP}{LOCKS}")["value"]
    assert [one["name"] for one in everything] == ["all", "group", "vm"]
    [own] = api.get(f"{GROUP}{LOCKS}", **{"$filter": "atScope()"})["value"]
    assert own["name"] == "group"


@pytest.mark.parametrize(
    ("scope", "code"),
    [
        ("/subscriptions/other", "SubscriptionNotFound"),
        (f"{ROOT}/resourceGroups/none", "ResourceGroupNotFound"),
        (VM.replace("web01", "none"), "ResourceNotFound"),
    ],
)
def test_what_is_not_there_cannot_be_locked(api: Api, scope: str, code: str) -> None:
    status, error = api.error("PUT", f"{scope}{LOCKS}/keep", {"properties": {"level": "ReadOnly"}})
    assert (status, error["code"]) == (404, code)
    assert api.error("PUT", f"{GROUP}{LOCKS}/keep", {"properties": {"level": "Never"}})[0] == 400


def test_what_is_below_a_resource_is_locked_with_it_and_not_alone(api: Api) -> None:
    status, error = api.error("PUT", f"{ITEM}{LOCKS}/keep", {"properties": {"level": "ReadOnly"}})
    assert (status, error["code"]) == (400, "UserErrorOperationNotSupported")


@pytest.mark.parametrize("scope", [ROOT, GROUP, VAULT])
def test_a_lock_against_deletion_forbids_deletion_only(api: Api, scope: str) -> None:
    api.protect()
    lock(api, scope)
    status, error = api.error("DELETE", VAULT)
    assert (status, error["code"]) == (409, "ScopeLocked")
    assert error["message"] == (
        f"The scope '{VAULT}' cannot perform delete operation because following scope(s) are locked: "
        f"'{scope}'. Please remove the lock and try again."
    )
    assert api.call("PATCH", VAULT, {"tags": {"a": "b"}}).status_code == 200
    assert api.call("POST", f"{ITEM}/backup", {}).status_code == 202
    api.call("DELETE", f"{scope}{LOCKS}/keep")
    assert api.call("DELETE", ITEM).status_code == 202
    assert api.call("DELETE", VAULT).status_code == 204


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", VAULT),
        ("PATCH", VAULT),
        ("DELETE", VAULT),
        ("PUT", ITEM),
        ("DELETE", ITEM),
        ("POST", f"{ITEM}/backup"),
        ("POST", f"{VAULT}/vmkeepRepositoryPrune"),
    ],
)
def test_a_read_only_lock_forbids_every_change(api: Api, method: str, path: str) -> None:
    api.protect()
    lock(api, VAULT, "ReadOnly")
    status, error = api.error(method, path.upper().replace("/SUBSCRIPTIONS", "/subscriptions"), {})
    assert (status, error["code"]) == (409, "ScopeLocked")
    assert api.get(VAULT)
    assert api.call("POST", f"{VAULT}/vmkeepRepositoryCheck", {}).status_code == 200


def test_a_vm_is_not_restored_into_a_locked_group(api: Api) -> None:
    point = back_up(api)
    api.call("PUT", VAULT.replace("/local/", "/vaults/"), {"location": "local"})
    lock(api, VM.replace("web01", "db01"), "ReadOnly")
    wanted = {"recoveryType": "AlternateLocation", "targetVirtualMachineId": VM.replace("web01", "db01")}
    status, error = api.error("POST", f"{ITEM}/recoveryPoints/{point.id}/restore", {"properties": wanted})
    assert (status, error["code"]) == (409, "ScopeLocked")


def test_a_lock_on_the_restore_points_keeps_their_item_from_being_deleted(api: Api) -> None:
    back_up(api)
    lock(api, BACKUP_GROUP)
    status, error = api.error("DELETE", ITEM)
    assert (status, error["code"]) == (409, "ScopeLocked")
    assert COLLECTION in error["message"]


def test_the_group_of_restore_points_is_there_from_the_first_backup_on(api: Api) -> None:
    api.protect()
    assert api.call("HEAD", BACKUP_GROUP).status_code == 404
    back_up(api)
    groups = [group["name"] for group in api.get(f"{ROOT}/resourceGroups")["value"]]
    assert groups == ["local", "AzureBackupRG_local_1"]


def test_hidden_resources_are_listed(api: Api) -> None:
    back_up(api)
    ids = {one["id"] for one in api.get(f"{ROOT}/resources")["value"]}
    assert {VM, VAULT, COLLECTION} <= ids
    only = "resourceType eq 'Microsoft.Compute/restorePointCollections'"
    assert [one["id"] for one in api.get(f"{BACKUP_GROUP}/resources")["value"]] == [COLLECTION]
    assert [one["id"] for one in api.get(f"{ROOT}/resources", **{"$filter": only})["value"]] == [COLLECTION]
    assert api.error("GET", f"{ROOT}/resourceGroups/none/resources")[0] == 404


def test_a_collection_shows_its_restore_points(api: Api) -> None:
    point = back_up(api)
    for listing in (ROOT, BACKUP_GROUP):
        [shown] = api.get(f"{listing}/providers/Microsoft.Compute/restorePointCollections")["value"]
        assert (shown["name"], shown["properties"]["source"]["id"]) == ("AzureBackup_web01_1", VM)
    assert api.get(f"{GROUP}/providers/Microsoft.Compute/restorePointCollections")["value"] == []
    [within] = api.get(
        COLLECTION.upper().replace("/SUBSCRIPTIONS", "/subscriptions"), **{"$expand": "restorePoints"}
    )["properties"]["restorePoints"]
    assert within == api.get(f"{COLLECTION}/restorePoints/{RESTORE_POINT.id}")
    assert within["properties"]["vmkeep"] == {"recoveryPoint": point.id, "inVault": True}
    assert api.error("GET", COLLECTION.replace("web01", "none"))[0] == 404


def test_a_collection_holds_the_restore_points_of_all_vaults(api: Api) -> None:
    back_up(api)
    [item] = api.service.catalog.list_items()
    api.service.catalog.put_item(replace(item, state=ProtectionState.PROTECTION_STOPPED))
    api.call("PUT", VAULT.replace("/main", "/other"), {"location": "local"})
    vault = api.service.catalog.get_vault("local", "other")
    new = replace(item, id="new", vault_id=vault.id, created=item.created + timedelta(days=1))
    api.service.catalog.put_item(new)
    newer = replace(RESTORE_POINT, id="rp-2", time=RESTORE_POINT.time + timedelta(days=1))
    [point] = api.service.catalog.list_recovery_points(item.id)
    api.service.catalog.put_recovery_point(
        replace(point, id="2000", item_id="new", restore_point=newer, time=newer.time)
    )
    [collection] = api.get(f"{ROOT}/providers/Microsoft.Compute/restorePointCollections")["value"]
    shown = api.get(collection["id"], **{"$expand": "restorePoints"})["properties"]["restorePoints"]
    assert [one["name"] for one in shown] == ["rp-2", RESTORE_POINT.id]


@pytest.mark.parametrize("below", ["", f"/restorePoints/{RESTORE_POINT.id}"])
def test_a_deleted_collection_leaves_the_recovery_points_in_the_vault(api: Api, below: str) -> None:
    point = back_up(api)
    answer = api.call("DELETE", f"{COLLECTION}{below}")
    assert answer.status_code == 202
    for header in ("Azure-AsyncOperation", "Location"):
        where = answer.headers[header].removeprefix("https://vmkeep.test")
        assert api.http.get(where).status_code in {200, 204}
    assert api.call("DELETE", f"{COLLECTION}{below}").status_code == 204
    shown = api.get(f"{ITEM}/recoveryPoints/{point.id}")["properties"]
    assert [tier["type"] for tier in shown["recoveryPointTierDetails"]] == ["HardenedRP"]


def test_the_only_copy_goes_only_by_force(api: Api) -> None:
    point = back_up(api, in_vault=False)
    status, error = api.error("DELETE", COLLECTION)
    assert (status, error["code"]) == (409, "OnlyCopyInCollection")
    assert point.id in error["message"]
    assert api.call("DELETE", COLLECTION, forceDeletion="true").status_code == 202


def test_a_locked_collection_is_not_deleted(api: Api) -> None:
    back_up(api)
    lock(api, BACKUP_GROUP)
    status, error = api.error("DELETE", COLLECTION)
    assert (status, error["code"]) == (409, "ScopeLocked")
    assert api.get(COLLECTION)


def test_the_item_says_why_restore_points_pile_up(api: Api) -> None:
    back_up(api)
    assert api.get(ITEM)["properties"]["healthStatus"] == "Passed"
    lock(api, BACKUP_GROUP)
    shown = api.get(ITEM)["properties"]
    assert shown["healthStatus"] == "ActionSuggested"
    [detail] = shown["healthDetails"]
    assert "prevents the automatic clean-up" in detail["message"]
    assert BACKUP_GROUP in detail["recommendations"][0]


@pytest.mark.parametrize(("wire", "tier"), [("instantrp", Tier.INSTANT), ("HardenedRP", Tier.VAULT)])
def test_a_restore_may_name_its_tier(api: Api, wire: str, tier: Tier) -> None:
    point = back_up(api)
    target = VM.replace("web01", "copy")
    wanted = {
        "recoveryType": "AlternateLocation",
        "targetVirtualMachineId": target,
        "vmkeep": {"tier": wire},
    }
    answer = api.call("POST", f"{ITEM}/recoveryPoints/{point.id}/restore", {"properties": wanted})
    assert answer.status_code == 202
    assert api.engine.restores[0]["tier"] is tier


def test_a_host_under_a_read_only_lock_is_checked_and_not_repaired(api: Api) -> None:
    lock(api, GROUP, "ReadOnly")
    where = f"{GROUP}/providers/Vmkeep.Fabric/check"
    assert api.call("POST", where, {}).status_code == 200
    assert api.error("POST", where, {"repair": True})[1]["code"] == "ScopeLocked"
    assert api.call("POST", f"{VM}/vmkeepBackupOutlook", {}).status_code == 200
