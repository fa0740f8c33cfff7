"""Wraps data keys with the installation's master key.

Format of a wrapped key, version 1: the byte 0x01, a random nonce of 12 bytes, then AES-256-GCM's ciphertext and tag.
The additional data is the version byte and the context in UTF-8, so a wrapped key opens only for what it was made for.
"""

import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from vmkeep.keyvault.errors import WrongKey
from vmkeep.keyvault.master_key import load_master_key

_VERSION = b"\x01"
_NONCE_BYTES = 12
_HEADER_BYTES = len(_VERSION) + _NONCE_BYTES


class LocalKeyring:
    """Wraps and unwraps with the master key at `path`, which is made at the first use.

    Losing that file loses every vault whose key it wraps. Raises MasterKeyUnsafe, MasterKeyUnusable.
    """

    def __init__(self, path: Path, passphrase: bytes = b"") -> None:
        """With a passphrase the file is sealed by it, also one that was not sealed before."""
        self._path = path
        self._cipher = AESGCM(load_master_key(path, passphrase))

    def wrap(self, plaintext: bytes, context: str) -> bytes:
        """Return `plaintext` sealed for one context, such as a vault's id."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return _VERSION + nonce + self._cipher.encrypt(nonce, plaintext, _VERSION + context.encode())

    def unwrap(self, wrapped: bytes, context: str) -> bytes:
        """Return what was wrapped for this context; raises WrongKey."""
        version, nonce, sealed = wrapped[:1], wrapped[1:_HEADER_BYTES], wrapped[_HEADER_BYTES:]
        try:
            return self._cipher.decrypt(nonce, sealed, version + context.encode())
        except (InvalidTag, ValueError) as error:
            raise WrongKey(path=str(self._path), context=context) from error
