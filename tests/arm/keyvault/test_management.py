"""Key vaults as resources, through Microsoft's management client."""

from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError

from tests.arm.keyvault.conftest import Sdk

OTHER = "6f0f6a52-8d0c-4a59-9d8e-0f4b1b9a7a11"


@pytest.fixture
def vaults(sdk: Sdk) -> Any:  # the SDK's operations
    return sdk.management.vaults


def change_policies(sdk: Sdk, operation: str, **permissions: list[str]) -> dict[str, Any]:  # by identity
    policy = {"tenantId": sdk.tenant, "objectId": OTHER, "permissions": permissions}
    body: Any = {"properties": {"accessPolicies": [policy]}}
    sdk.management.vaults.update_access_policy("local", "kv1", operation, body)
    found: Any = sdk.management.vaults.get("local", "kv1")
    return {
        one.object_id: {kind: names for kind, names in one.permissions.as_dict().items() if names}
        for one in found.properties.access_policies
    }


def test_a_key_vault_is_made_listed_changed_and_found(sdk: Sdk, vaults: Any) -> None:
    made = sdk.create(softDeleteRetentionInDays=7)
    assert made.properties.vault_uri.startswith("https://kv1.vault.localhost:")
    assert made.properties.enable_soft_delete
    assert [one.name for one in vaults.list_by_subscription()] == ["kv1"]
    assert [one.name for one in vaults.list_by_resource_group("LOCAL")] == ["kv1"]
    changed = vaults.update("local", "kv1", {"tags": {"for": "disks"}})
    assert changed.tags == {"for": "disks"}
    assert len(changed.properties.access_policies) == 1
    availability = vaults.check_name_availability({"name": "kv1", "type": "Microsoft.KeyVault/vaults"})
    assert not availability.name_available
    with pytest.raises(ResourceNotFoundError):
        vaults.get("local", "kv2")


def test_rights_are_added_replaced_and_taken_away(sdk: Sdk) -> None:
    sdk.create()
    assert change_policies(sdk, "add", keys=["get"])[OTHER] == {"keys": ["get"]}
    added = change_policies(sdk, "add", keys=["list"], secrets=["set"])[OTHER]
    assert added == {"keys": ["get", "list"], "secrets": ["set"]}
    assert change_policies(sdk, "replace", secrets=["get"])[OTHER] == {"secrets": ["get"]}
    assert OTHER not in change_policies(sdk, "remove", secrets=["get"])


def test_a_deleted_key_vault_is_recovered_with_its_secrets_and_purged_for_ever(sdk: Sdk, vaults: Any) -> None:
    sdk.secrets(sdk.create()).set_secret("disk", "value")
    vaults.delete("local", "kv1")
    assert [one.name for one in vaults.list_deleted()] == ["kv1"]
    with pytest.raises(HttpResponseError, match="can still be recovered"):
        sdk.create()
    recovered = sdk.create(createMode="recover")
    assert sdk.secrets(recovered).get_secret("disk").value == "value"
    vaults.delete("local", "kv1")
    vaults.begin_purge_deleted("kv1", "local").result()
    assert list(vaults.list_deleted()) == []
    assert list(sdk.secrets(sdk.create()).list_properties_of_secrets()) == []


def test_protection_against_purging_is_never_taken_away(sdk: Sdk, vaults: Any) -> None:
    sdk.create(enablePurgeProtection=True)
    vaults.update("local", "kv1", {"properties": {"enablePurgeProtection": False}})
    vaults.delete("local", "kv1")
    with pytest.raises(HttpResponseError, match="protected against purging"):
        vaults.begin_purge_deleted("kv1", "local").result()
