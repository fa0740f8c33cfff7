"""What keys and secrets have in common: names with versions, soft delete, backup, and a right for each operation."""

import json
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import ClassVar

from vmkeep.base.clock import Clock
from vmkeep.base.ids import new_guid
from vmkeep.keyvault.database import Database, Entry, Rows
from vmkeep.keyvault.errors import (
    BadKeyInput,
    DeletedEntryExists,
    EntryExists,
    EntryNotFound,
    KeyInUse,
    MissingRight,
    PurgeProtected,
    WrongKey,
)
from vmkeep.keyvault.local_keyring import LocalKeyring
from vmkeep.keyvault.records import DAY_S, Change, Deleted, KeyVault, Version
from vmkeep.keyvault.rights import Kind, Right, has_right

NeededBy = Callable[[str, str | None], Sequence[str]]
"""Names the vaults that a key of a key vault opens; without a key, those that any of its keys opens."""


@dataclass(frozen=True, slots=True)
class Cabinet:
    """The file with all key vaults, and what it takes to read it."""

    database: Database
    keyring: LocalKeyring
    clock: Clock
    needed_by: NeededBy

    def now(self) -> int:
        """Return the time in whole seconds."""
        return int(self.clock.now().timestamp())

    @contextmanager
    def rows(self) -> Iterator[Rows]:
        """Open a transaction; what is past its time to be recovered goes first, unless a vault needs it."""
        with self.database.transaction() as rows:
            for one in rows.list_key_vaults():
                if one.purge_at is not None and one.purge_at <= self.now():
                    self._drop(rows, one)
            yield rows

    def _drop(self, rows: Rows, one: KeyVault) -> None:
        if not self.needed_by(one.name, None):
            rows.delete_key_vault(one.id)


