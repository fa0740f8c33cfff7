"""Lists of packs that are to be deleted after a stated time. docs/formats/repository.md, "Prune"."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from vmkeep.base.units import MIB
from vmkeep.repository.errors import ObjectDamaged
from vmkeep.repository.layout import ObjectKind, object_name
from vmkeep.repository.sealed_objects import SealedObjects

_MAX_SIZE = 64 * MIB


@dataclass(frozen=True, slots=True)
class Condemned:
    """Packs condemned together."""

    id: bytes
    delete_after: datetime
    packs: tuple[bytes, ...]


def put_condemned(objects: SealedObjects, packs: Iterable[bytes], delete_after: datetime) -> None:
    """Condemn packs."""
    members = {
        "delete_after": delete_after.isoformat(),
        "packs": [pack.hex() for pack in packs],
    }
    objects.put(ObjectKind.CONDEMNED, json.dumps(members, sort_keys=True, separators=(",", ":")).encode())


def list_condemned(objects: SealedObjects) -> list[Condemned]:
    """Return all that is condemned, whether its time has come or not."""
    found = []
    for object_id in objects.list_ids(ObjectKind.CONDEMNED):
        payload = objects.find(ObjectKind.CONDEMNED, object_id, limit=_MAX_SIZE)
        if payload is not None:
            found.append(_decode(object_id, payload))
    return found


def _decode(object_id: bytes, payload: bytes) -> Condemned:
    try:
        members = json.loads(payload)
        packs = tuple(bytes.fromhex(pack) for pack in members["packs"])
        return Condemned(object_id, datetime.fromisoformat(members["delete_after"]), packs)
    except (ValueError, KeyError, TypeError) as error:
        name = object_name(ObjectKind.CONDEMNED, object_id)
        raise ObjectDamaged(name, f"it lists no packs: {error!r}") from error
