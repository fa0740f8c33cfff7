"""Identifiers: the only place that draws random ones."""

import secrets
import uuid


def new_guid() -> str:
    """Return a random GUID, lower case with dashes."""
    return str(uuid.uuid4())  # noqa: TID251 - this is the one place


def guid_of(*names: str) -> str:
    """Return the GUID that belongs to these names: always the same one, and no other names have it."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, "\n".join(names)))


def new_token() -> str:
    """Return an unguessable URL-safe token of 256 bits."""
    return secrets.token_urlsafe(32)


def new_secret(size: int) -> bytes:
    """Return `size` unguessable bytes, for a key."""
    return secrets.token_bytes(size)
