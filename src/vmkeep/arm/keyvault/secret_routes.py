"""Secrets: set, reveal, change."""

from fastapi import APIRouter, Request
from pydantic import Field

from vmkeep.arm.keyvault.bundles import EntryBody, show_version
from vmkeep.arm.keyvault.names import EntryName
from vmkeep.arm.keyvault.scope import TheSecrets
from vmkeep.arm.members import Json

router = APIRouter()
_SECRET = "/secrets/{name}"  # noqa: S105 - a path
_VERSION = f"{_SECRET}/{{version}}"


class SecretBody(EntryBody):
    """A secret to be kept."""

    value: str = Field(repr=False)
    content_type: str | None = None


class SecretChangeBody(EntryBody):
    """What is to be different about a secret; never its value."""

    content_type: str | None = None


@router.put(_SECRET)
def set_secret(request: Request, secrets: TheSecrets, name: EntryName, body: SecretBody) -> Json:
    """Keep a secret, or its next version."""
    kept = secrets.set(name, body.value, content_type=body.content_type, change=body.change())
    return {"value": body.value, **show_version(request, secrets, kept)}


@router.get(_SECRET)
@router.get(_VERSION)
def reveal(request: Request, secrets: TheSecrets, name: str, version: str = "") -> Json:
    """Return a secret with its value."""
    found, value = secrets.reveal(name, version)
    return {"value": value, **show_version(request, secrets, found)}


@router.patch(_SECRET)
@router.patch(_VERSION)
def update(
    request: Request, secrets: TheSecrets, name: str, body: SecretChangeBody, version: str = ""
) -> Json:
    """Change what is said about a secret."""
    changed = secrets.update(name, version, content_type=body.content_type, change=body.change())
    return show_version(request, secrets, changed)
