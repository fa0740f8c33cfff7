"""Our own key vaults as a place for wrapping keys: the backup service uses them as any identity does, by its rights."""

from collections.abc import Iterator
from contextlib import contextmanager

from vmkeep.base.errors import VmkeepError
from vmkeep.keyvault.data_keyring import ALGORITHM
from vmkeep.keyvault.errors import (
    BadKeyInput,
    EncryptionKeyRefused,
    EncryptionKeyUnusable,
    EntryDisabled,
    EntryNotFound,
    EntryOutOfTime,
    KeyOperationForbidden,
    KeyVaultNotFound,
    MissingRight,
)
from vmkeep.keyvault.key_entries import KeyOperation, Keys
from vmkeep.keyvault.key_id import KeyId
from vmkeep.keyvault.key_vaults import KeyVaults
from vmkeep.keyvault.rights import BACKUP_SERVICE

_UNUSABLE: tuple[type[VmkeepError], ...] = (
    BadKeyInput,
    EntryDisabled,
    EntryNotFound,
    EntryOutOfTime,
    KeyOperationForbidden,
    KeyVaultNotFound,
)


class OwnKeys:
    """A `KeyPlace` over our own key vaults."""

    def __init__(self, key_vaults: KeyVaults) -> None:
        self._key_vaults = key_vaults

    def newest(self, key: KeyId) -> KeyId:
        """Return the id of the version that there is now; an id with a version stays as it is."""
        with _translated(key):
            return key.at(self._keys(key).get(key.name, key.version).id)

    def wrap(self, key: KeyId, plaintext: bytes) -> bytes:
        """Wrap with one version of a key."""
        return self._use(KeyOperation.WRAP_KEY, key, plaintext)

    def unwrap(self, key: KeyId, wrapped: bytes) -> bytes:
        """Return what `wrap` was given."""
        return self._use(KeyOperation.UNWRAP_KEY, key, wrapped)

    def _use(self, operation: KeyOperation, key: KeyId, value: bytes) -> bytes:
        with _translated(key):
            return self._keys(key).use(operation, key.name, key.version, algorithm=ALGORITHM, value=value)[1]

    def _keys(self, key: KeyId) -> Keys:
        return self._key_vaults.keys(key.own_key_vault or "", BACKUP_SERVICE)


@contextmanager
def _translated(key: KeyId) -> Iterator[None]:
    """Say what a refusal means for the vault that needs the key."""
    try:
        yield
    except MissingRight as error:
        raise EncryptionKeyRefused(key=str(key), why=str(error), advice_there=error.advice) from error
    except _UNUSABLE as error:
        raise EncryptionKeyUnusable(key=str(key), why=str(error), advice_there=error.advice) from error
