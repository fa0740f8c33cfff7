"""What is kept of key vaults, keys and secrets. Times are whole seconds since 1970, as Azure counts them here.

An *entry* is a key or a secret: a name with one version or more, the newest of which is the current one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from vmkeep.keyvault.rights import AccessPolicy

DAY_S = 24 * 3600
Facts = Mapping[str, Any]  # JSON values


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyVault:
    """A key vault, without what is in it."""

    id: str
    name: str
    resource_group: str
    tenant: str
    created: int
    policies: tuple[AccessPolicy, ...] = ()
    retention_days: int = 90
    """How long what is deleted can be recovered."""
    purge_protection: bool = False
    """Whether nobody may purge before that time is over."""
    properties: Facts = field(default_factory=dict)
    """Kept as clients sent it and not acted upon."""
    tags: Mapping[str, str] = field(default_factory=dict)
    deleted: int | None = None

    @property
    def purge_at(self) -> int | None:
        """When a deleted key vault goes for good."""
        return None if self.deleted is None else self.deleted + self.retention_days * DAY_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One version of a key or secret; what must stay secret of it is only in `sealed`."""

    name: str
    id: str
    created: int
    updated: int
    enabled: bool = True
    not_before: int | None = None
    expires: int | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    facts: Facts = field(default_factory=dict)
    """Of a key: `kty`, `n`, `e`, `key_ops`; of a secret: `contentType`."""
    sealed: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a client wants of a version, new or old; None leaves it."""

    enabled: bool | None = None
    not_before: int | None = None
    expires: int | None = None
    tags: Mapping[str, str] | None = None
    facts: Facts = field(default_factory=dict)

    def applied(self, version: Version, now: int) -> Version:
        """Return the version as wanted."""
        said = {
            name: value
            for name in ("enabled", "not_before", "expires", "tags")
            if (value := getattr(self, name)) is not None
        }
        return replace(version, **said, facts={**version.facts, **self.facts}, updated=now)


@dataclass(frozen=True, slots=True)
class Deleted:
    """An entry that can still be recovered."""

    newest: Version
    deleted: int
    purge_at: int
