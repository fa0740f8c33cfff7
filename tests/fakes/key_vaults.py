"""Key vaults in memory: what they hold, and what the backup service may not do there."""

from dataclasses import dataclass, field

from vmkeep.base.errors import Retry, VmkeepError
from vmkeep.model.disk_key import FoundKey, KeyReference, KeyVaultRights


@dataclass(eq=False)
class OutOfReach(VmkeepError):
    text = "the key vault '{e.key_vault}' does not answer"
    retry = Retry.LATER
    key_vault: str


@dataclass(eq=False)
class EntryNotFound(VmkeepError):
    text = "there is no secret '{e.name}'"
    retry = Retry.AFTER_CHANGE
    name: str


@dataclass
class FakeKeyVaults:
    """A secret's versions are numbered from 1; a key vault is there as long as `missing` names it."""

    unreachable: set[str] = field(default_factory=set)
    missing: dict[str, list[str]] = field(default_factory=dict)
    secrets: dict[KeyReference, list[str]] = field(default_factory=dict)

    def put(self, reference: KeyReference, passphrase: str) -> None:
        """Keep the secret's next version, with all rights given."""
        self.missing.setdefault(reference.key_vault, [])
        self.secrets.setdefault(reference, []).append(passphrase)

    def lose(self, key_vault: str) -> None:
        del self.missing[key_vault]
        self.secrets = {one: kept for one, kept in self.secrets.items() if one.key_vault != key_vault}

    def find_rights(self, reference: KeyReference) -> KeyVaultRights | None:
        self._reach(reference)
        if reference.key_vault not in self.missing:
            return None
        missing = self.missing[reference.key_vault]
        return KeyVaultRights("backup-service", tuple(missing), grant=f"grant {', '.join(missing)}")

    def grant(self, reference: KeyReference) -> None:
        self._reach(reference)
        self.missing[reference.key_vault].clear()

    def grant_key(self, key: str) -> None:
        self.missing[key].clear()

    def fetch(self, reference: KeyReference) -> FoundKey:
        self._reach(reference)
        if reference not in self.secrets:
            raise EntryNotFound(name=reference.secret)
        versions = self.secrets[reference]
        return FoundKey(str(len(versions)), versions[-1], f"backup of {reference.secret}".encode())

    def _reach(self, reference: KeyReference) -> None:
        if reference.key_vault in self.unreachable:
            raise OutOfReach(key_vault=reference.key_vault)
