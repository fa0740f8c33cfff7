"""Wraps the vaults' data keys: under the master key, or under a key of a key vault.

Format of a wrapped key, version 2: the byte 0x02, the length of the header in two bytes, the header, a random nonce of
12 bytes, AES-256-GCM's ciphertext and tag. The header is JSON: `asked` (the key's id as the vault was given it), `used`
(with the version that wrapped), `algorithm`, `key` (a random key, wrapped by that one, base64). The random key seals the
data key; the additional data is all that stands before the nonce, and the context, as in version 1 (`local_keyring.py`).
"""

import json
from base64 import b64decode, b64encode
from dataclasses import dataclass
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from vmkeep.base.errors import InvalidValue
from vmkeep.base.ids import new_secret
from vmkeep.keyvault.errors import WrappedKeyDamaged
from vmkeep.keyvault.key_id import KeyId
from vmkeep.keyvault.local_keyring import LocalKeyring

ALGORITHM = "RSA-OAEP-256"
_VERSION = b"\x02"
_LENGTH_BYTES = 2
_NONCE_BYTES = 12
_KEY_BYTES = 32


class KeyPlace(Protocol):
    """Where wrapping keys are used. Every call raises EncryptionKeyRefused, EncryptionKeyUnusable, KeyVaultUnreachable."""

    def newest(self, key: KeyId) -> KeyId:
        """Return the id of the version that there is now; an id with a version stays as it is."""
        ...

    def wrap(self, key: KeyId, plaintext: bytes) -> bytes:
        """Wrap 32 bytes with one version of a key, by RSA-OAEP-256."""
        ...

    def unwrap(self, key: KeyId, wrapped: bytes) -> bytes:
        """Return what `wrap` was given."""
        ...


@dataclass(frozen=True, slots=True)
class Wrapping:
    """Which key wraps a data key: as the vault was given it, and the version that was used."""

    asked: KeyId
    used: KeyId
    key: bytes
    """The random key that seals the data key, wrapped."""


class DataKeyring:
    """Wraps and unwraps data keys; which key it takes stands in what is wrapped."""

    def __init__(self, local: LocalKeyring, *, own: KeyPlace, foreign: KeyPlace) -> None:
        self._local = local
        self._own = own
        self._foreign = foreign

    def wrap(self, plaintext: bytes, context: str, key: KeyId | None) -> bytes:
        """Return a data key sealed for one context under a key, for None under the master key; raises as KeyPlace."""
        if key is None:
            return self._local.wrap(plaintext, context)
        place = self._place(key)
        used, inner = place.newest(key), new_secret(_KEY_BYTES)
        wrapped = b64encode(place.wrap(used, inner)).decode()
        header = {"asked": str(key), "used": str(used), "algorithm": ALGORITHM, "key": wrapped}
        written = json.dumps(header).encode()
        before = _VERSION + len(written).to_bytes(_LENGTH_BYTES) + written
        nonce = new_secret(_NONCE_BYTES)
        return before + nonce + AESGCM(inner).encrypt(nonce, plaintext, before + context.encode())

    def unwrap(self, wrapped: bytes, context: str) -> bytes:
        """Return what was wrapped for this context; raises WrongKey, WrappedKeyDamaged, and as KeyPlace."""
        if not wrapped.startswith(_VERSION):
            return self._local.unwrap(wrapped, context)
        wrapping, before, rest = _split(wrapped, context)
        inner = self._place(wrapping.used).unwrap(wrapping.used, wrapping.key)
        try:
            return AESGCM(inner).decrypt(rest[:_NONCE_BYTES], rest[_NONCE_BYTES:], before + context.encode())
        except (InvalidTag, ValueError) as error:
            raise WrappedKeyDamaged(context=context) from error

    def newest(self, key: KeyId) -> KeyId:
        """Return the version of a key that would wrap now; raises as KeyPlace."""
        return self._place(key).newest(key)

    def _place(self, key: KeyId) -> KeyPlace:
        return self._foreign if key.own_key_vault is None else self._own


def find_wrapping(wrapped: bytes, context: str) -> Wrapping | None:
    """Return which key vault's key wraps a data key, None for the master key; raises WrappedKeyDamaged."""
    if not wrapped.startswith(_VERSION):
        return None
    return _split(wrapped, context)[0]


def _split(wrapped: bytes, context: str) -> tuple[Wrapping, bytes, bytes]:
    """Return what the header says, all that stands before the nonce, and the rest; raises WrappedKeyDamaged."""
    start = len(_VERSION) + _LENGTH_BYTES
    end = start + int.from_bytes(wrapped[len(_VERSION) : start])
    try:
        header = json.loads(wrapped[start:end])
        asked, used = KeyId.parse(header["asked"]), KeyId.parse(header["used"])
        wrapping = Wrapping(asked, used, b64decode(header["key"], validate=True))
    except (ValueError, KeyError, TypeError, AttributeError, InvalidValue) as error:
        raise WrappedKeyDamaged(context=context) from error
    return wrapping, wrapped[:end], wrapped[end:]
