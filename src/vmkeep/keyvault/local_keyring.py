"""Wraps data keys with a master key in a file of this machine.

Format of a wrapped key, version 1: the byte 0x01, a random nonce of 12 bytes, then AES-256-GCM's ciphertext and tag.
The additional data is the version byte and the context in UTF-8, so a wrapped key opens only for what it was made for.
The master key's file holds 32 random bytes in hexadecimal and a line end.
"""

import os
import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from vmkeep.keyvault.errors import MasterKeyUnsafe, MasterKeyUnusable, WrongKey

_VERSION = b"\x01"
_KEY_BYTES = 32
_NONCE_BYTES = 12
_HEADER_BYTES = len(_VERSION) + _NONCE_BYTES
_OTHERS = 0o077


class LocalKeyring:
    """Wraps and unwraps with the master key at `path`, which is made at the first use.

    Losing that file loses every vault whose key it wraps. Raises MasterKeyUnsafe, MasterKeyUnusable.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._cipher = AESGCM(_read(path) if path.exists() else _create(path))
        except OSError as error:
            raise MasterKeyUnusable(path=str(path), why=error.strerror or str(error)) from error

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


def _read(path: Path) -> bytes:
    mode = path.stat().st_mode
    if mode & _OTHERS:
        raise MasterKeyUnsafe(path=str(path), mode=oct(mode & 0o777))
    try:
        key = bytes.fromhex(path.read_text())
    except ValueError as error:
        raise MasterKeyUnusable(path=str(path), why="it is not hexadecimal") from error
    if len(key) != _KEY_BYTES:
        raise MasterKeyUnusable(path=str(path), why=f"it has {len(key)} bytes instead of {_KEY_BYTES}")
    return key


def _create(path: Path) -> bytes:
    """Make the file whole or not at all; when another process is first, use its key."""
    fresh = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    key = secrets.token_bytes(_KEY_BYTES)
    try:
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(key.hex() + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(fresh, path)
        _sync_folder(path.parent)
    except FileExistsError:
        return _read(path)
    finally:
        fresh.unlink(missing_ok=True)
    return key


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
