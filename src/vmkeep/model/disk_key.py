"""Keys of encrypted disks: where they are kept, and how a recovery point carries them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

DiskKeys = Mapping[str, str]
"""Disk → the passphrase that opens it. Never logged, never in an error, never on a command line."""
NO_KEYS: DiskKeys = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class KeyReference:
    """A secret of a key vault whose value is a disk's passphrase."""

    key_vault: str
    secret: str


@dataclass(frozen=True, slots=True)
class KeyVaultRights:
    """What the backup service lacks in a key vault, as `secrets get`, and what to grant.

    `wanted` are all rights that it needs or has, of the kinds of which it lacks any: granting replaces those of a kind.
    """

    missing: tuple[str, ...]
    wanted: tuple[str, ...]


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
