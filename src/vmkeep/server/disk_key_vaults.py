"""The key vaults as backups of encrypted VMs use them: our own by the rights of the backup service, others by their URLs."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from vmkeep.keyvault.errors import RightsNotOurs
from vmkeep.keyvault.key_id import KeyId
from vmkeep.keyvault.key_vaults import KeyVaults
from vmkeep.keyvault.rights import BACKUP_SERVICE, FOR_BACKUPS, RIGHTS, AccessPolicy, Kind, Right, has_right
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

    def grant(self, reference: KeyReference) -> None:
        """Give backups the rights that they lack; raises RightsNotOurs for a key vault elsewhere."""
        self._of(reference).grant(reference)

    def grant_key(self, key: str) -> None:
        """Give backups the rights that they need on a key; raises RightsNotOurs for one elsewhere."""
        self._own.grant_key(key)

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

    def grant(self, reference: KeyReference) -> None:
        """Give backups get, list and backup on keys and secrets; raises KeyVaultNotFound."""
        self._permit(reference.key_vault, dict.fromkeys(Kind, (Right.GET, Right.LIST, Right.BACKUP)))

    def grant_key(self, key: str) -> None:
        """Give backups get, wrapKey and unwrapKey on keys; raises RightsNotOurs for a key elsewhere, KeyVaultNotFound."""
        name = KeyId.parse(key).own_key_vault
        if name is None:
            raise RightsNotOurs(key_vault=KeyId.parse(key).place, grant="az keyvault set-policy")
        self._permit(name, FOR_BACKUPS)

    def _permit(self, name: str, rights: Mapping[str, tuple[str, ...]]) -> None:
        key_vault = self._key_vaults.get(name)
        own = [one for one in key_vault.policies if one.object_id == BACKUP_SERVICE]
        present = own[0] if own else AccessPolicy(BACKUP_SERVICE, key_vault.tenant)
        others = tuple(one for one in key_vault.policies if one.object_id != BACKUP_SERVICE)
        self._key_vaults.change(replace(key_vault, policies=(*others, present.with_rights(rights))))


def _options(rights: Iterable[tuple[Kind, Right]]) -> str:
    return " ".join(f"--{kind.removesuffix('s')}-permissions {right}" for kind, right in rights)
