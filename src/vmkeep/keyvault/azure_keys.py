"""A key vault elsewhere, Azure's own or another installation's, through Microsoft's client."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError
from azure.identity import EnvironmentCredential
from azure.keyvault.keys import KeyClient
from azure.keyvault.keys.crypto import CryptographyClient, KeyWrapAlgorithm

from vmkeep.keyvault.errors import EncryptionKeyRefused, EncryptionKeyUnusable, KeyVaultUnreachable
from vmkeep.keyvault.key_id import KeyId

_FORBIDDEN = 403
_PERMISSION = "AccessDenied"
_PERMISSIONS = {_PERMISSION, "ForbiddenByRbac", "ForbiddenByPolicy"}
_PATIENCE: dict[str, Any] = {
    "retry_total": 3,
    "connection_timeout": 10,
    "read_timeout": 30,
}  # the client's options


class Credential(Protocol):
    """How to log in there, as Microsoft's clients want it."""

    def get_token(self, *scopes: str, **options: Any) -> Any:  # Microsoft's own types
        """Return an access token."""
        ...


class AzureKeys:
    """A `KeyPlace` over key vaults elsewhere, named by their URLs."""

    def __init__(self, credential: Credential | None = None, **options: Any) -> None:  # the client's options
        """Without a credential it is that of the environment: AZURE_TENANT_ID, AZURE_CLIENT_ID, AZURE_CLIENT_SECRET."""
        self._credential: Any = credential  # Microsoft's clients take several kinds
        self._options = {**_PATIENCE, **options}

    def newest(self, key: KeyId) -> KeyId:
        """Return the id of the version that there is now; an id with a version stays as it is."""
        with _translated(key), KeyClient(key.place, self._log_in(), **self._options) as client:
            found = client.get_key(key.name, key.version or None)
            return key.at(str(found.properties.version))

    def wrap(self, key: KeyId, plaintext: bytes) -> bytes:
        """Wrap with one version of a key."""
        with _translated(key), self._open(key) as client:
            return client.wrap_key(KeyWrapAlgorithm.rsa_oaep_256, plaintext).encrypted_key

    def unwrap(self, key: KeyId, wrapped: bytes) -> bytes:
        """Return what `wrap` was given."""
        with _translated(key), self._open(key) as client:
            return client.unwrap_key(KeyWrapAlgorithm.rsa_oaep_256, wrapped).key

    def _open(self, key: KeyId) -> CryptographyClient:
        return CryptographyClient(str(key), self._log_in(), **self._options)

    def _log_in(self) -> Any:  # Microsoft's own types
        if self._credential is None:
            self._credential = EnvironmentCredential(disable_instance_discovery=True)
        return self._credential


@contextmanager
def _translated(key: KeyId) -> Iterator[None]:
    """Say what a refusal means for the vault that needs the key."""
    try:
        yield
    except ClientAuthenticationError as error:
        raise KeyVaultUnreachable(key=str(key), why=f"the log-in failed: {error.message}") from error
    except HttpResponseError as error:
        raise _refused(key, error) from error
    except (AzureError, ValueError) as error:
        raise KeyVaultUnreachable(key=str(key), why=str(error)) from error


def _refused(
    key: KeyId, error: HttpResponseError
) -> EncryptionKeyRefused | EncryptionKeyUnusable | KeyVaultUnreachable:
    status, why = error.status_code or 0, error.message
    if status == _FORBIDDEN and _inner_code(error) in _PERMISSIONS:
        return EncryptionKeyRefused(key=str(key), why=why)
    if 400 <= status < 500 and status not in {408, 429}:  # noqa: PLR2004 - timeouts and throttling pass
        return EncryptionKeyUnusable(key=str(key), why=why)
    return KeyVaultUnreachable(key=str(key), why=why)


def _inner_code(error: HttpResponseError) -> str:
    """Return the code within the code: it tells a missing right from a disabled key."""
    inner = getattr(error.error, "innererror", None) or {}
    return str(inner.get("code", _PERMISSION))
