"""Our own key vaults as backups of encrypted VMs use them: by the rights of the backup service."""

from collections.abc import Iterable

from vmkeep.keyvault.key_vaults import KeyVaults
from vmkeep.keyvault.rights import BACKUP_SERVICE, RIGHTS, Kind, Right, has_right
from vmkeep.model.disk_key import FoundKey, KeyReference, KeyVaultRights

NEEDED = tuple((kind, right) for kind in Kind for right in (Right.GET, Right.LIST, Right.BACKUP))
"""What Azure Backup asks for on the key vault of an encrypted VM, keys and secrets alike."""

_EVERYTHING = tuple((kind, right) for kind, rights in RIGHTS.items() for right in rights)


class DiskKeyVaults:
    """A `KeyVaultPort` over our own key vaults."""

    identity = BACKUP_SERVICE

    def __init__(self, key_vaults: KeyVaults) -> None:
        self._key_vaults = key_vaults

    def find_rights(self, key_vault: str) -> KeyVaultRights | None:
        """Return the rights that are missing; None when there is no such key vault."""
        found = self._key_vaults.find(key_vault)
        if found is None:
            return None
        has = [one for one in _EVERYTHING if has_right(found.policies, self.identity, one[0], one[1])]
        missing = [one for one in NEEDED if one not in has]
        kinds = {kind for kind, _right in missing}
        wanted = [one for one in dict.fromkeys((*has, *missing)) if one[0] in kinds]
        return KeyVaultRights(_in_words(missing), _in_words(wanted))

    def fetch(self, reference: KeyReference) -> FoundKey:
        """Return the newest version of a secret; raises KeyVaultNotFound, EntryNotFound, EntryDisabled, MissingRight."""
        secrets = self._key_vaults.secrets(reference.key_vault, self.identity)
        version, passphrase = secrets.reveal(reference.secret)
        return FoundKey(version.id, passphrase, secrets.backup(reference.secret))


def _in_words(rights: Iterable[tuple[Kind, Right]]) -> tuple[str, ...]:
    return tuple(f"{kind} {right}" for kind, right in rights)
