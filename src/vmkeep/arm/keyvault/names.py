"""How key vaults, keys and secrets may be named, as in Azure."""

import re
from typing import Annotated

from fastapi import Path

from vmkeep.base.errors import InvalidValue

EntryName = Annotated[str, Path(pattern="^[0-9a-zA-Z-]{1,127}$")]
_KEY_VAULT = re.compile(r"(?!.*--)[a-zA-Z][a-zA-Z0-9-]{1,22}[a-zA-Z0-9]")


def check_key_vault_name(name: str) -> None:
    """Raise InvalidValue for a name that no key vault may have: it becomes part of a host name."""
    if not _KEY_VAULT.fullmatch(name):
        raise InvalidValue(
            what="key vault name",
            value=name,
            why="it has 3 to 24 letters, digits and single dashes, and begins with a letter",
        )
