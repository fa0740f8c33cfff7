"""Keys of encrypted disks: where they are kept, and how a recovery point carries them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from vmkeep.base.errors import InvalidValue

DiskKeys = Mapping[str, str]
"""Disk → the passphrase that opens it. Never logged, never in an error, never on a command line."""
NO_KEYS: DiskKeys = MappingProxyType({})
_SECRET_NAME = re.compile(r"[0-9A-Za-z-]{1,127}")
_HOW = "write https://KEY-VAULT for the key vault and the secret's name, or https://KEY-VAULT/secrets/NAME alone, no version"


@dataclass(frozen=True, slots=True)
class KeyReference:
    """A secret of a key vault whose value is a disk's passphrase."""

    key_vault: str
    """The name of one of our own, or the URL of one elsewhere, without a slash at its end."""
    secret: str

    @classmethod
    def parse(cls, key_vault: str, secret: str) -> "KeyReference":
        """Read a key vault's name or URL and a secret's name, or the secret's URL alone; raises InvalidValue."""
        if "://" not in key_vault + secret:
            if not key_vault:
                raise InvalidValue(what="secret", value=secret, why=f"its key vault is not named; {_HOW}")
            return cls(key_vault, secret)
        if key_vault and "://" in secret and not secret.startswith(f"{key_vault.rstrip('/')}/"):
            raise InvalidValue(what="secret", value=secret, why=f"it is not in the key vault {key_vault}")
        text = secret if "://" in secret else f"{key_vault.rstrip('/')}/secrets/{secret}"
        url = urlsplit(text)
        kind, _, name = url.path.strip("/").partition("/")
        whole = url.hostname and "@" not in url.netloc and not url.query and not url.fragment
        if url.scheme != "https" or not whole or kind != "secrets" or not _SECRET_NAME.fullmatch(name):
            raise InvalidValue(what="secret", value=text, why=_HOW)
        return cls(f"https://{url.netloc.lower()}", name)

    @property
    def is_elsewhere(self) -> bool:
        """Whether the key vault is none of our own."""
        return "://" in self.key_vault

    @property
    def url(self) -> str:
        """Where a secret elsewhere is; its newest version."""
        return f"{self.key_vault}/secrets/{self.secret}"


@dataclass(frozen=True, slots=True)
class KeyVaultRights:
    """What the backup service lacks in a key vault, as `secrets get`, and how to grant it there."""

    identity: str
    """Who it is to that key vault."""
    missing: tuple[str, ...]
    grant: str
    """The command that grants it there, with all that a backup needs of that kind."""


@dataclass(frozen=True, slots=True)
class FoundKey:
    """What a key vault gave for a reference: the newest version."""

    version: str
    passphrase: str = field(repr=False)
    secret_backup: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class CarriedKey:
    """The key of one disk as a recovery point carries it, so that the key vault may be lost."""

    disk: str
    reference: KeyReference
    version: str
    """Which version of the secret it is."""
    sealed: bytes = field(repr=False)
    """The passphrase, sealed by the data key of the point's vault."""
    secret_backup: bytes = field(repr=False)
    """The secret as the key vault itself backs it up: any key vault of the installation can restore it."""

    def to_json(self) -> dict[str, Any]:  # JSON values
        """Return the key as JSON values."""
        return {
            "disk": self.disk,
            "key_vault": self.reference.key_vault,
            "secret": self.reference.secret,
            "version": self.version,
            "sealed": self.sealed.hex(),
            "secret_backup": self.secret_backup.hex(),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "CarriedKey":  # JSON values
        """Read what `to_json` wrote."""
        return cls(
            disk=data["disk"],
            reference=KeyReference(data["key_vault"], data["secret"]),
            version=data["version"],
            sealed=bytes.fromhex(data["sealed"]),
            secret_backup=bytes.fromhex(data["secret_backup"]),
        )
