"""A key vault with somebody who may do everything in it."""

from dataclasses import dataclass, replace
from pathlib import Path

from vmkeep.base.clock import FakeClock
from vmkeep.keyvault.key_entries import Keys
from vmkeep.keyvault.key_vaults import KeyVaults
from vmkeep.keyvault.records import DAY_S, Change, KeyVault
from vmkeep.keyvault.rights import AccessPolicy
from vmkeep.keyvault.secret_entries import Secrets

ME = "me"
NOTHING = Change()
EVERYTHING = AccessPolicy(ME, "tenant", {"keys": ("all",), "secrets": ("all",)})


def key_vault(name: str = "kv1", *policies: AccessPolicy) -> KeyVault:
    return KeyVault(
        id=f"id-{name}",
        name=name,
        resource_group="local",
        tenant="tenant",
        created=0,
        policies=(EVERYTHING, *policies),
        retention_days=7,
    )


@dataclass
class Scene:
    folder: Path
    clock: FakeClock
    key_vaults: KeyVaults
    needed: dict[tuple[str, str | None], list[str]]

    def begun(self) -> "Scene":
        self.key_vaults.create(key_vault())
        return self

    @property
    def keys(self) -> Keys:
        return self.key_vaults.keys("kv1", ME)

    @property
    def secrets(self) -> Secrets:
        return self.key_vaults.secrets("kv1", ME)

    def days_pass(self, days: int) -> None:
        self.clock.advance(days * DAY_S)

    def permit(self, *policies: AccessPolicy, purge_protection: bool = False) -> None:
        """Have these access policies, and that of ME."""
        found = self.key_vaults.get("kv1")
        changed = replace(found, policies=(EVERYTHING, *policies), purge_protection=purge_protection)
        self.key_vaults.change(changed)
