"""The `config` object: what every reader and writer of a repository must know. docs/formats/repository.md, "config, …"."""

import json
from dataclasses import dataclass
from datetime import datetime

from vmkeep.base.errors import InvalidValue
from vmkeep.repository.errors import (
    FormatTooNew,
    NotARepository,
    ObjectDamaged,
    ObjectExists,
    ObjectMissing,
    PlaceNotEmpty,
    WrongKey,
)
from vmkeep.repository.layout import (
    CONFIG_NAME,
    CURRENT,
    HEADER_SIZE,
    MAGIC,
    MAX_CHUNK_SIZE,
    MIN_CHUNK_SIZE,
    ObjectKind,
    new_object_id,
)
from vmkeep.repository.sealed_objects import open_object, seal_object
from vmkeep.repository.sealing import KEY_CHECK_SIZE, Sealer
from vmkeep.repository.store.protocol import ObjectStore

_MAX_CONFIG_SIZE = 64 * 1024


@dataclass(frozen=True, slots=True)
class Config:
    """Parameters of one repository, fixed when it is created. `chunk_size` in bytes."""

    chunk_size: int
    created: datetime


def create_config(store: ObjectStore, sealer: Sealer, config: Config) -> None:
    """Make an empty place a repository; PlaceNotEmpty when it is not empty, also when another is just made there."""
    if not _is_chunk_size(config.chunk_size):
        why = f"a power of two from {MIN_CHUNK_SIZE} to {MAX_CHUNK_SIZE} is needed"
        raise InvalidValue("chunk size", str(config.chunk_size), why)
    for found in store.list(""):
        raise PlaceNotEmpty(store.place, found.name)
    payload = {"chunk_size": config.chunk_size, "created": config.created.isoformat()}
    encoded = json.dumps(payload, sort_keys=True, separators=(",", ":")).encode()
    sealed = seal_object(sealer, ObjectKind.CONFIG, new_object_id(), encoded, openly=sealer.key_check)
    try:
        store.put(CONFIG_NAME, sealed)
    except ObjectExists as error:
        raise PlaceNotEmpty(store.place, CONFIG_NAME) from error


def read_config(store: ObjectStore, sealer: Sealer) -> Config:
    """Return the config; NotARepository, FormatTooNew, WrongKey or ObjectDamaged."""
    try:
        data = store.get(CONFIG_NAME)
    except ObjectMissing as error:
        raise NotARepository(store.place) from error
    if not data.startswith(MAGIC + bytes((ObjectKind.CONFIG,))) or len(data) < HEADER_SIZE:
        raise NotARepository(store.place)
    if (version := data[len(MAGIC) + 1]) > CURRENT:
        raise FormatTooNew(store.place, version, CURRENT)
    key_fits = data[HEADER_SIZE:][:KEY_CHECK_SIZE] == sealer.key_check
    try:
        payload = open_object(
            sealer, CONFIG_NAME, ObjectKind.CONFIG, data, None, limit=_MAX_CONFIG_SIZE, openly=KEY_CHECK_SIZE
        )
    except ObjectDamaged as error:
        if key_fits:
            raise
        raise WrongKey(store.place) from error
    if not key_fits:
        raise ObjectDamaged(CONFIG_NAME, "its key check is not that of the key that opens it")
    return _decode(payload)


def _decode(payload: bytes) -> Config:
    try:
        members = json.loads(payload)
        config = Config(int(members["chunk_size"]), datetime.fromisoformat(members["created"]))
    except (ValueError, KeyError, TypeError) as error:
        raise ObjectDamaged(CONFIG_NAME, f"it is not a config: {error!r}") from error
    if not _is_chunk_size(config.chunk_size):
        raise ObjectDamaged(CONFIG_NAME, f"chunk size {config.chunk_size} is not allowed")
    return config


def _is_chunk_size(size: int) -> bool:
    return MIN_CHUNK_SIZE <= size <= MAX_CHUNK_SIZE and size & (size - 1) == 0
