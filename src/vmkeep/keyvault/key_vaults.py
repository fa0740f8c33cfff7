"""All key vaults of this installation."""

from collections.abc import Sequence
from dataclasses import replace

from vmkeep.base.clock import Clock
from vmkeep.keyvault.database import Database, Rows
from vmkeep.keyvault.entries import Cabinet, NeededBy
from vmkeep.keyvault.errors import (
    DeletedKeyVaultExists,
    KeyInUse,
    KeyVaultExists,
    KeyVaultNotFound,
    PurgeProtected,
)
from vmkeep.keyvault.key_entries import Keys
from vmkeep.keyvault.local_keyring import LocalKeyring
from vmkeep.keyvault.records import KeyVault
from vmkeep.keyvault.secret_entries import Secrets


class KeyVaults:
    """Makes, changes and deletes key vaults, and opens them for identities. Every call raises KeyVaultsUnreadable."""

    def __init__(
        self,
        database: Database,
        keyring: LocalKeyring,
        clock: Clock,
        *,
        needed_by: NeededBy = lambda _key_vault, _key: (),
    ) -> None:
        """Never purge what a vault needs, as `needed_by` says, also not when its time has come."""
        self._cabinet = Cabinet(database, keyring, clock, needed_by)

    def create(self, one: KeyVault) -> None:
        """Keep a new key vault; raises KeyVaultExists, DeletedKeyVaultExists."""
        with self._cabinet.rows() as rows:
            taken = rows.find_key_vault(one.name)
            if taken is not None and taken.deleted is not None:
                raise DeletedKeyVaultExists(name=taken.name)
            if taken is not None:
                raise KeyVaultExists(name=taken.name, resource_group=taken.resource_group)
            rows.put_key_vault(one)

    def change(self, one: KeyVault) -> None:
        """Keep a key vault as it is now; raises KeyVaultNotFound."""
        with self._cabinet.rows() as rows:
            _existing(rows, one.name)
            rows.put_key_vault(one)

    def find(self, name: str) -> KeyVault | None:
        """Return a key vault, or None."""
        with self._cabinet.rows() as rows:
            found = rows.find_key_vault(name)
        return found if found and found.deleted is None else None

    def get(self, name: str) -> KeyVault:
        """Return a key vault; raises KeyVaultNotFound."""
        with self._cabinet.rows() as rows:
            return _existing(rows, name)

    def list(self) -> Sequence[KeyVault]:
        """Return the key vaults by name."""
        with self._cabinet.rows() as rows:
            return [one for one in rows.list_key_vaults() if one.deleted is None]

    def delete(self, name: str) -> None:
        """Delete a key vault so that it can be recovered; raises KeyVaultNotFound."""
        with self._cabinet.rows() as rows:
            rows.put_key_vault(replace(_existing(rows, name), deleted=self._cabinet.now()))

    def list_deleted(self) -> Sequence[KeyVault]:
        """Return the key vaults that can be recovered."""
        with self._cabinet.rows() as rows:
            return [one for one in rows.list_key_vaults() if one.deleted is not None]

    def get_deleted(self, name: str) -> KeyVault:
        """Return one that can be recovered; raises KeyVaultNotFound."""
        with self._cabinet.rows() as rows:
            return _deleted(rows, name)

    def recover(self, name: str) -> KeyVault:
        """Take a deletion back; raises KeyVaultNotFound."""
        with self._cabinet.rows() as rows:
            found = replace(_deleted(rows, name), deleted=None)
            rows.put_key_vault(found)
            return found

    def purge(self, name: str) -> None:
        """Remove a deleted key vault for ever; raises KeyVaultNotFound, PurgeProtected, KeyInUse."""
        with self._cabinet.rows() as rows:
            found = _deleted(rows, name)
            if found.purge_protection:
                raise PurgeProtected(name=found.name, days=found.retention_days)
            vaults = self._cabinet.needed_by(found.name, None)
            if vaults:
                raise KeyInUse(what="key vault", name=found.name, vaults=", ".join(vaults))
            rows.delete_key_vault(found.id)

    def keys(self, name: str, identity: str) -> Keys:
        """Return a key vault's keys as an identity may use them; raises KeyVaultNotFound."""
        return Keys(self._cabinet, self.get(name), identity)

    def secrets(self, name: str, identity: str) -> Secrets:
        """Return a key vault's secrets as an identity may use them; raises KeyVaultNotFound."""
        return Secrets(self._cabinet, self.get(name), identity)


def _existing(rows: Rows, name: str) -> KeyVault:
    found = rows.find_key_vault(name)
    if found is None or found.deleted is not None:
        raise KeyVaultNotFound(name=name)
    return found


def _deleted(rows: Rows, name: str) -> KeyVault:
    found = rows.find_key_vault(name)
    if found is None or found.deleted is None:
        raise KeyVaultNotFound(name=name)
    return found
