"""Every operation of a key vault's API, with every right but its own: 403, and the answer names that right."""

import ssl
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest

from tests.arm.keyvault.conftest import Sdk
from vmkeep.client.session import Json
from vmkeep.keyvault.rights import RIGHTS, Kind, Right

WRAP = {"alg": "RSA-OAEP-256", "value": "AAAA"}
JWK = {"kty": "RSA", "n": "AQAB", "e": "AQAB", "d": "AQAB", "p": "Aw", "q": "BQ"}


@dataclass(frozen=True)
class Operation:
    right: Right
    method: str
    path: str
    body: Json | None = None

    @property
    def kind(self) -> Kind:
        return Kind.KEYS if "keys" in self.path else Kind.SECRETS


def shared(kind: Kind) -> Iterator[Operation]:
    yield Operation(Right.GET, "GET", f"/{kind}/one")
    yield Operation(Right.GET, "GET", f"/deleted{kind}/one")
    yield Operation(Right.LIST, "GET", f"/{kind}")
    yield Operation(Right.LIST, "GET", f"/{kind}/one/versions")
    yield Operation(Right.LIST, "GET", f"/deleted{kind}")
    yield Operation(Right.DELETE, "DELETE", f"/{kind}/one")
    yield Operation(Right.RECOVER, "POST", f"/deleted{kind}/one/recover")
    yield Operation(Right.PURGE, "DELETE", f"/deleted{kind}/one")
    yield Operation(Right.BACKUP, "POST", f"/{kind}/one/backup")
    yield Operation(Right.RESTORE, "POST", f"/{kind}/restore", {"value": "AAAA"})


OPERATIONS = (
    *shared(Kind.KEYS),
    *shared(Kind.SECRETS),
    Operation(Right.SET, "PUT", "/secrets/one", {"value": "x"}),
    Operation(Right.SET, "PATCH", "/secrets/one/1", {"contentType": "x"}),
    Operation(Right.CREATE, "POST", "/keys/one/create", {"kty": "RSA"}),
    Operation(Right.IMPORT, "PUT", "/keys/one", {"key": JWK}),
    Operation(Right.UPDATE, "PATCH", "/keys/one/1", {"key_ops": []}),
    Operation(Right.ROTATE, "POST", "/keys/one/rotate"),
    Operation(Right.ENCRYPT, "POST", "/keys/one/1/encrypt", WRAP),
    Operation(Right.DECRYPT, "POST", "/keys/one/1/decrypt", WRAP),
    Operation(Right.WRAP_KEY, "POST", "/keys/one/1/wrapkey", WRAP),
    Operation(Right.UNWRAP_KEY, "POST", "/keys/one/1/unwrapkey", WRAP),
)


def test_the_table_has_every_right() -> None:
    assert {(one.kind, one.right) for one in OPERATIONS} == {
        (kind, right) for kind, rights in RIGHTS.items() for right in rights
    }


@pytest.mark.slow
def test_no_operation_works_without_its_own_right(sdk: Sdk) -> None:
    token = sdk.credential.get_token(f"{sdk.url}/.default").token
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.Client(
        verify=ssl.create_default_context(cafile=sdk.trust), headers=headers, params={"api-version": "7.5"}
    ) as client:
        for one in OPERATIONS:
            others = [right.value for right in RIGHTS[one.kind] if right is not one.right]
            answer = ask(client, sdk, one, {one.kind.value: others})
            assert answer.status_code == httpx.codes.FORBIDDEN, one
            error = answer.json()["error"]
            assert (error["code"], error["innererror"]["code"]) == ("Forbidden", "AccessDenied")
            assert f"does not have {one.kind} {one.right} permission on key vault 'kv1'" in error["message"]

            allowed = ask(client, sdk, one, {one.kind.value: [one.right.value]})
            assert allowed.status_code != httpx.codes.FORBIDDEN, (one, allowed.text)
            assert allowed.status_code < httpx.codes.INTERNAL_SERVER_ERROR, (one, allowed.text)


def ask(client: httpx.Client, sdk: Sdk, one: Operation, permissions: dict[str, list[str]]) -> httpx.Response:
    policy = {"tenantId": sdk.tenant, "objectId": sdk.client_id, "permissions": permissions}
    key_vault = sdk.create(accessPolicies=[policy])
    url = key_vault.properties.vault_uri.rstrip("/") + one.path
    return client.request(one.method, url, json=one.body)


@pytest.mark.parametrize("identity", ["", "00000000-0000-0000-0000-000000000000"])
def test_rights_of_somebody_else_are_nobodys(sdk: Sdk, identity: str) -> None:
    key_vault = sdk.create(
        accessPolicies=[{"tenantId": sdk.tenant, "objectId": identity, "permissions": {"secrets": ["all"]}}]
        if identity
        else []
    )
    with pytest.raises(Exception, match="secrets get permission"):
        sdk.secrets(key_vault).get_secret("one")
