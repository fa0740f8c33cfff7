"""Our own key vaults as backups of encrypted VMs use them: by the rights of the backup service."""

from collections.abc import Sequence

from vmkeep.keyvault.key_vaults import KeyVaults
from vmkeep.keyvault.rights import BACKUP_SERVICE, Kind, Right, has_right
from vmkeep.model.disk_key import FoundKey, KeyReference

NEEDED = tuple((kind, right) for kind in Kind for right in (Right.GET, Right.LIST, Right.BACKUP))
"""What Azure Backup asks for on the key vault of an encrypted VM, keys and secrets alike."""


class DiskKeyVaults:
    """A `KeyVaultPort` over our own key vaults."""

    identity = BACKUP_SERVICE

    def __init__(self, key_vaults: KeyVaults) -> None:
        self._key_vaults = key_vaults

    def missing_rights(self, key_vault: str) -> Sequence[str] | None:
        """Return the rights that are missing; None when there is no such key vault."""
        found = self._key_vaults.find(key_vault)
        if found is None:
            return None
        return [
            f"{kind} {right}"
            for kind, right in NEEDED
            if not has_right(found.policies, self.identity, kind, right)
        ]

    def fetch(self, reference: KeyReference) -> FoundKey:
        """Return the newest version of a secret; raises KeyVaultNotFound, EntryNotFound, EntryDisabled, MissingRight."""
        secrets = self._key_vaults.secrets(reference.key_vault, self.identity)
        version, passphrase = secrets.reveal(reference.secret)
        return FoundKey(version.id, passphrase, secrets.backup(reference.secret))
