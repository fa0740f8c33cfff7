"""Keys of a key vault elsewhere, Azure's own or another installation's, through Microsoft's client."""

from contextlib import AbstractContextManager
from typing import Any

from azure.keyvault.keys import KeyClient
from azure.keyvault.keys.crypto import CryptographyClient, KeyWrapAlgorithm

from vmkeep.keyvault.elsewhere import Credential, Login, translated
from vmkeep.keyvault.errors import EncryptionKeyRefused, EncryptionKeyUnusable
from vmkeep.keyvault.key_id import KeyId


class AzureKeys:
    """A `KeyPlace` over key vaults elsewhere, named by their URLs."""

    def __init__(self, credential: Credential | None = None, **options: Any) -> None:  # the client's options
        """Without a credential it is that of the environment."""
        self._login = Login(credential, **options)

    def newest(self, key: KeyId) -> KeyId:
        """Return the id of the version that there is now; an id with a version stays as it is."""
        with (
            _translated(key),
            KeyClient(key.place, self._login.credential, **self._login.options) as client,
        ):
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
        return CryptographyClient(str(key), self._login.credential, **self._login.options)


def _translated(key: KeyId) -> AbstractContextManager[None]:
    return translated(str(key), refused=EncryptionKeyRefused, unusable=EncryptionKeyUnusable)
