"""The master key: 32 random bytes in a file of this machine, for its owner only.

The file holds them in hexadecimal and a line end; or, sealed by a passphrase, one JSON object: `format` 1, `salt` and
`nonce` (random, 16 and 12 bytes) and `sealed`, all hexadecimal. `sealed` is AES-256-GCM's ciphertext and tag under
Argon2id of the passphrase and the salt (RFC 9106's second recommendation: 3 passes over 64 MiB in 4 lanes).
"""

import json
import os
import secrets
from pathlib import Path

import structlog
from argon2.low_level import Type, hash_secret_raw
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from vmkeep.keyvault.errors import MasterKeyUnsafe, MasterKeyUnusable

log = structlog.get_logger()

_FORMAT = 1
_KEY_BYTES = 32
_SALT_BYTES = 16
_NONCE_BYTES = 12
_OTHERS = 0o077


def load_master_key(path: Path, passphrase: bytes = b"") -> bytes:
    """Return the key in a file, which is made when it is not there.

    With a passphrase the file is sealed by it; one that was not sealed yet is sealed now.
    Raises MasterKeyUnsafe, MasterKeyUnusable.
    """
    try:
        return _read(path, passphrase) if path.exists() else _create(path, passphrase)
    except OSError as error:
        raise MasterKeyUnusable(path=str(path), why=error.strerror or str(error)) from error


def read_passphrase(path: Path) -> bytes:
    """Return the passphrase in a file, without the line end; raises MasterKeyUnsafe, MasterKeyUnusable."""
    try:
        _refuse_open_to_others(path)
        passphrase = path.read_bytes().rstrip(b"\r\n")
    except OSError as error:
        raise MasterKeyUnusable(path=str(path), why=error.strerror or str(error)) from error
    if not passphrase:
        raise MasterKeyUnusable(path=str(path), why="there is no passphrase in it")
    return passphrase


def _refuse_open_to_others(path: Path) -> None:
    mode = path.stat().st_mode
    if mode & _OTHERS:
        raise MasterKeyUnsafe(path=str(path), mode=oct(mode & 0o777))


def _read(path: Path, passphrase: bytes) -> bytes:
    _refuse_open_to_others(path)
    text = path.read_text()
    if text.startswith("{"):
        return _unseal(path, text, passphrase)
    key = _from_hex(path, text)
    if passphrase:
        _write_beside(path, _seal(key, passphrase)).replace(path)
        _sync_folder(path.parent)
        log.info("keyvault.master_key.sealed", path=str(path))
    return key


def _from_hex(path: Path, text: str) -> bytes:
    try:
        key = bytes.fromhex(text)
    except ValueError as error:
        raise MasterKeyUnusable(path=str(path), why="it is not hexadecimal") from error
    if len(key) != _KEY_BYTES:
        raise MasterKeyUnusable(path=str(path), why=f"it has {len(key)} bytes instead of {_KEY_BYTES}")
    return key


def _create(path: Path, passphrase: bytes) -> bytes:
    """Make the file whole or not at all; when another process is first, use its key."""
    key = secrets.token_bytes(_KEY_BYTES)
    fresh = _write_beside(path, _seal(key, passphrase) if passphrase else key.hex() + "\n")
    try:
        os.link(fresh, path)
        _sync_folder(path.parent)
    except FileExistsError:
        return _read(path, passphrase)
    finally:
        fresh.unlink()
    return key


def _seal(key: bytes, passphrase: bytes) -> str:
    salt, nonce = secrets.token_bytes(_SALT_BYTES), secrets.token_bytes(_NONCE_BYTES)
    sealed = AESGCM(_stretch(passphrase, salt)).encrypt(nonce, key, None)
    content = {"format": _FORMAT, "salt": salt.hex(), "nonce": nonce.hex(), "sealed": sealed.hex()}
    return json.dumps(content) + "\n"


def _unseal(path: Path, text: str, passphrase: bytes) -> bytes:
    if not passphrase:
        raise MasterKeyUnusable(
            path=str(path), why="it is sealed by a passphrase; name its file: passphrase_file"
        )
    try:
        content = json.loads(text)
        salt, nonce, sealed = (bytes.fromhex(content[name]) for name in ("salt", "nonce", "sealed"))
        return AESGCM(_stretch(passphrase, salt)).decrypt(nonce, sealed, None)
    except InvalidTag as error:
        raise MasterKeyUnusable(
            path=str(path), why="it was sealed by another passphrase, or altered"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise MasterKeyUnusable(path=str(path), why="it is neither hexadecimal nor a sealed key") from error


def _stretch(passphrase: bytes, salt: bytes) -> bytes:
    return hash_secret_raw(
        passphrase, salt, time_cost=3, memory_cost=64 * 1024, parallelism=4, hash_len=_KEY_BYTES, type=Type.ID
    )


def _write_beside(path: Path, content: str) -> Path:
    """Return a new file beside `path` with that content, durable, for its owner only."""
    fresh = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return fresh


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