class Entries:
    """Keys or secrets of one key vault, as far as one identity may use them.

    Every method asks for its right first and raises MissingRight. Names differ by more than case.
    """

    kind: ClassVar[Kind]

    def __init__(self, cabinet: Cabinet, key_vault: KeyVault, identity: str) -> None:
        self._cabinet = cabinet
        self.key_vault = key_vault
        self._identity = identity

    @property
    def what(self) -> str:
        """The word for one of them: key or secret."""
        return self.kind.value.removesuffix("s")

    def list(self) -> Sequence[Version]:
        """Return the newest version of each."""
        self._may(Right.LIST)
        with self._rows() as rows:
            return [rows.list_versions(entry)[0] for entry in self._entries(rows) if entry.deleted is None]

    def list_versions(self, name: str) -> Sequence[Version]:
        """Return the versions of one, the newest first; raises EntryNotFound."""
        self._may(Right.LIST)
        with self._rows() as rows:
            return rows.list_versions(self._entry(rows, name))

    def get(self, name: str, version: str = "") -> Version:
        """Return a version, the newest for none named; raises EntryNotFound."""
        self._may(Right.GET)
        with self._rows() as rows:
            return self._version(rows, name, version)

    def delete(self, name: str) -> Deleted:
        """Delete one so that it can be recovered; raises EntryNotFound."""
        self._may(Right.DELETE)
        with self._rows() as rows:
            entry = replace(self._entry(rows, name), deleted=self._cabinet.now())
            rows.put_entry(entry)
            return self._deleted(rows, entry)

    def list_deleted(self) -> Sequence[Deleted]:
        """Return those that can be recovered."""
        self._may(Right.LIST)
        with self._rows() as rows:
            return [self._deleted(rows, one) for one in self._entries(rows) if one.deleted is not None]

    def get_deleted(self, name: str) -> Deleted:
        """Return one that can be recovered; raises EntryNotFound."""
        self._may(Right.GET)
        with self._rows() as rows:
            return self._deleted(rows, self._deleted_entry(rows, name))

    def recover(self, name: str) -> Version:
        """Take a deletion back; raises EntryNotFound."""
        self._may(Right.RECOVER)
        with self._rows() as rows:
            entry = replace(self._deleted_entry(rows, name), deleted=None)
            rows.put_entry(entry)
            return rows.list_versions(entry)[0]

    def purge(self, name: str) -> None:
        """Remove a deleted one for ever; raises EntryNotFound, PurgeProtected, KeyInUse."""
        self._may(Right.PURGE)
        with self._rows() as rows:
            entry = self._deleted_entry(rows, name)
            if self.key_vault.purge_protection:
                raise PurgeProtected(name=self.key_vault.name, days=self.key_vault.retention_days)
            vaults = self._needed_by(entry.name)
            if vaults:
                raise KeyInUse(what=self.what, name=entry.name, vaults=", ".join(vaults))
            rows.delete_entry(entry)

    def backup(self, name: str) -> bytes:
        """Return one with all versions, sealed: any key vault of this installation can restore it."""
        self._may(Right.BACKUP)
        with self._rows() as rows:
            found = rows.list_versions(self._entry(rows, name))
        content = [{**asdict(one), "sealed": b64encode(self._open(one)).decode()} for one in reversed(found)]
        return self._cabinet.keyring.wrap(json.dumps(content).encode(), self._backup_context)

    def restore(self, blob: bytes) -> Version:
        """Put back what `backup` returned; raises BadKeyInput, EntryExists, DeletedEntryExists."""
        self._may(Right.RESTORE)
        try:
            content = json.loads(self._cabinet.keyring.unwrap(blob, self._backup_context))
        except WrongKey as error:
            raise BadKeyInput(why=f"This is no backup of a {self.what} of this installation.") from error
        with self._rows() as rows:
            entry = self._new_entry(rows, content[0]["name"])
            if rows.list_versions(entry):
                raise EntryExists(what=self.what, name=entry.name)
            rows.put_entry(entry)
            for one in content:
                plain = b64decode(one["sealed"])
                rows.put_version(entry, self._seal(Version(**{**one, "sealed": b""}), plain))
            return rows.list_versions(entry)[0]

    def _change(self, name: str, version: str, change: Change) -> Version:
        with self._rows() as rows:
            changed = change.applied(self._version(rows, name, version), self._cabinet.now())
            rows.put_version(self._entry(rows, name), changed)
            return changed

    def _add(self, name: str, plain: bytes, change: Change) -> Version:
        """Keep a new version, the first or the next; raises DeletedEntryExists."""
        with self._rows() as rows:
            entry = self._new_entry(rows, name)
            now = self._cabinet.now()
            empty = Version(
                name=entry.name, id=new_guid().replace("-", ""), created=now, updated=now, sealed=b""
            )
            version = self._seal(change.applied(empty, now), plain)
            rows.put_entry(entry)
            rows.put_version(entry, version)
            return version

    def _may(self, right: Right) -> None:
        if not has_right(self.key_vault.policies, self._identity, self.kind, right):
            raise MissingRight(
                identity=self._identity, kind=self.kind, right=right, key_vault=self.key_vault.name
            )

    @contextmanager
    def _rows(self) -> Iterator[Rows]:
        """Open a transaction, without what is past its time to be recovered."""
        with self._cabinet.rows() as rows:
            for entry in self._entries(rows):
                overdue = entry.deleted is not None and self._purge_at(entry.deleted) <= self._cabinet.now()
                if overdue and not self._needed_by(entry.name):
                    rows.delete_entry(entry)
            yield rows

    def _entries(self, rows: Rows) -> Sequence[Entry]:
        return rows.list_entries(self.key_vault.id, self.kind)

    def _entry(self, rows: Rows, name: str) -> Entry:
        entry = rows.find_entry(self.key_vault.id, self.kind, name)
        if entry is None or entry.deleted is not None:
            raise EntryNotFound(what=self.what, name=name)
        return entry

    def _deleted_entry(self, rows: Rows, name: str) -> Entry:
        entry = rows.find_entry(self.key_vault.id, self.kind, name)
        if entry is None or entry.deleted is None:
            raise EntryNotFound(what=f"deleted {self.what}", name=name)
        return entry

    def _new_entry(self, rows: Rows, name: str) -> Entry:
        entry = rows.find_entry(self.key_vault.id, self.kind, name)
        if entry is not None and entry.deleted is not None:
            raise DeletedEntryExists(what=self.what, name=entry.name)
        return entry or Entry(self.key_vault.id, self.kind, name)

    def _version(self, rows: Rows, name: str, version: str) -> Version:
        versions = rows.list_versions(self._entry(rows, name))
        found = next((one for one in versions if not version or one.id == version.lower()), None)
        if found is None:
            raise EntryNotFound(what=self.what, name=f"{name}/{version}")
        return found

    def _deleted(self, rows: Rows, entry: Entry) -> Deleted:
        deleted = entry.deleted or self._cabinet.now()
        return Deleted(rows.list_versions(entry)[0], deleted, self._purge_at(deleted))

    def _purge_at(self, deleted: int) -> int:
        return deleted + self.key_vault.retention_days * DAY_S

    def _needed_by(self, name: str) -> Sequence[str]:
        return self._cabinet.needed_by(self.key_vault.name, name) if self.kind is Kind.KEYS else ()

    def _seal(self, version: Version, plain: bytes) -> Version:
        return replace(version, sealed=self._cabinet.keyring.wrap(plain, self._context(version)))

    def _open(self, version: Version) -> bytes:
        return self._cabinet.keyring.unwrap(version.sealed, self._context(version))

    def _context(self, version: Version) -> str:
        """Bind what is sealed to its place: moved to another one, it does not open."""
        return f"keyvault/{self.key_vault.id}/{self.kind}/{version.name.lower()}/{version.id}"

    @property
    def _backup_context(self) -> str:
        return f"keyvault/backup/{self.kind}"
