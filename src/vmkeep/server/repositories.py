"""The repositories behind the vaults: where they are, and their data keys, wrapped by the keyring."""

from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pydantic.alias_generators import to_camel

from vmkeep.arm.ports import NewRepository
from vmkeep.base.clock import Clock
from vmkeep.base.errors import InvalidValue
from vmkeep.base.ids import new_secret
from vmkeep.keyvault.local_keyring import LocalKeyring
from vmkeep.model.protection import Vault
from vmkeep.repository import Repository, RepositoryKey, open_store
from vmkeep.repository.sealing import SECRET_SIZE


class VaultRepositories:
    """Makes and opens the repository of each vault."""

    def __init__(self, keyring: LocalKeyring, clock: Clock, *, default_place: str, grace: timedelta) -> None:
        """`default_place` is a folder or s3:// URL; vaults without a place of their own go below it."""
        self._keyring = keyring
        self._clock = clock
        self._default_place = default_place.rstrip("/")
        self._grace = grace

    def create(self, vault_id: str, url: str) -> NewRepository:
        """Make an empty repository; raises InvalidValue, PlaceNotEmpty, StoreUnreachable."""
        place = _absolute(url or f"{self._default_place}/{vault_id}")
        secret = new_secret(SECRET_SIZE)
        Repository.create(open_store(place), RepositoryKey(secret), clock=self._clock)
        return NewRepository(url=place, wrapped_key=self._keyring.wrap(secret, vault_id))

    def open(self, vault: Vault) -> Repository:
        """Open a vault's repository; raises WrongKey, NotARepository, StoreUnreachable."""
        secret = self._keyring.unwrap(vault.wrapped_key, vault.id)
        return Repository.open(open_store(vault.repository_url), RepositoryKey(secret), clock=self._clock)

    def check(self, vault: Vault, *, read_data: bool) -> dict[str, Any]:  # a report as JSON values
        """Compare a vault's repository with what it claims."""
        found = self.open(vault).check(read_data=read_data)
        damaged = [f"{problem.name}: {problem.why}" for problem in found.problems]
        hurt = [
            f"manifest {disk.manifest_id}: disk {disk.disk} cannot be read whole"
            if disk.disk
            else f"manifest {disk.manifest_id} cannot be read"
            for disk in found.hurt
        ]
        figures = {"manifests": found.manifests, "packs": found.packs, "readBytes": found.read_bytes}
        return {"problems": [*damaged, *hurt], "figures": figures}

    def prune(self, vault: Vault) -> dict[str, Any]:  # a report as JSON values
        """Remove what no recovery point of a vault needs and has not needed for the grace period."""
        done = self.open(vault).prune(grace=self._grace)
        return {"figures": {to_camel(name): number for name, number in asdict(done).items()}}


def _absolute(place: str) -> str:
    """Return the place as a URL; raises InvalidValue when it depends on the current folder."""
    if "://" in place:
        return place
    if not Path(place).is_absolute():
        raise InvalidValue(what="repository", value=place, why="write an absolute path or an s3:// URL")
    return f"file://{quote(place)}"
