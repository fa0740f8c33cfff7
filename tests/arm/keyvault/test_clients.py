"""Microsoft's own key vault clients, unchanged, over HTTPS."""

from datetime import UTC, datetime
from typing import Any

import pytest
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    ResourceExistsError,
    ResourceNotFoundError,
)
from azure.keyvault.keys import JsonWebKey, KeyOperation
from azure.keyvault.keys.crypto import EncryptionAlgorithm, KeyWrapAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.arm.keyvault.conftest import Sdk
from vmkeep.keyvault.azure_keys import AzureKeys
from vmkeep.keyvault.errors import EncryptionKeyRefused, EncryptionKeyUnusable, KeyVaultUnreachable
from vmkeep.keyvault.key_id import KeyId

SOON = datetime(2099, 1, 1, tzinfo=UTC)


def test_the_challenge_tells_clients_where_to_log_in(sdk: Sdk) -> None:
    key_vault = sdk.create()
    assert key_vault.properties.vault_uri == f"https://kv1.vault.localhost:{sdk.url.rpartition(':')[2]}/"
    assert list(sdk.secrets(key_vault).list_properties_of_secrets()) == []


def test_secrets_from_set_to_purge(sdk: Sdk) -> None:
    secrets = sdk.secrets(sdk.create())
    first = secrets.set_secret(
        "disk", "one", content_type="text/plain", tags={"vm": "web01"}, expires_on=SOON
    )
    second = secrets.set_secret("disk", "two")
    assert secrets.get_secret("disk").value == "two"
    old = secrets.get_secret("disk", first.properties.version)
    assert (old.value, old.properties.content_type, old.properties.tags) == (
        "one",
        "text/plain",
        {"vm": "web01"},
    )
    assert (old.properties.expires_on, old.properties.recovery_level) == (SOON, "Recoverable+Purgeable")
    versions = {one.version for one in secrets.list_properties_of_secret_versions("disk")}
    assert versions == {first.properties.version, second.properties.version}

    secrets.update_secret_properties("disk", enabled=False)
    with pytest.raises(HttpResponseError, match="disabled secret") as refused:
        secrets.get_secret("disk")
    assert refused.value.status_code == 403
    secrets.update_secret_properties("disk", enabled=True)

    blob = secrets.backup_secret("disk")
    deleted = secrets.begin_delete_secret("disk").result()
    assert deleted.recovery_id is not None
    assert deleted.scheduled_purge_date is not None
    assert [one.name for one in secrets.list_deleted_secrets()] == ["disk"]
    with pytest.raises(ResourceExistsError, match="recoverable"):
        secrets.set_secret("disk", "three")
    secrets.begin_recover_deleted_secret("disk").wait()
    assert secrets.get_secret("disk").value == "two"
    secrets.begin_delete_secret("disk").wait()
    secrets.purge_deleted_secret("disk")
    with pytest.raises(ResourceNotFoundError):
        secrets.get_deleted_secret("disk")
    secrets.restore_secret_backup(blob)
    assert secrets.get_secret("disk", first.properties.version).value == "one"


def test_keys_from_create_to_purge(sdk: Sdk) -> None:
    key_vault = sdk.create()
    keys = sdk.keys(key_vault)
    made = keys.create_rsa_key("kek", size=3072, tags={"for": "backups"})
    assert made.key.kty == "RSA"
    assert len(made.key.n) == 3072 // 8
    assert keys.get_key("kek").id == made.id
    rotated = keys.rotate_key("kek")
    assert [one.name for one in keys.list_properties_of_keys()] == ["kek"]
    assert len(list(keys.list_properties_of_key_versions("kek"))) == 2
    assert keys.get_key("kek").properties.version == rotated.properties.version
    changed = keys.update_key_properties("kek", made.properties.version, enabled=False)
    assert not changed.properties.enabled
    blob = keys.backup_key("kek")
    keys.begin_delete_key("kek").wait()
    assert keys.get_deleted_key("kek").name == "kek"
    keys.begin_recover_deleted_key("kek").wait()
    keys.begin_delete_key("kek").wait()
    keys.purge_deleted_key("kek")
    assert list(keys.list_deleted_keys()) == []
    assert keys.restore_key_backup(blob).id == rotated.id


@pytest.mark.parametrize("algorithm", [EncryptionAlgorithm.rsa_oaep, EncryptionAlgorithm.rsa_oaep_256])
def test_what_a_key_encrypts_it_decrypts(sdk: Sdk, algorithm: EncryptionAlgorithm) -> None:
    crypto = sdk.crypto(sdk.keys(sdk.create()).create_rsa_key("kek"))
    hidden = crypto.encrypt(algorithm, b"plain")
    assert crypto.decrypt(algorithm, hidden.ciphertext).plaintext == b"plain"
    wrapped = crypto.wrap_key(KeyWrapAlgorithm.rsa_oaep_256, bytes(32))
    assert crypto.unwrap_key(KeyWrapAlgorithm.rsa_oaep_256, wrapped.encrypted_key).key == bytes(32)


