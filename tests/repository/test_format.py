"""Stored bytes: the golden repository of each released format, and the parts that the format spells out."""

import hashlib
import io
import tarfile
from pathlib import Path

import pytest

from tests.repository.scenes import (
    CHUNK,
    KEY,
    MemoryDisk,
    data,
    new_repository,
    noise,
    open_repository,
    prose,
    restored,
)
from vmkeep.repository.layout import FormatVersion, ObjectKind, RecordKind, encode_header
from vmkeep.repository.sealing import Compressed, Method, RepositoryKey, Sealer
from vmkeep.repository.store.memory import MemoryStore

GOLDEN = Path(__file__).parents[1] / "data"
FIRST = noise(1, 3 * CHUNK) + bytes(300 * CHUNK) + prose(1, 2 * CHUNK + 77)
SECOND = noise(2, CHUNK) + FIRST[CHUNK:]


def write_golden(path: Path) -> None:
    """Make a golden repository: run by hand, once for each new format version."""
    store = MemoryStore()
    repository = new_repository(store)
    first = repository.ingest([MemoryDisk(FIRST)], attributes={"point": "first"})
    second = MemoryDisk(SECOND, [data(0, CHUNK)])
    repository.ingest(
        [second, MemoryDisk(b"", name="vdb")], parent=first.manifest_id, attributes={"point": "second"}
    )
    with tarfile.open(path, "w:xz") as archive:
        for name, content in sorted(store.objects.items()):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def golden(version: FormatVersion) -> MemoryStore:
    store = MemoryStore()
    with tarfile.open(GOLDEN / f"repository-v{version}.tar.xz") as archive:
        for member in archive:
            file = archive.extractfile(member)
            assert file
            store.put(member.name, file.read())
    return store


@pytest.mark.parametrize("version", list(FormatVersion), ids=lambda version: f"v{version}")
def test_golden_repository_is_read_for_ever(version: FormatVersion) -> None:
    repository = open_repository(golden(version))
    points = {manifest.attributes["point"]: manifest for manifest in repository.list_manifests()}
    assert restored(repository, points["first"].id) == FIRST
    assert restored(repository, points["second"].id) == SECOND
    assert points["second"].parent == points["first"].id
    assert restored(repository, points["second"].id, "vdb") == b""
    assert repository.check(read_data=True).sound


@pytest.mark.parametrize("version", list(FormatVersion), ids=lambda version: f"v{version}")
def test_golden_repository_can_be_added_to(version: FormatVersion) -> None:
    repository = open_repository(golden(version))
    assert repository.ingest([MemoryDisk(FIRST)]).stored_bytes == 0


def test_version_numbers_are_for_ever() -> None:
    assert {version.name: version.value for version in FormatVersion} == {"FIRST": 1}


def test_derived_keys_and_ids_are_for_ever() -> None:
    sealer = Sealer(RepositoryKey(bytes(range(32))))
    ids = sealer.key_check + sealer.chunk_id(b"content") + sealer.node_id(b"content")
    assert (
        hashlib.sha256(ids).hexdigest() == "dd961c7c7bd0543e41af060644fb2ceea27ee94d3a18341e35f8749b611b2887"
    )


RECORDS = [(noise(1, 1000), Method.PLAIN), (prose(1, 1000), Method.ZSTD), (b"", Method.PLAIN)]


@pytest.mark.parametrize(("content", "method"), RECORDS, ids=["noise", "prose", "nothing"])
def test_record_is_method_ciphertext_tag(content: bytes, method: Method) -> None:
    seal = Sealer(KEY).seal_of("x", encode_header(ObjectKind.CHUNK_PACK, bytes(16)))
    packed = Compressed(content)
    record = seal.seal(24, RecordKind.CHUNK, bytes(16), packed)
    assert record[0] == method
    assert len(record) == 1 + len(packed.payload) + 16
    assert seal.open(record, 24, RecordKind.CHUNK, bytes(16), limit=1000) == content
