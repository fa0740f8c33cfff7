"""Keys, ids, and sealing: compress, encrypt, authenticate. docs/formats/repository.md, "Keys" and "Records".

The only module that meets the hash, the compressor and the cipher.
"""

import threading
from enum import IntEnum
from typing import Final

from blake3 import blake3
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from zstandard import ZstdCompressor, ZstdDecompressor, ZstdError, frame_content_size

from vmkeep.base.ids import new_secret
from vmkeep.repository.errors import ObjectDamaged
from vmkeep.repository.layout import ID_SIZE, ZERO_ID, RecordKind

SECRET_SIZE: Final = 32
KEY_CHECK_SIZE: Final = 16
_NONCE_SIZE = 12
_TAG_SIZE = 16
_NOTE = b"\x01"
RECORD_OVERHEAD: Final = 1 + _TAG_SIZE
"""Bytes that a record is longer than its compressed payload."""

_LEVEL = 1
_WORTHWHILE = 15 / 16
"""Compression that leaves more than this is not kept: it would cost time at every read and save little."""


class Method(IntEnum):
    """How a payload was compressed; the number is stored before the ciphertext."""

    PLAIN = 0
    ZSTD = 1


class RepositoryKey:
    """The 32 secret bytes that everything in one repository depends on."""

    def __init__(self, secret: bytes) -> None:
        if len(secret) != SECRET_SIZE:
            raise ValueError(f"a repository key has {SECRET_SIZE} bytes, not {len(secret)}")
        self._secret = secret

    def __repr__(self) -> str:
        return "RepositoryKey(…)"

    def derive(self, purpose: str, size: int = SECRET_SIZE) -> bytes:
        """Return the key for one purpose, by BLAKE3's key derivation."""
        context = f"vmkeep repository v1 2026-11 {purpose}"
        return blake3(self._secret, derive_key_context=context).digest(length=size)


class NoteSeal:
    """Seals a few secret bytes that are kept beside the repository, such as a disk's key; each for one context.

    A note is the byte 0x01, a random nonce of 12 bytes, AES-256-GCM's ciphertext and tag; the additional data is the
    first byte and the context.
    """

    def __init__(self, key: RepositoryKey) -> None:
        self._cipher = AESGCM(key.derive("note"))

    def seal(self, secret: bytes, context: str) -> bytes:
        """Return the note."""
        nonce = new_secret(_NONCE_SIZE)
        return _NOTE + nonce + self._cipher.encrypt(nonce, secret, _NOTE + context.encode())

    def open(self, note: bytes, context: str) -> bytes:
        """Return what was sealed; raises ObjectDamaged."""
        version, nonce, sealed = note[:1], note[1 : 1 + _NONCE_SIZE], note[1 + _NONCE_SIZE :]
        try:
            if version != _NOTE:
                raise ObjectDamaged(context, "it was sealed by another version of vmkeep")
            return self._cipher.decrypt(nonce, sealed, _NOTE + context.encode())
        except (InvalidTag, ValueError) as error:
            raise ObjectDamaged(context, "it is not authentic") from error


class Sealer:
    """Names content and makes the seals of objects. Safe from several threads."""

    def __init__(self, key: RepositoryKey) -> None:
        self._chunk_id_key = key.derive("chunk id")
        self._node_id_key = key.derive("node id")
        self._sealing_key = key.derive("sealing")
        self.key_check = key.derive("key check", KEY_CHECK_SIZE)

    def chunk_id(self, content: bytes | memoryview) -> bytes:
        """Return the id of a whole chunk."""
        return _content_id(content, self._chunk_id_key)

    def node_id(self, content: bytes) -> bytes:
        """Return the id of a node."""
        return _content_id(content, self._node_id_key)

    def content_id(self, kind: RecordKind, content: bytes) -> bytes:
        """Return the id of a chunk or node."""
        return self.node_id(content) if kind is RecordKind.NODE else self.chunk_id(content)

    def seal_of(self, name: str, header: bytes) -> "ObjectSeal":
        """Return the seal of the object that begins with `header`; `name` is for its errors."""
        return ObjectSeal(name, blake3(header, key=self._sealing_key).digest())


class ObjectSeal:
    """Seals and opens the records of one object. Safe from several threads."""

    def __init__(self, name: str, object_key: bytes) -> None:
        self._name = name
        self._cipher = AESGCM(object_key)

    def seal(self, offset: int, kind: RecordKind, record_id: bytes, packed: "Compressed") -> bytes:
        """Return the record that belongs at `offset` of the object."""
        bound = _bound(kind, record_id, packed.method)
        return bytes((packed.method,)) + self._cipher.encrypt(_nonce(offset), packed.payload, bound)

    def open(
        self, record: bytes | memoryview, offset: int, kind: RecordKind, record_id: bytes, *, limit: int
    ) -> bytes:
        """Return the payload, of at most `limit` bytes, of the record that was found at `offset`, or ObjectDamaged."""
        if len(record) < RECORD_OVERHEAD:
            raise ObjectDamaged(self._name, f"it ends inside the record at {offset}")
        method = record[0]
        try:
            payload = self._cipher.decrypt(_nonce(offset), record[1:], _bound(kind, record_id, method))
        except InvalidTag as error:
            raise ObjectDamaged(self._name, f"the record at {offset} is not authentic") from error
        try:
            return _decompress(method, payload, limit)
        except (ValueError, ZstdError) as error:
            raise ObjectDamaged(self._name, f"the record at {offset} does not decompress: {error}") from error


class Compressed:
    """A payload as it will be encrypted, and the method that made it so."""

    __slots__ = ("method", "payload")

    def __init__(self, payload: bytes | memoryview) -> None:
        """Compress `payload` when that is worthwhile."""
        shorter = _tools.compressor.compress(payload)
        worthwhile = len(shorter) <= len(payload) * _WORTHWHILE
        self.method = Method.ZSTD if worthwhile else Method.PLAIN
        self.payload = shorter if worthwhile else payload


class _ThreadTools(threading.local):
    """zstd contexts, which must not be shared between threads and are dear to make."""

    def __init__(self) -> None:
        self.compressor = ZstdCompressor(level=_LEVEL)
        self.decompressor = ZstdDecompressor()


_tools = _ThreadTools()


def _decompress(method: int, payload: bytes, limit: int) -> bytes:
    size = len(payload) if method == Method.PLAIN else frame_content_size(payload)
    if not 0 <= size <= limit or method not in tuple(Method):
        raise ValueError(f"method {method}, size {size} of at most {limit}")
    return payload if method == Method.PLAIN else _tools.decompressor.decompress(payload)


def _content_id(content: bytes | memoryview, key: bytes) -> bytes:
    content_id = blake3(content, key=key).digest(length=ID_SIZE)
    if content_id == ZERO_ID:  # 2⁻¹²⁸; it would read as zeros
        raise ValueError("content's id is the zero id")
    return content_id


def _nonce(offset: int) -> bytes:
    return offset.to_bytes(_NONCE_SIZE, "little")


def _bound(kind: RecordKind, record_id: bytes, method: int) -> bytes:
    return bytes((kind,)) + record_id + bytes((method,))
