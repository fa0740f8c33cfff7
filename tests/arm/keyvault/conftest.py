from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from azure.identity import ClientSecretCredential
from azure.keyvault.keys import KeyClient
from azure.keyvault.keys.crypto import CryptographyClient
from azure.keyvault.secrets import SecretClient
from azure.mgmt.keyvault import KeyVaultManagementClient

from tests.arm.keyvault.resolving import localhost_names
from tests.arm.running import Running, run_service
from vmkeep.client.credentials import read_credentials

__all__ = ["localhost_names"]


@dataclass
class Sdk:
    """Microsoft's clients, logged in as the local client of a running service."""

    running: Running
    url: str
    tenant: str
    client_id: str
    trust: str
    management: KeyVaultManagementClient
    credential: ClientSecretCredential
    opened: list[Any] = field(default_factory=list)  # clients of several types

    def create(self, name: str = "kv1", **properties: Any) -> Any:  # the SDK's own types
        policy = {"tenantId": self.tenant, "objectId": self.client_id}
        everything = {"keys": ["all"], "secrets": ["all"]}
        body = {
            "location": "local",
            "properties": {
                "tenantId": self.tenant,
                "sku": {"family": "A", "name": "standard"},
                "accessPolicies": [{**policy, "permissions": everything}],
                **properties,
            },
        }
        vaults: Any = self.management.vaults  # overloads want the SDK's own models
        return vaults.begin_create_or_update("local", name, body).result()

    def secrets(self, key_vault: Any) -> Any:  # the SDK's own types
        return self._open(SecretClient, key_vault.properties.vault_uri)

    def keys(self, key_vault: Any) -> Any:  # the SDK's own types
        return self._open(KeyClient, key_vault.properties.vault_uri)

    def crypto(self, key: Any) -> Any:  # the SDK's own types
        return self._open(CryptographyClient, key)

    def _open(self, make: Callable[..., Any], what: Any) -> Any:  # one of Microsoft's clients
        client = make(what, self.credential, connection_verify=self.trust)
        self.opened.append(client)
        return client


@pytest.fixture
def sdk(tmp_path: Path, localhost_names: None) -> Iterator[Sdk]:
    del localhost_names
    with run_service(tmp_path / "state") as running:
        known = read_credentials(running.ready.client_file)
        trust = str(known.ca_file)
        credential = ClientSecretCredential(
            known.tenant,
            known.client_id,
            known.client_secret,
            authority=known.url,
            disable_instance_discovery=True,
            connection_verify=trust,
        )
        management = KeyVaultManagementClient(
            credential,
            known.subscription,
            base_url=known.url,
            credential_scopes=[f"{known.url}/.default"],
            connection_verify=trust,
        )
        sdk = Sdk(running, known.url, known.tenant, known.client_id, trust, management, credential)
        yield sdk
        for client in (*sdk.opened, management, credential):
            client.close()
