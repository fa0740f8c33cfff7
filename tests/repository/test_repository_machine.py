"""Any order of ingest, delete, prune, check and reopening agrees with a dict of what disks held."""

from datetime import timedelta

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

from tests.repository.scenes import (
    CHUNK,
    MemoryDisk,
    data,
    new_repository,
    noise,
    open_repository,
    restored,
    zeros,
)
from vmkeep.base.clock import FakeClock
from vmkeep.repository import Repository
from vmkeep.repository.store.memory import MemoryStore

GRACE = timedelta(hours=2)
SEEDS = st.integers(0, 3)


class RepositoryMachine(RuleBasedStateMachine):
    manifests = Bundle("manifests")

    @initialize(chunk_size=st.sampled_from([CHUNK, 4 * CHUNK]))
    def create(self, chunk_size: int) -> None:
        self.clock = FakeClock()
        self.store = MemoryStore()
        self.model: dict[str, bytes] = {}
        self.repositories = [new_repository(self.store, self.clock, chunk_size)]
        self.reopen()

    @rule()
    def reopen(self) -> None:
        self.repositories = [self.repositories[-1], open_repository(self.store, self.clock)]

    @rule(target=manifests, who=st.integers(0, 1), seeds=st.lists(SEEDS, max_size=12), odd=st.integers(0, 99))
    def ingest_whole(self, who: int, seeds: list[int], odd: int) -> str:
        content = b"".join(noise(seed, CHUNK) if seed else bytes(CHUNK) for seed in seeds) + b"x" * odd
        return self.ingested(self.repositories[who], MemoryDisk(content), None)

    @rule(
        target=manifests,
        who=st.integers(0, 1),
        parent=manifests,
        seed=SEEDS,
        at=st.integers(0, 13 * CHUNK),
        length=st.integers(1, 3 * CHUNK),
    )
    def ingest_change(self, who: int, parent: str, seed: int, at: int, length: int) -> str:
        before = self.model[parent]
        at = min(at, len(before))
        length = min(length, len(before) - at)
        fresh = before[:at] + (noise(seed, length) if seed else bytes(length)) + before[at + length :]
        changes = [data(at, length) if seed else zeros(at, length)] if length else []
        return self.ingested(self.repositories[who], MemoryDisk(fresh, changes), parent)

    def ingested(self, repository: Repository, disk: MemoryDisk, parent: str | None) -> str:
        manifest_id = repository.ingest([disk], parent=parent).manifest_id
        self.model[manifest_id] = disk.content
        return manifest_id

    @rule(who=st.integers(0, 1), manifest_id=consumes(manifests))
    def delete(self, who: int, manifest_id: str) -> None:
        for _ in range(2):
            self.repositories[who].delete_manifest(manifest_id)
        del self.model[manifest_id]

    @rule(who=st.integers(0, 1), grace=st.sampled_from([GRACE, timedelta(0)]))
    def prune(self, who: int, grace: timedelta) -> None:
        self.repositories[who].prune(grace=grace)

    @rule(hours=st.integers(0, 3))
    def wait(self, hours: int) -> None:
        self.clock.advance(hours * 3600)

    @rule(manifest_id=manifests, who=st.integers(0, 1))
    def restore(self, who: int, manifest_id: str) -> None:
        assert restored(self.repositories[who], manifest_id) == self.model[manifest_id]

    @rule(target=manifests)
    def check(self) -> object:
        assert self.repositories[-1].check(read_data=True).sound
        return multiple()

    @invariant()
    def manifests_are_those_that_were_kept(self) -> None:
        assert {manifest.id for manifest in self.repositories[0].list_manifests()} == self.model.keys()

    def teardown(self) -> None:
        """Nothing is left over once everything is deleted and pruned, and nothing is lost before."""
        repository = self.repositories[-1]
        for manifest_id, content in self.model.items():
            assert restored(repository, manifest_id) == content
            repository.delete_manifest(manifest_id)
        for _ in range(3):
            repository.prune(grace=GRACE)
            self.clock.advance(3 * 3600)
        assert {info.name for info in self.store.list("")} == {"config"}


TestRepositoryMachine = RepositoryMachine.TestCase
TestRepositoryMachine.settings = settings(max_examples=30, stateful_step_count=20, deadline=None)
