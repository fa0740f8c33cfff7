import threading
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.repository.scenes import (
    CHUNK,
    MemoryDisk,
    MemoryTarget,
    data,
    new_repository,
    noise,
    open_repository,
    prose,
    restored,
    zeros,
)
from vmkeep.base.clock import FakeClock
from vmkeep.base.errors import InvalidValue
from vmkeep.model.disk_io import Extent, TransferProgress
from vmkeep.repository.errors import (
    DiskMissing,
    ManifestMissing,
    ParentMissesDisk,
    RepositoryChanged,
    StoreUnreachable,
)
from vmkeep.repository.store.faulty import FaultyStore
from vmkeep.repository.store.memory import MemoryStore


def changed(content: bytes, offset: int, fresh: bytes) -> bytes:
    return content[:offset] + fresh + content[offset + len(fresh) :]


def test_restored_disk_equals_the_ingested_one() -> None:
    content = noise(1, 5 * CHUNK) + bytes(3 * CHUNK) + prose(2, 2 * CHUNK + 100)
    repository = new_repository()
    report = repository.ingest([MemoryDisk(content)], attributes={"vm": "web"})
    assert restored(repository, report.manifest_id) == content
    manifest = repository.manifest(report.manifest_id)
    assert manifest.attributes == {"vm": "web"}
    assert [(disk.name, disk.size_bytes) for disk in manifest.disks] == [("vda", len(content))]


def test_zeros_are_neither_stored_nor_written_back() -> None:
    repository = new_repository()
    report = repository.ingest([MemoryDisk(bytes(100 * CHUNK))])
    assert (report.stored_bytes, report.zero_bytes) == (0, 100 * CHUNK)
    target = MemoryTarget(100 * CHUNK)
    repository.restore_disk(report.manifest_id, "vda", target)
    assert target.written == 0


def test_holes_are_not_even_read() -> None:
    disk = MemoryDisk(bytes(1 << 20), changes=None)
    disk.extents = lambda: iter([data(CHUNK, CHUNK)])  # type: ignore[method-assign]
    new_repository().ingest([disk])
    assert disk.reads == [(CHUNK, CHUNK)]


def test_second_backup_uploads_only_changed_chunks() -> None:
    repository = new_repository()
    content = noise(1, 1000 * CHUNK)
    first = repository.ingest([MemoryDisk(content)])
    fresh = changed(content, 700 * CHUNK + 5, noise(2, 10))
    disk = MemoryDisk(fresh, [data(700 * CHUNK + 5, 10)])
    second = repository.ingest([disk], parent=first.manifest_id)
    assert disk.reads == [(700 * CHUNK, CHUNK)]
    assert second.new_bytes == CHUNK
    assert second.stored_bytes < 4 * CHUNK  # one chunk, two nodes, tables
    assert restored(repository, second.manifest_id) == fresh
    assert restored(repository, first.manifest_id) == content


def test_full_read_of_a_known_disk_stores_nothing() -> None:
    repository = new_repository()
    content = noise(1, 300 * CHUNK)
    repository.ingest([MemoryDisk(content)])
    again = repository.ingest([MemoryDisk(content)])
    assert (again.stored_bytes, again.known_bytes) == (0, 300 * CHUNK)


def test_equal_chunks_of_one_run_are_stored_once() -> None:
    repository = new_repository()
    report = repository.ingest([MemoryDisk(noise(1, CHUNK) * 2000, name=name) for name in ("vda", "vdb")])
    assert report.new_bytes == CHUNK
    assert restored(repository, report.manifest_id, "vdb") == noise(1, CHUNK) * 2000


def test_another_process_finds_what_the_first_stored() -> None:
    store = MemoryStore()
    content = noise(1, 50 * CHUNK)
    new_repository(store).ingest([MemoryDisk(content)])
    other = open_repository(store)
    report = other.ingest([MemoryDisk(content)])
    assert report.stored_bytes == 0
    assert restored(other, report.manifest_id) == content


