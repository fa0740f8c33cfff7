"""The key vaults as backups of encrypted VMs use them: our own by the rights of the backup service, others by their URLs."""

from collections.abc import Iterable

from vmkeep.keyvault.key_vaults import KeyVaults
from vmkeep.keyvault.rights import BACKUP_SERVICE, RIGHTS, Kind, Right, has_right
from vmkeep.model.disk_key import FoundKey, KeyReference, KeyVaultRights
from vmkeep.workflows.ports import KeyVaultPort

NEEDED = tuple((kind, right) for kind in Kind for right in (Right.GET, Right.LIST, Right.BACKUP))
"""What Azure Backup asks for on the key vault of an encrypted VM, keys and secrets alike."""

_EVERYTHING = tuple((kind, right) for kind, rights in RIGHTS.items() for right in rights)


class DiskKeyVaults:
    """A `KeyVaultPort` over all key vaults: asks the one that a reference means."""

    def __init__(self, *, own: KeyVaultPort, elsewhere: KeyVaultPort) -> None:
        self._own = own
        self._elsewhere = elsewhere

    def find_rights(self, reference: KeyReference) -> KeyVaultRights | None:
        """Return the rights that are missing; None when one of our own key vaults is not there."""
        return self._of(reference).find_rights(reference)

    def fetch(self, reference: KeyReference) -> FoundKey:
        """Return the newest version of a secret."""
        return self._of(reference).fetch(reference)

    def _of(self, reference: KeyReference) -> KeyVaultPort:
        return self._elsewhere if reference.is_elsewhere else self._own


class OwnDiskKeys:
    """A `KeyVaultPort` over our own key vaults."""

    def __init__(self, key_vaults: KeyVaults) -> None:
        self._key_vaults = key_vaults

    def find_rights(self, reference: KeyReference) -> KeyVaultRights | None:
        """Return the rights that are missing; None when there is no such key vault."""
        found = self._key_vaults.find(reference.key_vault)
        if found is None:
            return None
        has = [one for one in _EVERYTHING if has_right(found.policies, BACKUP_SERVICE, one[0], one[1])]
        missing = [one for one in NEEDED if one not in has]
        kinds = {kind for kind, _right in missing}
        wanted = [one for one in dict.fromkeys((*has, *missing)) if one[0] in kinds]
        return KeyVaultRights(
            BACKUP_SERVICE,
            tuple(f"{kind} {right}" for kind, right in missing),
            grant=f"vmkeep keyvault set-policy --name {found.name} --object-id {BACKUP_SERVICE} {_options(wanted)}",
        )

    def fetch(self, reference: KeyReference) -> FoundKey:
        """Return the newest version of a secret; raises KeyVaultNotFound, EntryNotFound, EntryDisabled, MissingRight."""
        secrets = self._key_vaults.secrets(reference.key_vault, BACKUP_SERVICE)
        version, passphrase = secrets.reveal(reference.secret)
        return FoundKey(version.id, passphrase, secrets.backup(reference.secret))


def _options(rights: Iterable[tuple[Kind, Right]]) -> str:
    return " ".join(f"--{kind.removesuffix('s')}-permissions {right}" for kind, right in rights)
