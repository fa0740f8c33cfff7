"""What a request to a key vault's own API is about: whose, and which keys or secrets."""

from typing import Annotated

from fastapi import Depends, Request

from vmkeep.arm.service import Here
from vmkeep.keyvault.entries import Entries
from vmkeep.keyvault.key_entries import Keys
from vmkeep.keyvault.rights import Kind
from vmkeep.keyvault.secret_entries import Secrets


def _keys(request: Request, here: Here) -> Keys:
    return here.key_vaults.keys(request.scope["key_vault"], request.scope["client_id"])


def _secrets(request: Request, here: Here) -> Secrets:
    return here.key_vaults.secrets(request.scope["key_vault"], request.scope["client_id"])


def _entries(request: Request, here: Here, kind: Kind) -> Entries:
    return _keys(request, here) if kind is Kind.KEYS else _secrets(request, here)


TheKeys = Annotated[Keys, Depends(_keys)]
TheSecrets = Annotated[Secrets, Depends(_secrets)]
TheEntries = Annotated[Entries, Depends(_entries)]
"""Keys or secrets, as the path says."""
