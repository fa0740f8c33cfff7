"""Picks the implementations: SQLite, a local keyring, this host's libvirt, DBOS."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from vmkeep.base.clock import Clock
from vmkeep.base.errors import InvalidValue
from vmkeep.base.units import GIB
from vmkeep.catalog import Catalog
from vmkeep.keyvault.azure_keys import AzureKeys
from vmkeep.keyvault.azure_secrets import AzureSecrets
from vmkeep.keyvault.data_keyring import DataKeyring
from vmkeep.keyvault.database import Database
from vmkeep.keyvault.errors import MasterKeyMissing
from vmkeep.keyvault.key_vaults import KeyVaults
from vmkeep.keyvault.local_keyring import LocalKeyring
from vmkeep.keyvault.master_key import read_passphrase
from vmkeep.keyvault.own_keys import OwnKeys
from vmkeep.model.collection import CollectionPlace
from vmkeep.server.disk_key_vaults import DiskKeyVaults, OwnDiskKeys
from vmkeep.server.host import open_host
from vmkeep.server.identity import ensure_installation
from vmkeep.server.parts import Parts
from vmkeep.server.repositories import VaultRepositories, vaults_opened_by
from vmkeep.server.settings import Settings
from vmkeep.workflows import Engine, Limits

MOST_GB = 64 * 1024


@contextmanager
def assemble(settings: Settings, state_dir: Path, clock: Clock) -> Iterator[Parts]:
    """Make the parts of `vmkeep up`; jobs that a killed service left are taken up. Closes them in reverse.

    Raises InvalidValue, MasterKeyMissing, and what the parts raise.
    """
    limits = _limits(settings)
    with ExitStack() as stack:
        catalog = Catalog(f"sqlite:///{state_dir}/catalog.db", clock)
        stack.callback(catalog.close)
        database = Database(state_dir / "keyvault.db")
        stack.callback(database.close)
        master = _open_keyring(settings, state_dir / "master.key", catalog, database)
        key_vaults = KeyVaults(database, master, clock, needed_by=partial(vaults_opened_by, catalog))
        fabric = stack.enter_context(open_host(settings, state_dir, clock))
        repositories = VaultRepositories(
            DataKeyring(master, own=OwnKeys(key_vaults), foreign=AzureKeys()),
            catalog,
            clock,
            default_place=settings.repository or str(state_dir.absolute() / "vaults"),
            grace=limits.prune_grace,
        )
        restored = Path(settings.restore_dir) if settings.restore_dir else state_dir.absolute() / "restored"
        engine = Engine(
            catalog,
            fabric,
            repositories,
            DiskKeyVaults(
                own=OwnDiskKeys(key_vaults),
                elsewhere=AzureSecrets(os.environ.get("AZURE_CLIENT_ID", "none")),
            ),
            clock,
            dbos_url=f"sqlite:///{state_dir}/workflows.db",
            limits=limits,
            restored_dir=restored,
            place=CollectionPlace(ensure_installation(catalog).subscription, settings.location),
        )
        engine.launch(schedules=settings.schedules)
        stack.callback(engine.close)
        yield Parts(
            catalog=catalog, engine=engine, fabric=fabric, repositories=repositories, key_vaults=key_vaults
        )


def _open_keyring(settings: Settings, path: Path, catalog: Catalog, database: Database) -> LocalKeyring:
    """Return the keyring; its master key is made at the first start only. Raises MasterKeyMissing."""
    vaults, key_vaults = len(catalog.list_vaults()), database.count()
    if (vaults or key_vaults) and not path.exists():
        raise MasterKeyMissing(path=str(path), vaults=vaults, key_vaults=key_vaults)
    passphrase = read_passphrase(Path(settings.passphrase_file)) if settings.passphrase_file else b""
    return LocalKeyring(path, passphrase)


def _limits(settings: Settings) -> Limits:
    if not 0 < settings.disk_limit_gb <= MOST_GB:
        raise InvalidValue(
            what="setting disk_limit_gb", value=str(settings.disk_limit_gb), why=f"write 1 to {MOST_GB}"
        )
    return Limits(
        transfers_at_once=settings.transfers,
        disk_bytes=settings.disk_limit_gb * GIB,
        collection_delete_s=settings.collection_delete_s,
    )
