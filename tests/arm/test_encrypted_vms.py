"""Encrypted VMs in the API: which secret opens their disks, and what a recovery point says of its keys."""

from dataclasses import replace

import pytest

from tests.arm.conftest import GROUP, ITEM, VM, Api
from vmkeep.model.disk_key import CarriedKey, KeyReference

REFERENCE = KeyReference("kv1", "os-key")
KEY_VAULT = f"{GROUP}/providers/Microsoft.KeyVault/vaults/kv1"


@pytest.fixture
def encrypted(api: Api) -> Api:
    """`web01` with an encrypted OS disk, and a key vault."""
    [web01, *others] = api.fabric.machines
    os_disk, *data_disks = web01.disks
    api.fabric.machines = [replace(web01, disks=(replace(os_disk, encrypted=True), *data_disks)), *others]
    body = {"location": "local", "properties": {"tenantId": api.service.tenant, "accessPolicies": []}}
    assert api.call("PUT", KEY_VAULT, body).status_code in {200, 201}
    return api


def disks(api: Api) -> list[tuple[str, bool, object]]:
    shown = api.get(VM)["properties"]["vmkeep"]["disks"]
    return [(disk["name"], disk["encrypted"], disk["key"]) for disk in shown]


def test_vm_says_which_disks_are_encrypted_and_which_secret_opens_them(encrypted: Api) -> None:
    assert disks(encrypted) == [("vda", True, None), ("vdb", False, None)]
    answer = encrypted.call("POST", f"{VM}/vmkeepSetDiskKeys", {"keyVault": "kv1", "secret": "os-key"})
    assert answer.status_code == 200, answer.text
    assert disks(encrypted)[0] == ("vda", True, {"keyVault": "kv1", "secret": "os-key"})
    assert encrypted.get(VM)["properties"]["storageProfile"]["osDisk"]["encryptionSettings"] == {
        "enabled": True
    }


def test_key_vault_that_is_not_there_cannot_be_named(encrypted: Api) -> None:
    status, error = encrypted.error(
        "POST", f"{VM}/vmkeepSetDiskKeys", {"keyVault": "none", "secret": "os-key"}
    )
    assert (status, error["code"]) == (404, "KeyVaultNotFound")
    assert disks(encrypted)[0] == ("vda", True, None)


@pytest.mark.parametrize(
    "body",
    [
        {"keyVault": "https://KV1.vault.azure.net/", "secret": "os-key"},
        {"secret": "https://kv1.vault.azure.net/secrets/os-key"},
    ],
)
def test_secret_of_a_key_vault_elsewhere_is_named_by_url(encrypted: Api, body: dict[str, str]) -> None:
    answer = encrypted.call("POST", f"{VM}/vmkeepSetDiskKeys", body)
    assert answer.status_code == 200, answer.text
    named = {"keyVault": "https://kv1.vault.azure.net", "secret": "os-key"}
    assert disks(encrypted)[0] == ("vda", True, named)


def test_url_of_our_own_key_vault_is_its_name(encrypted: Api) -> None:
    url = encrypted.get(KEY_VAULT)["properties"]["vaultUri"]
    answer = encrypted.call("POST", f"{VM}/vmkeepSetDiskKeys", {"secret": f"{url}secrets/os-key"})
    assert answer.status_code == 200, answer.text
    assert disks(encrypted)[0] == ("vda", True, {"keyVault": "kv1", "secret": "os-key"})


@pytest.mark.parametrize("secret", ["os-key", "https://kv1.vault.azure.net/secrets/os-key/7f3a"])
def test_secret_that_is_not_named_wholly_or_by_version_is_refused(encrypted: Api, secret: str) -> None:
    status, error = encrypted.error("POST", f"{VM}/vmkeepSetDiskKeys", {"secret": secret})
    assert (status, error["code"]) == (400, "InvalidValue")
    assert disks(encrypted)[0] == ("vda", True, None)


def test_recovery_point_says_that_it_carries_a_key_and_never_shows_it(encrypted: Api) -> None:
    encrypted.protect()
    encrypted.call("POST", f"{ITEM}/backup", {"properties": {"objectType": "IaasVMBackupRequest"}})
    [item] = encrypted.service.catalog.list_items()
    [point] = encrypted.service.catalog.list_recovery_points(item.id)
    shown = encrypted.get(f"{ITEM}/recoveryPoints/{point.id}")["properties"]
    assert (shown["isSourceVMEncrypted"], shown["keyAndSecret"]) == (False, None)

    key = CarriedKey("vda", REFERENCE, "7", sealed=b"sealed", secret_backup=b"of the key vault")
    encrypted.service.catalog.put_recovery_point(replace(point, disk_keys=(key,)))
    shown = encrypted.get(f"{ITEM}/recoveryPoints/{point.id}")["properties"]
    assert shown["isSourceVMEncrypted"]
    assert shown["keyAndSecret"]["bekDetails"]["secretUrl"].startswith("https://kv1.vault.")
    assert shown["keyAndSecret"]["bekDetails"]["secretUrl"].endswith("/secrets/os-key/7")
    [told] = shown["vmkeep"]["diskKeys"]
    assert (told["disk"], told["keyVault"], told["secret"], told["version"]) == ("vda", "kv1", "os-key", "7")
    assert b"sealed".hex() not in str(shown)

    there = replace(key, reference=KeyReference("https://kv1.vault.azure.net", "os-key"))
    encrypted.service.catalog.put_recovery_point(replace(point, disk_keys=(there,)))
    shown = encrypted.get(f"{ITEM}/recoveryPoints/{point.id}")["properties"]
    assert shown["keyAndSecret"]["bekDetails"]["secretUrl"] == "https://kv1.vault.azure.net/secrets/os-key/7"