def test_zero_extent_clears_what_was_there() -> None:
    repository = new_repository()
    content = noise(1, 600 * CHUNK)
    first = repository.ingest([MemoryDisk(content)])
    cut = zeros(CHUNK // 2, 590 * CHUNK)
    fresh = changed(content, cut.offset, bytes(cut.length))
    disk = MemoryDisk(fresh, [cut])
    second = repository.ingest([disk], parent=first.manifest_id)
    assert sorted(disk.reads) == [(0, CHUNK), (590 * CHUNK, CHUNK)]
    assert restored(repository, second.manifest_id) == fresh


@pytest.mark.parametrize("new_size", [1, 3 * CHUNK + 7, 256 * CHUNK, 257 * CHUNK], ids=str)
def test_disk_may_grow_and_shrink_between_backups(new_size: int) -> None:
    repository = new_repository()
    content = noise(1, 300 * CHUNK + 50)
    first = repository.ingest([MemoryDisk(content)])
    resized = content[:new_size] + bytes(max(0, new_size - len(content)))
    second = repository.ingest([MemoryDisk(resized, [])], parent=first.manifest_id)
    assert restored(repository, second.manifest_id) == resized
    back = content[:new_size] + bytes(max(0, len(content) - new_size))
    back = back[: len(content)]
    third = repository.ingest([MemoryDisk(back, [])], parent=second.manifest_id)
    assert restored(repository, third.manifest_id) == back
    whole = repository.ingest([MemoryDisk(back)])
    assert repository.manifest(whole.manifest_id).disks == repository.manifest(third.manifest_id).disks


def test_incremental_without_its_disk_in_the_parent_is_refused() -> None:
    repository = new_repository()
    first = repository.ingest([MemoryDisk(noise(1, CHUNK))])
    with pytest.raises(ParentMissesDisk):
        repository.ingest([MemoryDisk(noise(1, CHUNK), [], name="vdb")], parent=first.manifest_id)
    with pytest.raises(ParentMissesDisk):
        repository.ingest([MemoryDisk(noise(1, CHUNK), [])])
    assert len(repository.list_manifests()) == 1


def test_unknown_names_are_refused() -> None:
    repository = new_repository()
    first = repository.ingest([MemoryDisk(noise(1, CHUNK))])
    for wrong in ("", "x", "0" * 32, "../config"):
        with pytest.raises(ManifestMissing):
            repository.manifest(wrong)
    with pytest.raises(ManifestMissing):
        repository.ingest([MemoryDisk(b"")], parent="f" * 32)
    with pytest.raises(DiskMissing):
        repository.open_disk(first.manifest_id, "vdz")


def test_two_disks_of_one_name_are_refused_before_anything_is_read() -> None:
    disks = [MemoryDisk(noise(1, CHUNK)), MemoryDisk(noise(2, CHUNK))]
    with pytest.raises(InvalidValue):
        new_repository().ingest(disks)
    assert disks[0].reads == []


def test_too_small_target_is_refused() -> None:
    repository = new_repository()
    report = repository.ingest([MemoryDisk(noise(1, CHUNK))])
    with pytest.raises(InvalidValue):
        repository.restore_disk(report.manifest_id, "vda", MemoryTarget(CHUNK - 1))


def test_failed_source_leaves_no_manifest_and_its_error_is_raised() -> None:
    class Broken(MemoryDisk):
        def read(self, offset: int, length: int) -> bytes:
            if offset > 1 << 22:
                raise OSError(5, "medium error")
            return super().read(offset, length)

    repository = new_repository()
    with pytest.raises(OSError, match="medium error"):
        repository.ingest([Broken(noise(1, 1 << 23))])
    assert repository.list_manifests() == []


@pytest.mark.slow
def test_cancelled_ingest_stops_and_what_it_stored_is_not_stored_again() -> None:
    class Cancelled(Exception):
        pass

    clock = FakeClock()
    store = FaultyStore(MemoryStore(), lambda _verb, _name: clock.advance(1))
    repository = new_repository(store, clock, chunk_size=1 << 20)
    content = noise(1, 200 << 20)

    def cancel(progress: TransferProgress) -> None:
        clock.advance(1)
        if progress.stored_bytes:
            raise Cancelled

    disk = MemoryDisk(content)
    with pytest.raises(Cancelled):
        repository.ingest([disk], on_progress=cancel)
    assert sum(length for _, length in disk.reads) < len(content)
    assert repository.list_manifests() == []
    again = open_repository(store, clock).ingest([MemoryDisk(content)])
    assert again.known_bytes >= 32 << 20
    assert again.known_bytes + again.new_bytes == len(content)


def test_progress_ends_with_everything_done() -> None:
    told: list[TransferProgress] = []
    repository = new_repository()
    report = repository.ingest([MemoryDisk(noise(1, 100 * CHUNK))], on_progress=told.append)
    assert (told[0].done_bytes, told[0].total_bytes) == (0, 100 * CHUNK)
    assert told[-1] == TransferProgress(100 * CHUNK, 100 * CHUNK, 100 * CHUNK, report.stored_bytes)
    repository.restore_disk(report.manifest_id, "vda", MemoryTarget(100 * CHUNK), on_progress=told.append)
    assert told[-1].done_bytes == told[-1].total_bytes == 100 * CHUNK


def test_deleting_the_parent_meanwhile_fails_the_ingest_to_be_tried_again() -> None:
    repository = new_repository()
    first = repository.ingest([MemoryDisk(noise(1, 10 * CHUNK))])

    class Deleting(MemoryDisk):
        def read(self, offset: int, length: int) -> bytes:
            repository.delete_manifest(first.manifest_id)
            return super().read(offset, length)

    disk = Deleting(noise(2, 10 * CHUNK), [data(0, 1)])
    with pytest.raises(RepositoryChanged):
        repository.ingest([disk], parent=first.manifest_id)
    assert repository.list_manifests() == []


def test_many_ingests_at_once_do_not_disturb_each_other() -> None:
    store = MemoryStore()
    new_repository(store)
    contents = [noise(n % 2, 64 * CHUNK) + noise(n, 64 * CHUNK) for n in range(6)]
    ids: dict[int, str] = {}

    def ingest(number: int) -> None:
        ids[number] = open_repository(store).ingest([MemoryDisk(contents[number])]).manifest_id

    threads = [threading.Thread(target=ingest, args=(number,)) for number in range(len(contents))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    repository = open_repository(store)
    assert [restored(repository, ids[number]) for number in range(len(contents))] == contents


def test_disk_reader_reads_any_range_and_knows_its_holes() -> None:
    content = noise(1, 2 * CHUNK) + bytes(4 * CHUNK) + noise(2, CHUNK // 2)
    repository = new_repository()
    disk = repository.open_disk(repository.ingest([MemoryDisk(content)]).manifest_id, "vda")
    assert list(disk.extents()) == [data(0, 2 * CHUNK), data(6 * CHUNK, CHUNK // 2)]
    for offset, length in [
        (0, len(content)),
        (1, 0),
        (CHUNK - 1, 2),
        (2 * CHUNK - 1, 4 * CHUNK + 2),
        (len(content) - 1, 1),
    ]:
        assert disk.read(offset, length) == content[offset : offset + length]
    with pytest.raises(ValueError, match="outside"):
        disk.read(len(content), 1)


def test_disk_reader_can_be_ingested_into_another_repository() -> None:
    content = noise(1, 20 * CHUNK) + bytes(9 * CHUNK) + prose(1, 77)
    here, there = new_repository(), new_repository(chunk_size=2 * CHUNK)
    disk = here.open_disk(here.ingest([MemoryDisk(content)]).manifest_id, "vda")
    assert restored(there, there.ingest([disk]).manifest_id) == content


STEP = 512
SIZES = st.integers(1, 40 * 8)


@st.composite
def edits(draw: st.DrawFn, size: int) -> list[tuple[int, int, bool]]:
    """Ascending (offset, length, zero) ranges, in units that do not match chunks."""
    cuts = sorted(draw(st.sets(st.integers(0, size), max_size=8)))
    ranges = [(a, b - a, draw(st.booleans())) for a, b in pairwise(cuts)]
    return [r for r in ranges if draw(st.booleans())]


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_any_sequence_of_changes_reads_back_at_every_chunk_size(draws: st.DataObject) -> None:
    chunk_sizes = (4096, 16384)
    repositories = [new_repository(chunk_size=size) for size in chunk_sizes]
    parents: list[str | None] = [None, None]
    content = b""
    for generation in range(draws.draw(st.integers(1, 4), label="generations")):
        size = draws.draw(SIZES, label="size") * STEP - draws.draw(st.integers(0, STEP - 1), label="odd")
        content = content[:size] + bytes(max(0, size - len(content)))
        extents: list[Extent] | None = None
        if generation:
            extents = []
            for offset, length, is_zero in draws.draw(edits(size), label="edits"):
                content = changed(content, offset, bytes(length) if is_zero else noise(generation, length))
                extents.append(zeros(offset, length) if is_zero else data(offset, length))
        else:
            content = noise(0, size)
        for number, repository in enumerate(repositories):
            report = repository.ingest([MemoryDisk(content, extents)], parent=parents[number])
            parents[number] = report.manifest_id
            assert restored(repository, report.manifest_id) == content
            assert repository.check(read_data=True).sound


def test_manifest_whose_put_was_not_acknowledged_is_taken_back() -> None:
    store = MemoryStore()
    new_repository(store)
    unheard = [True]

    def fault(verb: str, name: str) -> None:
        if verb == "put" and name.startswith("manifest/") and unheard.pop():
            unheard.append(False)
            store.put(name, b"arrived")
            raise StoreUnreachable("here", "the answer was lost")

    with pytest.raises(StoreUnreachable):
        open_repository(FaultyStore(store, fault)).ingest([MemoryDisk(noise(1, CHUNK))])
    assert list(store.list("manifest")) == []


def test_packs_named_too_late_to_be_believed_are_not_named() -> None:
    clock, store = FakeClock(), MemoryStore()
    new_repository(store, clock)

    def stall(verb: str, name: str) -> None:
        if verb == "put" and name.startswith("index/"):
            clock.advance(1801)

    with pytest.raises(RepositoryChanged, match="slow"):
        open_repository(FaultyStore(store, stall), clock).ingest([MemoryDisk(noise(1, CHUNK))])
    assert {info.name.partition("/")[0] for info in store.list("")} == {"config", "pack"}
