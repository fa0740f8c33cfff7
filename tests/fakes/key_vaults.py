"""Key vaults in memory: what they hold, and what the backup service may not do there."""

from dataclasses import dataclass, field

from vmkeep.base.errors import Retry, VmkeepError
from vmkeep.model.disk_key import FoundKey, KeyReference, KeyVaultRights

ALL_RIGHTS = tuple(f"{kind} {right}" for kind in ("keys", "secrets") for right in ("get", "list", "backup"))


@dataclass(eq=False)
class EntryNotFound(VmkeepError):
    text = "there is no secret '{e.name}'"
    retry = Retry.AFTER_CHANGE
    name: str


@dataclass
class FakeKeyVaults:
    """A secret's versions are numbered from 1; a key vault is there as long as `missing` names it."""

    identity: str = "backup-service"
    missing: dict[str, list[str]] = field(default_factory=dict)
    secrets: dict[KeyReference, list[str]] = field(default_factory=dict)

    def put(self, reference: KeyReference, passphrase: str) -> None:
        """Keep the secret's next version, with all rights given."""
        self.missing.setdefault(reference.key_vault, [])
        self.secrets.setdefault(reference, []).append(passphrase)

    def lose(self, key_vault: str) -> None:
        del self.missing[key_vault]
        self.secrets = {one: kept for one, kept in self.secrets.items() if one.key_vault != key_vault}

    def find_rights(self, key_vault: str) -> KeyVaultRights | None:
        if key_vault not in self.missing:
            return None
        missing = self.missing[key_vault]
        kinds = {one.split()[0] for one in missing}
        return KeyVaultRights(tuple(missing), tuple(one for one in ALL_RIGHTS if one.split()[0] in kinds))

    def fetch(self, reference: KeyReference) -> FoundKey:
        if reference not in self.secrets:
            raise EntryNotFound(name=reference.secret)
        versions = self.secrets[reference]
        return FoundKey(str(len(versions)), versions[-1], f"backup of {reference.secret}".encode())
