"""Disk keys that are secrets of a key vault elsewhere, Azure's own or another installation's, through Microsoft's client."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

from azure.keyvault.secrets import SecretClient

from vmkeep.keyvault.elsewhere import Credential, Login, translated
from vmkeep.keyvault.errors import RightsNotOurs, SecretRefused, SecretUnusable
from vmkeep.model.disk_key import FoundKey, KeyReference, KeyVaultRights

_AZURE = (".vault.azure.net", ".vault.azure.cn", ".vault.usgovcloudapi.net")
_ATTEMPTS: Mapping[str, Callable[[SecretClient, str], object]] = {
    "get": lambda client, secret: client.get_secret(secret),
    "list": lambda client, _: next(client.list_properties_of_secrets(max_page_size=1).by_page(), None),
    "backup": lambda client, secret: client.backup_secret(secret),
}
"""How to find out whether a right on secrets is there: the data plane shows nobody's access policies."""


class AzureSecrets:
    """A `KeyVaultPort` over key vaults elsewhere, named by their URLs.

    Rights on keys are not asked for: backups use no key there, and a right that nothing uses is none to demand of others.
    """

    def __init__(
        self,
        identity: str,
        credential: Credential | None = None,
        **options: Any,  # the client's options
    ) -> None:
        """`identity` is the client id that logs in; without a credential it is that of the environment."""
        self._identity = identity
        self._login = Login(credential, **options)

    def find_rights(self, reference: KeyReference) -> KeyVaultRights:
        """Return the rights that are missing, found by trying; raises SecretUnusable, KeyVaultUnreachable."""
        missing, unusable = [], list[SecretUnusable]()
        with self._open(reference) as client:
            for right, attempt in _ATTEMPTS.items():
                try:
                    with _translated(reference):
                        attempt(client, reference.secret)
                except SecretRefused:
                    missing.append(f"secrets {right}")
                except SecretUnusable as error:  # who is told so has the right
                    unusable.append(error)
        if unusable and not missing:
            raise unusable[0]
        return KeyVaultRights(self._identity, tuple(missing), grant=self._say_how_to_grant(reference))

    def fetch(self, reference: KeyReference) -> FoundKey:
        """Return the newest version of a secret; raises SecretRefused, SecretUnusable, KeyVaultUnreachable."""
        with _translated(reference), self._open(reference) as client:
            found = client.get_secret(reference.secret)
            blob = client.backup_secret(reference.secret)
            if not (found.value and blob):
                raise SecretUnusable(key=reference.url, why="it has no value")
            return FoundKey(str(found.properties.version), found.value, blob)

    def grant(self, reference: KeyReference) -> None:
        """Raise RightsNotOurs: the owner of that key vault grants rights there."""
        raise RightsNotOurs(key_vault=reference.key_vault, grant=self._say_how_to_grant(reference))

    def grant_key(self, key: str) -> None:
        """Raise RightsNotOurs likewise."""
        raise RightsNotOurs(key_vault=key, grant="az keyvault set-policy")

    def _open(self, reference: KeyReference) -> SecretClient:
        with _translated(reference):
            return SecretClient(reference.key_vault, self._login.credential, **self._login.options)

    def _say_how_to_grant(self, reference: KeyReference) -> str:
        """Return it for all rights on secrets: granting replaces those there are."""
        host = reference.key_vault.removeprefix("https://").partition(":")[0]
        name = host.partition(".")[0]
        if host.endswith(_AZURE):
            rights = " ".join(_ATTEMPTS)
            return (
                f"az keyvault set-policy --name {name} --spn {self._identity} --secret-permissions {rights}; "
                "where roles decide instead of access policies, give it the role 'Key Vault Secrets Officer'"
            )
        options = " ".join(f"--secret-permissions {right}" for right in _ATTEMPTS)
        return (
            f"vmkeep keyvault set-policy --name {name} --object-id {self._identity} {options}, "
            f"in the installation behind {reference.key_vault}"
        )


def _translated(reference: KeyReference) -> AbstractContextManager[None]:
    return translated(reference.url, refused=SecretRefused, unusable=SecretUnusable)