def test_a_key_made_elsewhere_is_imported(sdk: Sdk) -> None:
    numbers = rsa.generate_private_key(65537, 2048).private_numbers()
    public = numbers.public_numbers
    fields = {"n": public.n, "e": public.e, "d": numbers.d, "p": numbers.p, "q": numbers.q}
    jwk: Any = {name: value.to_bytes((value.bit_length() + 7) // 8) for name, value in fields.items()}
    keys = sdk.keys(sdk.create())
    kept = keys.import_key("kek", _jwk(jwk))
    assert kept.key.n == jwk["n"]
    assert kept.key.d is None
    with pytest.raises(HttpResponseError, match="whole RSA private key"):
        keys.import_key("half", _jwk({"n": jwk["n"], "e": jwk["e"]}))


def _jwk(fields: dict[str, bytes]) -> Any:  # the SDK's own type
    from_azure: Any = KeyOperation
    ops = [from_azure.wrap_key, from_azure.unwrap_key]
    return JsonWebKey(kty="RSA", key_ops=ops, **fields)


def test_lists_come_in_pages(sdk: Sdk) -> None:
    secrets = sdk.secrets(sdk.create())
    for number in range(30):
        secrets.set_secret(f"s{number:02}", "x")
    pages = [len(list(page)) for page in secrets.list_properties_of_secrets(max_page_size=20).by_page()]
    assert pages == [20, 10]
    assert len(list(secrets.list_properties_of_secrets())) == 30


def test_refusals_name_what_is_wrong(sdk: Sdk) -> None:
    key_vault = sdk.create()
    keys, secrets = sdk.keys(key_vault), sdk.secrets(key_vault)
    with pytest.raises(ResourceNotFoundError, match="KeyNotFound"):
        keys.get_key("none")
    with pytest.raises(ResourceNotFoundError, match="SecretNotFound"):
        secrets.get_secret("none")
    with pytest.raises(HttpResponseError, match="2048, 3072, 4096"):
        keys.create_rsa_key("kek", size=1024)
    with pytest.raises(HttpResponseError, match="type RSA, not EC"):
        keys.create_ec_key("kek")
    with pytest.raises(HttpResponseError, match="at most 25600 bytes"):
        secrets.set_secret("long", "x" * 25_601)
    key_vault.properties.vault_uri = key_vault.properties.vault_uri.replace("kv1", "kv2")
    with pytest.raises(ResourceNotFoundError, match="no key vault 'kv2'"):
        sdk.secrets(key_vault).get_secret("disk")


def test_a_wrong_log_in_opens_nothing(sdk: Sdk) -> None:
    key_vault = sdk.create()
    sdk.credential = type(sdk.credential)(
        sdk.tenant,
        sdk.client_id,
        "wrong",
        authority=sdk.url,
        disable_instance_discovery=True,
        connection_verify=sdk.trust,
    )
    with pytest.raises(ClientAuthenticationError):
        sdk.secrets(key_vault).get_secret("disk")


def test_a_key_vault_elsewhere_wraps_through_the_same_client(sdk: Sdk) -> None:
    key_vault = sdk.create()
    keys = sdk.keys(key_vault)
    made = keys.create_rsa_key("kek")
    place = AzureKeys(sdk.credential, connection_verify=sdk.trust)
    key = KeyId.parse(f"{key_vault.properties.vault_uri}keys/kek")
    used = place.newest(key)
    assert str(used) == made.id
    wrapped = place.wrap(used, bytes(32))
    rotated = keys.rotate_key("kek")
    assert place.newest(key).version == rotated.properties.version
    assert place.unwrap(used, wrapped) == bytes(32)

    keys.update_key_properties("kek", used.version, enabled=False)
    with pytest.raises(EncryptionKeyUnusable, match="disabled key"):
        place.unwrap(used, wrapped)
    keys.update_key_properties("kek", used.version, enabled=True)
    with pytest.raises(EncryptionKeyUnusable, match="not found"):
        place.newest(KeyId(key.place, "none"))
    with pytest.raises(KeyVaultUnreachable, match="refused"):
        AzureKeys(sdk.credential, connection_verify=sdk.trust, retry_total=0).newest(
            KeyId("https://kv1.vault.localhost:1", "kek")
        )
    sdk.create(accessPolicies=[])
    with pytest.raises(EncryptionKeyRefused, match="keys unwrapKey permission"):
        place.unwrap(used, wrapped)
