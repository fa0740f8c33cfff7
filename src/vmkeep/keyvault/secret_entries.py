"""The secrets of a key vault: texts."""

from dataclasses import replace

from vmkeep.keyvault.entries import Entries
from vmkeep.keyvault.errors import BadKeyInput, EntryDisabled
from vmkeep.keyvault.records import Change, Version
from vmkeep.keyvault.rights import Kind, Right

MOST_BYTES = 25 * 1024
"""How long a secret may be in UTF-8, as in Azure."""


class Secrets(Entries):
    """The secrets of one key vault, as far as one identity may use them."""

    kind = Kind.SECRETS

    def set(self, name: str, value: str, *, content_type: str | None, change: Change) -> Version:
        """Keep a secret, or its next version; raises BadKeyInput, DeletedEntryExists."""
        self._may(Right.SET)
        plain = value.encode()
        if len(plain) > MOST_BYTES:
            raise BadKeyInput(why=f"A secret has at most {MOST_BYTES} bytes, not {len(plain)}.")
        return self._add(name, plain, _typed(change, content_type))

    def update(self, name: str, version: str, *, content_type: str | None, change: Change) -> Version:
        """Change what is said about a version, not its value; raises EntryNotFound."""
        self._may(Right.SET)
        return self._change(name, version, _typed(change, content_type))

    def reveal(self, name: str, version: str = "") -> tuple[Version, str]:
        """Return a version and its value; raises EntryNotFound, EntryDisabled."""
        found = self.get(name, version)
        if not found.enabled:
            raise EntryDisabled(what=self.what, name=found.name, operation="get")
        return found, self._open(found).decode()


def _typed(change: Change, content_type: str | None) -> Change:
    return change if content_type is None else replace(change, facts={"contentType": content_type})
