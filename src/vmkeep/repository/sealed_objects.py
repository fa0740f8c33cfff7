"""Objects of one record: header, record. docs/formats/repository.md, "config, index, manifest, …"."""

from collections.abc import Iterator

from vmkeep.repository.errors import ObjectMissing
from vmkeep.repository.layout import (
    FOLDERS,
    HEADER_SIZE,
    ID_SIZE,
    ObjectKind,
    RecordKind,
    check_header,
    encode_header,
    id_in_name,
    new_object_id,
    object_name,
)
from vmkeep.repository.sealing import Compressed, Sealer
from vmkeep.repository.store.protocol import ObjectStore


class SealedObjects:
    """A store seen as sealed payloads."""

    def __init__(self, store: ObjectStore, sealer: Sealer) -> None:
        self.store = store
        self.sealer = sealer

    def put(self, kind: ObjectKind, payload: bytes, object_id: bytes | None = None) -> bytes:
        """Store `payload` as a new object; return its id."""
        object_id = object_id or new_object_id()
        self.store.put(object_name(kind, object_id), seal_object(self.sealer, kind, object_id, payload))
        return object_id

    def get(self, kind: ObjectKind, object_id: bytes | None, *, limit: int) -> bytes:
        """Return an object's payload, of at most `limit` bytes; ObjectMissing or ObjectDamaged."""
        name = object_name(kind, object_id or b"")
        return open_object(self.sealer, name, kind, self.store.get(name), object_id, limit=limit)

    def find(self, kind: ObjectKind, object_id: bytes | None, *, limit: int) -> bytes | None:
        """Return an object's payload, or None when it does not exist."""
        try:
            return self.get(kind, object_id, limit=limit)
        except ObjectMissing:
            return None

    def list_ids(self, kind: ObjectKind) -> Iterator[bytes]:
        """Yield the ids of all objects of a kind that has a folder of its own."""
        for info in self.store.list(FOLDERS[kind]):
            if (object_id := id_in_name(info.name)) is not None:
                yield object_id

    def delete(self, kind: ObjectKind, object_id: bytes) -> None:
        """Make the object absent."""
        self.store.delete(object_name(kind, object_id))


def seal_object(
    sealer: Sealer, kind: ObjectKind, object_id: bytes, payload: bytes, *, openly: bytes = b""
) -> bytes:
    """Return the bytes of an object of one record; `openly` stands unencrypted before it."""
    header = encode_header(kind, object_id)
    seal = sealer.seal_of(object_name(kind, object_id), header)
    record = seal.seal(len(header) + len(openly), RecordKind(kind), object_id, Compressed(payload))
    return header + openly + record


def open_object(
    sealer: Sealer,
    name: str,
    kind: ObjectKind,
    data: bytes,
    object_id: bytes | None,
    *,
    limit: int,
    openly: int = 0,
) -> bytes:
    """Return the payload of an object's bytes, or raise ObjectDamaged; `object_id` None accepts any."""
    header = check_header(name, kind, data, object_id)
    offset = HEADER_SIZE + openly
    seal = sealer.seal_of(name, header)
    return seal.open(data[offset:], offset, RecordKind(kind), header[HEADER_SIZE - ID_SIZE :], limit=limit)
