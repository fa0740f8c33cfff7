"""Die at every change of the store, heard or unheard: at worst unreferenced objects remain."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from tests.repository.scenes import (
    CHUNK,
    KEY,
    MemoryDisk,
    data,
    new_repository,
    noise,
    open_repository,
    restored,
)
from vmkeep.base.clock import FakeClock
from vmkeep.base.errors import VmkeepError
from vmkeep.repository import Repository
from vmkeep.repository.errors import NotARepository
from vmkeep.repository.store.faulty import CrashingStore
from vmkeep.repository.store.memory import MemoryStore

GRACE = timedelta(0)
SHARED = noise(1, 6 * CHUNK)
FIRST = SHARED + noise(2, 20 * CHUNK)
SECOND = SHARED + noise(3, 2 * CHUNK)


def run_until_it_survives(
    make: Callable[[], MemoryStore], work: Callable[[Repository], object], look: Callable[[MemoryStore], None]
) -> int:
    """Do `work` on a fresh store, dying at its first change, then its second, …; `look` at what each death leaves."""
    for took_effect in (False, True):
        for crash_at in range(100):
            store = make()
            dying = CrashingStore(store, crash_at, took_effect=took_effect)
            try:
                work(Repository.open(dying, KEY, clock=FakeClock()))
            except VmkeepError:
                assert dying.crashed
            look(store)
            if not dying.crashed:
                break
        else:
            pytest.fail("never survived")
    return crash_at


def store_with(*contents: bytes) -> MemoryStore:
    store = MemoryStore()
    repository = new_repository(store)
    for content in contents:
        repository.ingest([MemoryDisk(content)])
    return store


def contents_of(store: MemoryStore) -> list[bytes]:
    repository = open_repository(store)
    assert repository.check(read_data=True).sound
    return sorted(restored(repository, manifest.id) for manifest in repository.list_manifests())


def test_crashed_ingest_leaves_the_old_or_the_new_state_and_can_be_run_again() -> None:
    def look(store: MemoryStore) -> None:
        assert contents_of(store) in ([FIRST], sorted([FIRST, SECOND]))
        open_repository(store).ingest([MemoryDisk(SECOND)])
        assert set(contents_of(store)) == {FIRST, SECOND}
        clock = FakeClock()
        clock.advance(3600)
        open_repository(store, clock).prune(grace=GRACE)
        assert set(contents_of(store)) == {FIRST, SECOND}

    changes = run_until_it_survives(
        lambda: store_with(FIRST), lambda repository: repository.ingest([MemoryDisk(SECOND)]), look
    )
    assert changes == 4  # two packs, an index, a manifest


def test_crashed_incremental_leaves_the_parent_whole() -> None:
    fresh = FIRST[:CHUNK] + noise(9, CHUNK) + FIRST[2 * CHUNK :]

    def work(repository: Repository) -> None:
        parent = repository.list_manifests()[0].id
        repository.ingest([MemoryDisk(fresh, [data(CHUNK, CHUNK)])], parent=parent)

    def look(store: MemoryStore) -> None:
        assert contents_of(store) in ([FIRST], sorted([FIRST, fresh]))

    run_until_it_survives(lambda: store_with(FIRST), work, look)


def test_crashed_prune_loses_nothing_and_the_next_one_finishes() -> None:
    def make() -> MemoryStore:
        store = store_with(FIRST, SECOND, SHARED)
        repository = open_repository(store)
        for manifest in repository.list_manifests():
            if restored(repository, manifest.id) == FIRST:
                repository.delete_manifest(manifest.id)
        return store

    def look(store: MemoryStore) -> None:
        assert contents_of(store) == sorted([SECOND, SHARED])
        clock = FakeClock()
        for _ in range(2):
            clock.advance(3600)
            open_repository(store, clock).prune(grace=GRACE)
        assert contents_of(store) == sorted([SECOND, SHARED])
        stored = sum(info.size for info in store.list("pack"))
        assert stored < len(SECOND) + 2 * CHUNK
        assert {info.name.partition("/")[0] for info in store.list("")} == {
            "config",
            "index",
            "manifest",
            "pack",
        }

    assert run_until_it_survives(make, lambda repository: repository.prune(grace=GRACE), look) > 10


def test_crashed_create_leaves_nothing_or_a_repository() -> None:
    for took_effect in (False, True):
        store = MemoryStore()
        with pytest.raises(VmkeepError):
            new_repository(CrashingStore(store, 0, took_effect=took_effect))
        if took_effect:
            assert open_repository(store).list_manifests() == []
        else:
            with pytest.raises(NotARepository):
                open_repository(store)
