"""Names, kinds and headers of stored objects: docs/formats/repository.md, "Objects"."""

from enum import IntEnum
from typing import Final

from vmkeep.base.ids import new_guid
from vmkeep.base.units import KIB, MIB
from vmkeep.repository.errors import ObjectDamaged


class FormatVersion(IntEnum):
    """The ladder of format versions. A number is on disk for ever and never used twice."""

    FIRST = 1


CURRENT: Final = FormatVersion.FIRST


class ObjectKind(IntEnum):
    """What an object is; the number is stored in its header."""

    CONFIG = 1
    INDEX = 2
    MANIFEST = 3
    CONDEMNED = 4
    LEASE = 5
    CHUNK_PACK = 6
    NODE_PACK = 7


class RecordKind(IntEnum):
    """What a record is; the number is bound into its tag. The first five are the object kinds of that number."""

    CONFIG = 1
    INDEX = 2
    MANIFEST = 3
    CONDEMNED = 4
    LEASE = 5
    CHUNK = 6
    NODE = 7
    TABLE = 8


MAGIC: Final = b"VMKEEP"
ID_SIZE: Final = 16
HEADER_SIZE: Final = 24
ZERO_ID: Final = bytes(ID_SIZE)
FAN_OUT: Final = 256
NODE_SIZE: Final = FAN_OUT * ID_SIZE
MIN_CHUNK_SIZE: Final = 4 * KIB
MAX_CHUNK_SIZE: Final = 4 * MIB
MAX_PACK_SIZE: Final = 256 * MIB
MAX_MANIFEST_SIZE: Final = MIB
MAX_INDEX_ENTRIES: Final = 1 << 20

CONFIG_NAME: Final = "config"
PRUNE_LEASE_NAME: Final = "lease/prune"
FOLDERS: Final = {
    ObjectKind.INDEX: "index",
    ObjectKind.MANIFEST: "manifest",
    ObjectKind.CONDEMNED: "condemned",
    ObjectKind.CHUNK_PACK: "pack",
    ObjectKind.NODE_PACK: "pack",
}


def new_object_id() -> bytes:
    """Return 16 bytes that no other object has."""
    return bytes.fromhex(new_guid().replace("-", ""))


def object_name(kind: ObjectKind, object_id: bytes) -> str:
    """Return the name under which an object of this kind and id is stored."""
    digits = object_id.hex()
    match kind:
        case ObjectKind.CONFIG:
            return CONFIG_NAME
        case ObjectKind.LEASE:
            return PRUNE_LEASE_NAME
        case ObjectKind.CHUNK_PACK | ObjectKind.NODE_PACK:
            return f"{FOLDERS[kind]}/{digits[:2]}/{digits}"
        case ObjectKind.INDEX | ObjectKind.MANIFEST | ObjectKind.CONDEMNED:
            return f"{FOLDERS[kind]}/{digits}"


def id_in_name(name: str) -> bytes | None:
    """Return the object id that a listed name ends in, or None when it is no name of ours."""
    digits = name.rpartition("/")[2]
    try:
        object_id = bytes.fromhex(digits)
    except ValueError:
        return None
    return object_id if len(object_id) == ID_SIZE and object_id.hex() == digits else None


def encode_header(kind: ObjectKind, object_id: bytes) -> bytes:
    """Return the 24 bytes that an object of this kind and id begins with."""
    return MAGIC + bytes((kind, CURRENT)) + object_id


def check_header(name: str, kind: ObjectKind, data: bytes, object_id: bytes | None) -> bytes:
    """Return the header of an object's `data`; ObjectDamaged unless it is what the name promises."""
    header = bytes(data[:HEADER_SIZE])
    found_id = header[HEADER_SIZE - ID_SIZE :] if object_id is None else object_id
    if header != encode_header(kind, found_id):
        raise ObjectDamaged(name, "its header is not what its name promises")
    return header
