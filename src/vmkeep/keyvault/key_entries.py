"""The keys of a key vault: RSA, used where they are; the private halves never leave but sealed."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from enum import StrEnum
from typing import Any

from vmkeep.keyvault import rsa_keys
from vmkeep.keyvault.entries import Entries
from vmkeep.keyvault.errors import BadKeyInput, EntryDisabled, EntryOutOfTime, KeyOperationForbidden
from vmkeep.keyvault.records import Change, Version
from vmkeep.keyvault.rights import Kind, Right


class KeyOperation(StrEnum):
    """What a key can be made for; named as the right to do it."""

    ENCRYPT = "encrypt"
    DECRYPT = "decrypt"
    WRAP_KEY = "wrapKey"
    UNWRAP_KEY = "unwrapKey"

    @property
    def hides(self) -> bool:
        """Whether it makes ciphertext; a key that is not valid now may still undo what it did."""
        return self in {KeyOperation.ENCRYPT, KeyOperation.WRAP_KEY}


ALL_OPERATIONS = tuple(KeyOperation)
_SIGNING = {"sign", "verify"}
"""Azure's clients ask for these too; they are left out of the key, which then says so."""


class Keys(Entries):
    """The keys of one key vault, as far as one identity may use them."""

    kind = Kind.KEYS

    def create(
        self, name: str, *, size: int = 2048, operations: Sequence[str] | None, change: Change
    ) -> Version:
        """Make a key, or its next version; raises BadKeyInput, DeletedEntryExists."""
        self._may(Right.CREATE)
        return self._keep(name, rsa_keys.make(size), operations, change)

    def import_jwk(
        self, name: str, jwk: Mapping[str, Any], *, operations: Sequence[str] | None, change: Change
    ) -> Version:  # Any: JSON of any shape
        """Keep a key that was made elsewhere; raises BadKeyInput, DeletedEntryExists."""
        self._may(Right.IMPORT)
        return self._keep(name, rsa_keys.from_jwk(jwk), operations, change)

    def rotate(self, name: str) -> Version:
        """Make the next version, of the same size and for the same operations; raises EntryNotFound."""
        self._may(Right.ROTATE)
        with self._rows() as rows:
            newest = self._version(rows, name, "")
        size = rsa_keys.size_of(self._open(newest))
        return self._keep(name, rsa_keys.make(size), newest.facts["key_ops"], Change(tags=newest.tags))

    def update(self, name: str, version: str, *, operations: Sequence[str] | None, change: Change) -> Version:
        """Change what a version may be used for and when; raises EntryNotFound, BadKeyInput."""
        self._may(Right.UPDATE)
        facts = {} if operations is None else {"key_ops": _known(operations)}
        return self._change(name, version, replace(change, facts=facts))

    def use(
        self, operation: KeyOperation, name: str, version: str, *, algorithm: str, value: bytes
    ) -> tuple[Version, bytes]:
        """Return the version that was used and what became of `value`.

        Raises EntryNotFound, EntryDisabled, EntryOutOfTime, KeyOperationForbidden, BadKeyInput.
        """
        self._may(Right(operation.value))
        with self._rows() as rows:
            found = self._version(rows, name, version)
        self._refuse_unfit(operation, found)
        work = rsa_keys.encrypt if operation.hides else rsa_keys.decrypt
        return found, work(self._open(found), algorithm, value)

    def _refuse_unfit(self, operation: KeyOperation, version: Version) -> None:
        if not version.enabled:
            raise EntryDisabled(what=self.what, name=version.name, operation=operation)
        if operation not in version.facts["key_ops"]:
            permitted = ", ".join(version.facts["key_ops"]) or "none"
            raise KeyOperationForbidden(name=version.name, operation=operation, permitted=permitted)
        now = self._cabinet.now()
        if operation.hides and version.not_before is not None and now < version.not_before:
            raise EntryOutOfTime(name=version.name, operation=operation, why="not yet valid")
        if operation.hides and version.expires is not None and now >= version.expires:
            raise EntryOutOfTime(name=version.name, operation=operation, why="expired")

    def _keep(self, name: str, private: bytes, operations: Sequence[str] | None, change: Change) -> Version:
        wanted = ALL_OPERATIONS if operations is None else operations
        facts = {**rsa_keys.public_jwk(private), "key_ops": _known(wanted)}
        return self._add(name, private, replace(change, facts=facts))


def _known(operations: Sequence[str]) -> list[str]:
    """Return the operations as this key vault knows them; raises BadKeyInput."""
    names = {operation.lower(): operation.value for operation in KeyOperation}
    unknown = [name for name in operations if name.lower() not in names and name.lower() not in _SIGNING]
    if unknown:
        raise BadKeyInput(why=f"Keys here can {', '.join(ALL_OPERATIONS)}, not {', '.join(unknown)}.")
    return [names[name.lower()] for name in operations if name.lower() in names]
