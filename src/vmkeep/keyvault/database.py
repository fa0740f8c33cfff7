"""The file with all key vaults: SQLite, secrets sealed before they come here (`docs/formats/keyvault.md`)."""

import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import RLock
from typing import Any

from vmkeep.keyvault.errors import KeyVaultsUnreadable
from vmkeep.keyvault.records import KeyVault, Version
from vmkeep.keyvault.rights import AccessPolicy, Kind

_FORMAT = 1
_PRAGMAS = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "secure_delete=ON")
_TABLES = (
    """CREATE TABLE key_vaults (
        id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE COLLATE NOCASE, deleted INTEGER, facts TEXT NOT NULL)""",
    """CREATE TABLE entries (
        key_vault TEXT NOT NULL REFERENCES key_vaults ON DELETE CASCADE, kind TEXT NOT NULL,
        name TEXT NOT NULL COLLATE NOCASE, deleted INTEGER, PRIMARY KEY (key_vault, kind, name))""",
    """CREATE TABLE versions (
        number INTEGER PRIMARY KEY AUTOINCREMENT, key_vault TEXT NOT NULL, kind TEXT NOT NULL,
        name TEXT NOT NULL COLLATE NOCASE, id TEXT NOT NULL, facts TEXT NOT NULL, sealed BLOB NOT NULL,
        UNIQUE (key_vault, kind, name, id),
        FOREIGN KEY (key_vault, kind, name) REFERENCES entries ON DELETE CASCADE)""",
)


@dataclass(frozen=True, slots=True)
class Entry:
    """A key or secret by name; `deleted` is when."""

    key_vault: str
    kind: Kind
    name: str
    deleted: int | None = None

    @property
    def place(self) -> tuple[str, str, str]:
        """Its primary key."""
        return self.key_vault, self.kind.value, self.name


class Rows:
    """Reads and writes within one transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._run = connection.execute

    def find_key_vault(self, name: str) -> KeyVault | None:
        """Return a key vault by name, deleted or not, or None."""
        row = self._run("SELECT deleted, facts FROM key_vaults WHERE name = ?", (name,)).fetchone()
        return _read_key_vault(*row) if row else None

    def list_key_vaults(self) -> list[KeyVault]:
        """Return all key vaults by name, deleted or not."""
        rows = self._run("SELECT deleted, facts FROM key_vaults ORDER BY name")
        return [_read_key_vault(*row) for row in rows]

    def put_key_vault(self, one: KeyVault) -> None:
        """Keep a key vault, new or changed."""
        facts = asdict(one)
        del facts["deleted"]
        self._run(
            "INSERT INTO key_vaults VALUES (?, ?, ?, ?)"
            " ON CONFLICT (id) DO UPDATE SET deleted = excluded.deleted, facts = excluded.facts",
            (one.id, one.name, one.deleted, json.dumps(facts)),
        )

    def delete_key_vault(self, key_vault_id: str) -> None:
        """Forget a key vault and all that is in it."""
        self._run("DELETE FROM key_vaults WHERE id = ?", (key_vault_id,))

    def find_entry(self, key_vault_id: str, kind: Kind, name: str) -> Entry | None:
        """Return a key or secret, deleted or not, or None."""
        query = "SELECT name, deleted FROM entries WHERE key_vault = ? AND kind = ? AND name = ?"
        row = self._run(query, (key_vault_id, kind.value, name)).fetchone()
        return Entry(key_vault_id, kind, *row) if row else None

    def list_entries(self, key_vault_id: str, kind: Kind) -> list[Entry]:
        """Return all keys or secrets by name, deleted or not."""
        query = "SELECT name, deleted FROM entries WHERE key_vault = ? AND kind = ? ORDER BY name"
        return [Entry(key_vault_id, kind, *row) for row in self._run(query, (key_vault_id, kind.value))]

    def put_entry(self, entry: Entry) -> None:
        """Keep a key or secret, new or changed, without its versions."""
        self._run(
            "INSERT INTO entries VALUES (?, ?, ?, ?)"
            " ON CONFLICT (key_vault, kind, name) DO UPDATE SET deleted = excluded.deleted",
            (*entry.place, entry.deleted),
        )

    def delete_entry(self, entry: Entry) -> None:
        """Forget a key or secret with its versions."""
        self._run("DELETE FROM entries WHERE key_vault = ? AND kind = ? AND name = ?", entry.place)

    def list_versions(self, entry: Entry) -> list[Version]:
        """Return the versions of a key or secret, the newest first."""
        query = (
            "SELECT facts, sealed FROM versions WHERE key_vault = ? AND kind = ? AND name = ?"
            " ORDER BY number DESC"
        )
        return [
            Version(**json.loads(facts), sealed=sealed) for facts, sealed in self._run(query, entry.place)
        ]

    def put_version(self, entry: Entry, version: Version) -> None:
        """Keep a version, new or changed."""
        facts = asdict(version)
        del facts["sealed"]
        self._run(
            "INSERT INTO versions (key_vault, kind, name, id, facts, sealed) VALUES (?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (key_vault, kind, name, id) DO UPDATE SET facts = excluded.facts",
            (*entry.place, version.id, json.dumps(facts), version.sealed),
        )


class Database:
    """Transactions on the file, one at a time; made at first use, for its owner only. Raises KeyVaultsUnreadable."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._guard = RLock()
        with self._translated():
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            self._prepare()

    def close(self) -> None:
        """Close the file."""
        with self._guard:
            self._connection.close()

    def count(self) -> int:
        """Return how many key vaults there are, deleted ones too."""
        with self.transaction() as rows:
            return len(rows.list_key_vaults())

    @contextmanager
    def transaction(self) -> Iterator[Rows]:
        """Hold the file until the block ends; when it raises, nothing has changed."""
        with self._guard, self._translated():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield Rows(self._connection)
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def _prepare(self) -> None:
        for pragma in _PRAGMAS:
            self._connection.execute(f"PRAGMA {pragma}")
        with self.transaction():
            (found,) = self._connection.execute("PRAGMA user_version").fetchone()
            if found > _FORMAT:
                raise KeyVaultsUnreadable(
                    path=str(self._path), why=f"a newer vmkeep made it (format {found})"
                )
            if found == 0:
                for table in _TABLES:
                    self._connection.execute(table)
                self._connection.execute(f"PRAGMA user_version={_FORMAT}")

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise KeyVaultsUnreadable(path=str(self._path), why=str(error)) from error


def _read_key_vault(deleted: int | None, facts: str) -> KeyVault:
    content: dict[str, Any] = json.loads(facts)  # as `put_key_vault` wrote it
    policies = tuple(_read_policy(**policy) for policy in content.pop("policies"))
    return KeyVault(**content, policies=policies, deleted=deleted)


def _read_policy(object_id: str, tenant: str, rights: dict[str, list[str]]) -> AccessPolicy:
    return AccessPolicy(object_id, tenant, {kind: tuple(names) for kind, names in rights.items()})
