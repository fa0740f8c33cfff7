"""Manifests: which disks a recovery point has, and the root of each one's tree. docs/formats/repository.md."""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime

from vmkeep.base.errors import InvalidValue
from vmkeep.repository.errors import DiskMissing, ManifestMissing, ObjectDamaged
from vmkeep.repository.layout import ID_SIZE, MAX_MANIFEST_SIZE, ObjectKind, object_name
from vmkeep.repository.sealed_objects import SealedObjects

_MAX_NAME = 255


@dataclass(frozen=True, slots=True)
class DiskManifest:
    """One disk: its name inside the VM, its size in bytes, the id of its tree's root."""

    name: str
    size_bytes: int
    root: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Manifest:
    """All disks of one vault-tier point. `id` and `parent` are 32 hex digits."""

    id: str
    created: datetime
    parent: str | None
    attributes: Mapping[str, str]
    disks: tuple[DiskManifest, ...]

    def find_disk(self, name: str) -> DiskManifest | None:
        """Return the disk of this name, or None."""
        return next((disk for disk in self.disks if disk.name == name), None)

    def disk(self, name: str) -> DiskManifest:
        """Return the disk of this name, or raise DiskMissing."""
        if (disk := self.find_disk(name)) is None:
            raise DiskMissing(self.id, name)
        return disk


def encode_manifest(manifest: Manifest) -> bytes:
    """Return the stored payload; InvalidValue when a name or the whole breaks the format's limits."""
    names = [disk.name for disk in manifest.disks]
    for name in names:
        if not 0 < len(name) <= _MAX_NAME or names.count(name) > 1:
            raise InvalidValue("disk name", name, f"names are unique and have 1 to {_MAX_NAME} characters")
    members = {
        "attributes": dict(manifest.attributes),
        "created": manifest.created.isoformat(),
        "disks": [{"name": d.name, "root": d.root.hex(), "size_bytes": d.size_bytes} for d in manifest.disks],
        "parent": manifest.parent,
    }
    payload = json.dumps(members, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    if len(payload) > MAX_MANIFEST_SIZE:
        raise InvalidValue(
            "attributes", f"of {len(payload)} bytes", f"at most {MAX_MANIFEST_SIZE} are stored"
        )
    return payload


def read_manifest(objects: SealedObjects, manifest_id: str) -> Manifest:
    """Return a stored manifest; ManifestMissing or ObjectDamaged."""
    object_id = _object_id(manifest_id)
    payload = objects.find(ObjectKind.MANIFEST, object_id, limit=MAX_MANIFEST_SIZE)
    if payload is None:
        raise ManifestMissing(manifest_id)
    try:
        members = json.loads(payload)
        return Manifest(
            id=manifest_id,
            created=datetime.fromisoformat(members["created"]),
            parent=members["parent"],
            attributes=members["attributes"],
            disks=tuple(_decode_disk(disk) for disk in members["disks"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        name = object_name(ObjectKind.MANIFEST, object_id)
        raise ObjectDamaged(name, f"it is not a manifest: {error!r}") from error


def list_manifests(objects: SealedObjects) -> list[Manifest]:
    """Return all manifests, oldest first; ObjectDamaged when one cannot be read."""
    manifests = []
    for object_id in objects.list_ids(ObjectKind.MANIFEST):
        with suppress(ManifestMissing):  # deleted since it was listed
            manifests.append(read_manifest(objects, object_id.hex()))
    return sorted(manifests, key=lambda manifest: (manifest.created, manifest.id))


def delete_manifest(objects: SealedObjects, manifest_id: str) -> None:
    """Make the manifest absent; what only it needs stays until a prune."""
    objects.delete(ObjectKind.MANIFEST, _object_id(manifest_id))


def _object_id(manifest_id: str) -> bytes:
    try:
        object_id = bytes.fromhex(manifest_id)
    except ValueError as error:
        raise ManifestMissing(manifest_id) from error
    if len(object_id) != ID_SIZE or object_id.hex() != manifest_id:
        raise ManifestMissing(manifest_id)
    return object_id


def _decode_disk(members: Mapping[str, str | int]) -> DiskManifest:
    root = bytes.fromhex(str(members["root"]))
    if len(root) != ID_SIZE:
        raise ValueError("a root id has 16 bytes")
    return DiskManifest(str(members["name"]), int(members["size_bytes"]), root)
