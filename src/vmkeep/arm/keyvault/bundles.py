"""Keys and secrets on the wire, and back. Times are seconds since 1970, bytes are base64url without padding."""

from base64 import urlsafe_b64decode, urlsafe_b64encode

from fastapi import Request

from vmkeep.arm.keyvault.addresses import key_vault_url
from vmkeep.arm.members import Body, Json
from vmkeep.keyvault.entries import Entries
from vmkeep.keyvault.errors import BadKeyInput
from vmkeep.keyvault.records import Change, Deleted, Version
from vmkeep.keyvault.rights import Kind


def read_bytes(text: str) -> bytes:
    """Read base64url; raises BadKeyInput."""
    try:
        return urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError as error:
        raise BadKeyInput(why="A value is not base64url.") from error


def show_bytes(value: bytes) -> str:
    """Write base64url."""
    return urlsafe_b64encode(value).rstrip(b"=").decode()


class AttributesBody(Body):
    """When an entry may be used."""

    enabled: bool | None = None
    nbf: int | None = None
    exp: int | None = None


class EntryBody(Body):
    """What a client may say about a key or a secret."""

    attributes: AttributesBody = AttributesBody()
    tags: dict[str, str] | None = None

    def change(self) -> Change:
        """Return it in the key vault's own words."""
        said = self.attributes
        return Change(enabled=said.enabled, not_before=said.nbf, expires=said.exp, tags=self.tags)


def show_attributes(entries: Entries, version: Version) -> Json:
    """Return when a version was made and may be used, and whether it could be recovered."""
    key_vault = entries.key_vault
    found = {
        "enabled": version.enabled,
        "nbf": version.not_before,
        "exp": version.expires,
        "created": version.created,
        "updated": version.updated,
        "recoveryLevel": "Recoverable" if key_vault.purge_protection else "Recoverable+Purgeable",
        "recoverableDays": key_vault.retention_days,
    }
    return {name: value for name, value in found.items() if value is not None}


def show_item(request: Request, entries: Entries, version: Version, *, exact: bool) -> Json:
    """Return an entry as lists show it; `exact` ids name the version."""
    name = "kid" if entries.kind is Kind.KEYS else "id"
    return {name: _id(request, entries, version, exact=exact), **_said(entries, version)}


def show_version(request: Request, entries: Entries, version: Version) -> Json:
    """Return a version: a key with its public half, a secret without its value."""
    entry_id = _id(request, entries, version, exact=True)
    if entries.kind is Kind.SECRETS:
        return {"id": entry_id, **_said(entries, version)}
    return {"key": {"kid": entry_id, **version.facts}, **_said(entries, version)}


def show_deleted(request: Request, entries: Entries, shown: Json, deleted: Deleted) -> Json:
    """Return a deleted entry, shown as an item or whole."""
    base = key_vault_url(request, entries.key_vault.name)
    return {
        **shown,
        "recoveryId": f"{base}/deleted{entries.kind}/{deleted.newest.name}",
        "deletedDate": deleted.deleted,
        "scheduledPurgeDate": deleted.purge_at,
    }


def _said(entries: Entries, version: Version) -> Json:
    content_type = version.facts.get("contentType")
    typed = {"contentType": content_type} if content_type else {}
    return {**typed, "attributes": show_attributes(entries, version), "tags": dict(version.tags)}


def _id(request: Request, entries: Entries, version: Version, *, exact: bool) -> str:
    base = f"{key_vault_url(request, entries.key_vault.name)}/{entries.kind}/{version.name}"
    return f"{base}/{version.id}" if exact else base
