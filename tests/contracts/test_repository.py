"""What a repository promises to the workflows."""

from collections.abc import Mapping

import pytest

from tests.fakes.fabric import BLOCK, FakeDiskSource
from vmkeep.base.errors import Retry, VmkeepError
from vmkeep.model.disk_io import TransferProgress
from vmkeep.workflows.errors import Cancelled, Closing
from vmkeep.workflows.ports import Repository

SIZE = 16 * BLOCK


class MemoryTarget:
    """A disk in memory."""

    def __init__(self) -> None:
        self.size_bytes = SIZE
        self.content = bytearray(SIZE)

    def write(self, offset: int, data: bytes | memoryview) -> None:
        self.content[offset : offset + len(data)] = data

    def flush(self) -> None:
        """Memory is as stable as it gets."""


def disk(
    blocks: Mapping[int, bytes], *, changed: frozenset[int] | None = None, name: str = "vda"
) -> FakeDiskSource:
    """Return a disk of letters; `changed` makes it an incremental one."""
    content = {index: letter * BLOCK for index, letter in blocks.items()}
    return FakeDiskSource(name, SIZE, changed is not None, content, changed or frozenset(content))


def ingest(repository: Repository, *disks: FakeDiskSource, parent: str | None = None) -> str:
    report = repository.ingest(disks, parent=parent, attributes={"recovery_point": "1"}, on_progress=None)
    return report.manifest_id


def restored(repository: Repository, manifest_id: str, name: str = "vda") -> bytes:
    target = MemoryTarget()
    repository.restore_disk(manifest_id, name, target, on_progress=None)
    return bytes(target.content)


def test_manifest_says_what_was_ingested(repository: Repository) -> None:
    manifest_id = ingest(repository, disk({0: b"a"}), disk({1: b"b"}, name="vdb"))
    manifest = repository.manifest(manifest_id)
    assert manifest.id == manifest_id
    assert [(one.name, one.size_bytes) for one in manifest.disks] == [("vda", SIZE), ("vdb", SIZE)]
    assert manifest.attributes["recovery_point"] == "1"
    assert [one.id for one in repository.list_manifests()] == [manifest_id]


def test_disks_come_back_as_they_were(repository: Repository) -> None:
    source = disk({0: b"a", 7: b"b", 15: b"c"})
    assert restored(repository, ingest(repository, source)) == source.read(0, SIZE)


def test_incremental_disk_changes_its_parent_and_leaves_it_as_it_was(repository: Repository) -> None:
    first = disk({0: b"a", 1: b"b", 2: b"c"})
    parent = ingest(repository, first)
    second = disk({0: b"a", 1: b"z", 9: b"n"}, changed=frozenset({1, 2, 9}))
    child = ingest(repository, second, parent=parent)
    assert restored(repository, child) == second.read(0, SIZE)
    assert restored(repository, parent) == first.read(0, SIZE)


def test_disk_read_whole_owes_nothing_to_its_parent(repository: Repository) -> None:
    parent = ingest(repository, disk({0: b"a", 1: b"b"}))
    whole = disk({5: b"c"})
    assert restored(repository, ingest(repository, whole, parent=parent)) == whole.read(0, SIZE)


def test_known_data_is_not_stored_again(repository: Repository) -> None:
    source = disk({0: b"a", 7: b"b"})
    ingest(repository, source)
    report = repository.ingest([source], parent=None, attributes={}, on_progress=None)
    assert report.stored_bytes < BLOCK
    assert report.read_bytes >= 2 * BLOCK


def test_progress_ends_with_everything_done(repository: Repository) -> None:
    seen: list[TransferProgress] = []
    repository.ingest([disk({0: b"a", 15: b"b"})], parent=None, attributes={}, on_progress=seen.append)
    assert seen[-1].done_bytes == seen[-1].total_bytes > 0


@pytest.mark.parametrize("stop", [Cancelled, Closing])
def test_ingest_stopped_by_its_progress_leaves_no_manifest(
    repository: Repository, stop: type[BaseException]
) -> None:
    def raise_it(_progress: TransferProgress) -> None:
        raise stop

    with pytest.raises(stop):
        repository.ingest([disk({0: b"a"})], parent=None, attributes={}, on_progress=raise_it)
    assert list(repository.list_manifests()) == []
    source = disk({0: b"a"})
    assert restored(repository, ingest(repository, source)) == source.read(0, SIZE)


@pytest.mark.parametrize("stop", [Cancelled, Closing])
def test_restore_stopped_by_its_progress_says_so(repository: Repository, stop: type[BaseException]) -> None:
    def raise_it(_progress: TransferProgress) -> None:
        raise stop

    manifest_id = ingest(repository, disk({0: b"a"}))
    with pytest.raises(stop):
        repository.restore_disk(manifest_id, "vda", MemoryTarget(), on_progress=raise_it)


def test_deleted_manifest_is_gone_and_can_be_deleted_again(repository: Repository) -> None:
    manifest_id = ingest(repository, disk({0: b"a"}))
    repository.delete_manifest(manifest_id)
    repository.delete_manifest(manifest_id)
    assert list(repository.list_manifests()) == []
    with pytest.raises(VmkeepError) as missing:
        repository.manifest(manifest_id)
    assert missing.value.retry is not Retry.LATER
