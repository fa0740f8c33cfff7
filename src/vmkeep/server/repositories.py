"""The repositories behind the vaults: where they are, and their data keys, wrapped by the keyring."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import structlog
from pydantic.alias_generators import to_camel

from vmkeep.arm.ports import NewRepository
from vmkeep.base.clock import Clock
from vmkeep.base.errors import InvalidValue, VmkeepError
from vmkeep.base.ids import new_secret
from vmkeep.catalog import Catalog
from vmkeep.keyvault.data_keyring import DataKeyring, find_wrapping
from vmkeep.keyvault.errors import WrappedKeyDamaged
from vmkeep.keyvault.key_id import KeyId
from vmkeep.model.protection import Vault
from vmkeep.repository import Repository, RepositoryKey, open_store
from vmkeep.repository.sealing import SECRET_SIZE

log = structlog.get_logger()


class VaultRepositories:
    """Makes and opens the repository of each vault."""

    def __init__(
        self, keyring: DataKeyring, catalog: Catalog, clock: Clock, *, default_place: str, grace: timedelta
    ) -> None:
        """`default_place` is a folder or s3:// URL; vaults without a place of their own go below it."""
        self._keyring = keyring
        self._catalog = catalog
        self._clock = clock
        self._default_place = default_place.rstrip("/")
        self._grace = grace

    def create(self, vault_id: str, url: str, key: KeyId | None = None) -> NewRepository:
        """Make an empty repository; raises InvalidValue, PlaceNotEmpty, StoreUnreachable, and as KeyPlace."""
        place = _absolute(url or f"{self._default_place}/{vault_id}")
        secret = new_secret(SECRET_SIZE)
        wrapped = self._wrap(secret, vault_id, key)
        Repository.create(open_store(place), RepositoryKey(secret), clock=self._clock)
        return NewRepository(url=place, wrapped_key=wrapped)

    def open(self, vault: Vault) -> Repository:
        """Open a vault's repository; raises WrongKey, NotARepository, StoreUnreachable, and as KeyPlace."""
        secret = self._keyring.unwrap(vault.wrapped_key, vault.id)
        self._follow_rotation(vault, secret)
        return Repository.open(open_store(vault.repository_url), RepositoryKey(secret), clock=self._clock)

    def check_key(self, vault: Vault) -> None:
        """Raise as KeyPlace when the key vault's key that opens a vault cannot be used now; others are not asked."""
        if find_wrapping(vault.wrapped_key, vault.id):
            self._keyring.unwrap(vault.wrapped_key, vault.id)

    def wrap_anew(self, vault: Vault, key: KeyId | None) -> None:
        """Wrap a vault's data key under another key, for None the master key; raises as KeyPlace.

        The old key must still open it. When anything fails, the vault is as it was.
        """
        secret = self._keyring.unwrap(vault.wrapped_key, vault.id)
        self._catalog.put_wrapped_key(vault.id, self._wrap(secret, vault.id, key))
        log.info("vault.key.wrapped", vault=vault.name, key=str(key or "master key"))

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

    def _wrap(self, secret: bytes, vault_id: str, key: KeyId | None) -> bytes:
        """Wrap and prove that it opens again, before anything depends on it."""
        wrapped = self._keyring.wrap(secret, vault_id, key)
        if self._keyring.unwrap(wrapped, vault_id) != secret:
            raise WrappedKeyDamaged(context=vault_id)
        return wrapped

    def _follow_rotation(self, vault: Vault, secret: bytes) -> None:
        """Wrap anew when the vault's key, given without a version, has a newer one; the old one does until then."""
        wrapping = find_wrapping(vault.wrapped_key, vault.id)
        if wrapping is None or wrapping.asked.version:
            return
        try:
            if self._keyring.newest(wrapping.asked) != wrapping.used:
                self._catalog.put_wrapped_key(vault.id, self._wrap(secret, vault.id, wrapping.asked))
                log.info("vault.key.rotated", vault=vault.name, key=str(wrapping.asked))
        except VmkeepError as error:
            log.warning("vault.key.not-rotated", vault=vault.name, code=error.code, message=str(error))


def vaults_opened_by(catalog: Catalog, key_vault: str, key: str | None) -> Sequence[str]:
    """Name the vaults whose data key is wrapped by a key of our own key vault, by any of them for None."""
    names = []
    for vault in catalog.list_vaults():
        wrapping = find_wrapping(vault.wrapped_key, vault.id)
        used = wrapping.used if wrapping else None
        if used and used.is_in(key_vault) and (key is None or key.lower() == used.name.lower()):
            names.append(vault.name)
    return names


def _absolute(place: str) -> str:
    """Return the place as a URL; raises InvalidValue when it depends on the current folder."""
    if "://" in place:
        return place
    if not Path(place).is_absolute():
        raise InvalidValue(what="repository", value=place, why="write an absolute path or an s3:// URL")
    return f"file://{quote(place)}"
