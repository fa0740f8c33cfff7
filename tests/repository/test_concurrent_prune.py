"""Ingest beside prune without grace: whoever says it succeeded has a whole manifest."""

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from itertools import count

import pytest

from tests.repository.scenes import CHUNK, MemoryDisk, data, new_repository, noise, open_repository, restored
from vmkeep.base.clock import FakeClock
from vmkeep.repository import Repository
from vmkeep.repository.errors import RepositoryChanged
from vmkeep.repository.store.faulty import FaultyStore
from vmkeep.repository.store.memory import MemoryStore

NO_GRACE = timedelta(0)
OLD = noise(1, 6 * CHUNK)
OTHER = noise(2, 3 * CHUNK)


class Scene:
    """A repository with one manifest kept and one, of the content `OLD`, deleted or about to be."""

    def __init__(self) -> None:
        self.store, self.clock = MemoryStore(), FakeClock()
        repository = new_repository(self.store, self.clock)
        self.kept = repository.ingest([MemoryDisk(OTHER)]).manifest_id
        self.deleted = repository.ingest([MemoryDisk(OLD + OTHER[:CHUNK])]).manifest_id
        self.finish: Callable[[], None] = lambda: None
        """Ends what a test has left waiting."""

    def open(self, fault: Callable[[str, str], None] = lambda _verb, _name: None) -> Repository:
        return open_repository(FaultyStore(self.store, fault), self.clock)

    def prune(self) -> None:
        repository = self.open()
        repository.delete_manifest(self.deleted)
        repository.prune(grace=NO_GRACE)

    def assert_whole(self, promised: dict[str, bytes]) -> None:
        """Nothing is broken now, nor after everything due is deleted, nor for the next ingest."""
        for _ in range(2):
            repository = self.open()
            assert repository.check(read_data=True).sound
            assert {m.id for m in repository.list_manifests()} - {self.deleted} == {self.kept, *promised}
            for manifest_id, content in promised.items():
                assert restored(repository, manifest_id) == content
            self.clock.advance(2 * 3600)
            repository.prune(grace=NO_GRACE)
        again = self.open().ingest([MemoryDisk(OLD)])
        assert restored(self.open(), again.manifest_id) == OLD


def interruptions(
    scene: Callable[[], Scene], work: Callable[[Scene, Repository], None], other: Callable[[Scene], None]
) -> Iterator[Scene]:
    """Do `work` again and again, with all of `other` happening before its first operation, its second, …"""
    for moment in count(1):
        here = scene()
        left = 0

        def fault(_verb: str, _name: str, here: Scene = here) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                other(here)

        repository = here.open(fault)
        left = moment
        work(here, repository)
        if left > 0:
            return
        yield here


def test_prune_at_any_moment_of_an_ingest_breaks_nothing() -> None:
    failed = 0
    promised: dict[str, bytes] = {}

    def ingest(_: Scene, repository: Repository) -> None:
        nonlocal failed
        promised.clear()
        try:
            promised[repository.ingest([MemoryDisk(OLD)]).manifest_id] = OLD
        except RepositoryChanged:
            failed += 1

    moments = 0
    for scene in interruptions(Scene, ingest, Scene.prune):
        scene.assert_whole(promised)
        moments += 1
    assert moments > 5
    assert 0 < failed < moments  # some moments are too late for the ingest, and it says so


def test_prune_at_any_moment_of_an_incremental_breaks_nothing() -> None:
    promised: dict[str, bytes] = {}
    fresh = OLD[:CHUNK] + OTHER[CHUNK:]

    def ingest(scene: Scene, repository: Repository) -> None:
        promised.clear()
        with suppress(RepositoryChanged):
            disk = MemoryDisk(fresh, [data(0, CHUNK)])
            promised[repository.ingest([disk], parent=scene.kept).manifest_id] = fresh

    for scene in interruptions(Scene, ingest, Scene.prune):
        scene.assert_whole(promised)


def test_ingest_at_any_moment_of_a_prune_breaks_nothing() -> None:
    promised: dict[str, bytes] = {}

    def ingest(scene: Scene) -> None:
        promised[scene.open().ingest([MemoryDisk(OLD)]).manifest_id] = OLD

    def prune(scene: Scene, repository: Repository) -> None:
        promised.clear()
        repository.delete_manifest(scene.deleted)
        repository.prune(grace=NO_GRACE)

    moments = 0
    for scene in interruptions(Scene, prune, ingest):
        scene.assert_whole(promised)
        moments += 1
    assert moments > 5


@pytest.mark.slow
def test_ingest_begun_before_a_prune_and_ended_at_any_moment_of_it_breaks_nothing() -> None:
    promised: dict[str, bytes] = {}

    def ingest_around(scene: Scene, repository: Repository) -> None:
        """The ingest looks chunks up, then the prune runs, and the manifest is written at some moment of it."""
        promised.clear()
        paused, proceed = threading.Event(), threading.Event()

        def pause(verb: str, name: str) -> None:
            if verb == "put" and name.startswith("manifest/"):
                paused.set()
                proceed.wait()

        def ingest() -> None:
            with suppress(RepositoryChanged):
                promised[scene.open(pause).ingest([MemoryDisk(OLD)]).manifest_id] = OLD

        def finish() -> None:
            proceed.set()
            thread.join()

        thread = threading.Thread(target=ingest)
        thread.start()
        paused.wait()
        scene.finish = finish
        repository.delete_manifest(scene.deleted)
        repository.prune(grace=NO_GRACE)
        finish()

    for scene in interruptions(Scene, ingest_around, lambda scene: scene.finish()):
        scene.assert_whole(promised)


@pytest.mark.slow
def test_many_ingests_beside_many_prunes_never_lose_what_they_promised() -> None:
    store, clock = MemoryStore(), FakeClock()
    new_repository(store, clock)
    kept: dict[str, bytes] = {}
    failures: list[BaseException] = []
    stop = threading.Event()

    def ingest(number: int) -> None:
        repository = open_repository(store, clock)
        for turn in range(50):
            content = noise(turn % 3, 6 * CHUNK) + noise(100 * number + turn, CHUNK)
            with suppress(RepositoryChanged):
                kept[repository.ingest([MemoryDisk(content)]).manifest_id] = content
            if turn % 3 == 0 and kept:
                repository.delete_manifest(kept.popitem()[0])

    def prune(_: int) -> None:
        while not stop.is_set():
            open_repository(store, clock).prune(grace=NO_GRACE)

    def guarded(work: Callable[[int], None], number: int) -> None:
        try:
            work(number)
        except BaseException as error:  # noqa: BLE001 - shown by the test's own thread
            failures.append(error)

    pruner = threading.Thread(target=guarded, args=(prune, 0))
    ingesters = [threading.Thread(target=guarded, args=(ingest, number)) for number in range(3)]
    for thread in (pruner, *ingesters):
        thread.start()
    for thread in ingesters:
        thread.join()
    stop.set()
    pruner.join()
    assert failures == []
    repository = open_repository(store, clock)
    assert {manifest_id: restored(repository, manifest_id) for manifest_id in kept} == kept
    assert repository.check(read_data=True).sound
