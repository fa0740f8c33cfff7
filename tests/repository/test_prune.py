import json
import subprocess
from collections.abc import Callable
from datetime import timedelta
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
    restored,
)
from vmkeep.base.clock import FakeClock
from vmkeep.repository import IngestReport, Repository
from vmkeep.repository.errors import PruneRunning, RepositoryChanged, RepositoryDamaged
from vmkeep.repository.holder import has_ended, this_process
from vmkeep.repository.layout import ObjectKind
from vmkeep.repository.lease import PruneLease
from vmkeep.repository.sealed_objects import SealedObjects
from vmkeep.repository.sealing import Sealer
from vmkeep.repository.store.faulty import FaultyStore
from vmkeep.repository.store.memory import MemoryStore

DAY = timedelta(days=1)
NOW = timedelta(0)


def packs(store: MemoryStore) -> set[str]:
    return {info.name for info in store.list("pack")}


class Scene:
    """A repository in memory with a clock of its own."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.store = MemoryStore()
        self.repository = new_repository(self.store, self.clock)

    def ingest(self, content: bytes) -> str:
        return self.repository.ingest([MemoryDisk(content)]).manifest_id

    def another(self, fault: Callable[[str, str], None] | None = None) -> Repository:
        """The same repository as another process sees it, through a store with faults."""
        return open_repository(FaultyStore(self.store, fault or (lambda _verb, _name: None)), self.clock)


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_prune_frees_what_only_deleted_manifests_needed(scene: Scene) -> None:
    scene.ingest(noise(1, 20 * CHUNK))
    kept_packs = packs(scene.store)
    scene.repository.delete_manifest(scene.ingest(noise(2, 20 * CHUNK)))
    first = scene.repository.prune(grace=DAY)
    assert (first.condemned_packs, first.deleted_packs) == (2, 0)
    assert first.condemned_bytes > 20 * CHUNK
    scene.clock.advance(DAY.total_seconds())
    second = scene.repository.prune(grace=DAY)
    assert (second.condemned_packs, second.deleted_packs) == (0, 2)
    assert second.deleted_bytes == first.condemned_bytes
    assert packs(scene.store) == kept_packs
    assert list(scene.store.list("condemned")) == []
    assert list(scene.store.list("lease")) == []
    assert scene.another().check(read_data=True).sound


def test_nothing_is_deleted_before_the_grace_period_is_over(scene: Scene) -> None:
    scene.repository.delete_manifest(scene.ingest(noise(1, CHUNK)))
    before = packs(scene.store)
    scene.repository.prune(grace=DAY)
    scene.clock.advance(DAY.total_seconds() - 1)
    assert scene.repository.prune(grace=DAY).deleted_packs == 0
    assert packs(scene.store) == before


def test_prune_without_grace_frees_at_once(scene: Scene) -> None:
    scene.repository.delete_manifest(scene.ingest(noise(1, CHUNK)))
    assert scene.repository.prune(grace=NOW).deleted_packs == 2
    assert packs(scene.store) == set()


def test_thin_packs_are_written_anew(scene: Scene) -> None:
    shared, own = noise(1, 4 * CHUNK), noise(2, 16 * CHUNK)
    whole = scene.ingest(shared + own)
    kept = scene.ingest(shared)
    scene.repository.delete_manifest(whole)
    report = scene.repository.prune(grace=NOW)
    assert report.repacked_bytes > 4 * CHUNK
    assert report.deleted_packs >= 1
    assert sum(info.size for info in scene.store.list("pack")) < 6 * CHUNK
    assert restored(scene.another(), kept) == shared
    assert scene.another().check(read_data=True).sound
    assert scene.repository.prune(grace=NOW).repacked_bytes == 0


def test_open_reader_survives_a_prune_that_moves_its_chunks(scene: Scene) -> None:
    shared = noise(1, 4 * CHUNK)
    whole = scene.ingest(shared + noise(2, 16 * CHUNK))
    kept = scene.ingest(shared)
    reader = scene.another().open_disk(kept, "vda")
    assert reader.read(0, 1) == shared[:1]
    scene.repository.delete_manifest(whole)
    scene.repository.prune(grace=NOW)
    assert reader.read(0, len(shared)) == shared


def test_condemned_content_is_stored_anew(scene: Scene) -> None:
    content = noise(1, 10 * CHUNK)
    scene.repository.delete_manifest(scene.ingest(content))
    scene.repository.prune(grace=DAY)
    again = scene.another().ingest([MemoryDisk(content)])
    assert again.new_bytes == len(content)
    scene.clock.advance(DAY.total_seconds())
    assert scene.repository.prune(grace=DAY).deleted_packs == 2
    assert restored(scene.another(), again.manifest_id) == content


def test_pack_that_a_running_ingest_relied_on_is_pardoned(scene: Scene) -> None:
    content = noise(1, 10 * CHUNK)
    doomed = scene.ingest(content)

    def prune() -> None:
        scene.repository.delete_manifest(doomed)
        scene.repository.prune(grace=DAY)

    report = ingest_while(scene, content, prune)
    assert report.known_bytes == len(content)
    scene.clock.advance(DAY.total_seconds())
    assert scene.repository.prune(grace=DAY).pardoned_packs == 2
    assert restored(scene.another(), report.manifest_id) == content


def test_ingest_that_lost_what_it_relied_on_fails_and_succeeds_when_run_again(scene: Scene) -> None:
    content = noise(1, 10 * CHUNK)
    doomed = scene.ingest(content)

    def prune() -> None:
        scene.repository.delete_manifest(doomed)
        scene.repository.prune(grace=NOW)

    with pytest.raises(RepositoryChanged):
        ingest_while(scene, content, prune)
    assert scene.repository.list_manifests() == []
    assert restored(scene.repository, scene.ingest(content)) == content
    assert scene.another().check(read_data=True).sound


def ingest_while(scene: Scene, content: bytes, meanwhile: Callable[[], None]) -> IngestReport:
    """Ingest, and do something else after the chunks were looked up and before the manifest is written."""

    def fault(verb: str, name: str) -> None:
        if verb == "put" and name.startswith("manifest/"):
            meanwhile()

    return scene.another(fault).ingest([MemoryDisk(content)])


def test_packs_that_no_index_names_are_removed_after_an_hour(scene: Scene) -> None:
    scene.store.put("pack/00/" + "0" * 32, b"left by a crash")
    report = scene.repository.prune(grace=NOW)
    assert (report.condemned_packs, report.deleted_packs) == (1, 0)
    scene.clock.advance(3600)
    assert scene.repository.prune(grace=NOW).deleted_packs == 1
    assert packs(scene.store) == set()


def test_two_prunes_at_once_exclude_each_other(scene: Scene) -> None:
    scene.repository.delete_manifest(scene.ingest(noise(1, CHUNK)))
    refusals: list[PruneRunning] = []

    def fault(verb: str, name: str) -> None:
        if verb == "put" and name.startswith("condemned/"):
            with pytest.raises(PruneRunning) as caught:
                scene.another().prune(grace=NOW)
            refusals.append(caught.value)

    scene.another(fault).prune(grace=NOW)
    assert len(refusals) == 1


def test_prune_lease_of_a_crashed_process_runs_out(scene: Scene) -> None:
    scene.repository.delete_manifest(scene.ingest(noise(1, CHUNK)))
    leases: list[bytes] = []

    def die(_verb: str, name: str) -> None:
        if name.startswith("condemned/"):
            leases.append(scene.store.objects["lease/prune"])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        scene.another(die).prune(grace=NOW)
    scene.store.put("lease/prune", leases[0])
    with pytest.raises(PruneRunning):
        scene.repository.prune(grace=NOW)
    scene.clock.advance(15 * 60)
    assert scene.repository.prune(grace=NOW).deleted_packs == 2


def test_prune_lease_of_a_killed_process_is_known_to_be_void(scene: Scene) -> None:
    scene.repository.delete_manifest(scene.ingest(noise(1, CHUNK)))
    with subprocess.Popen(["sleep", "60"]) as holder:
        boot, namespace, _pid, _started = this_process().split("/")
        started = Path(f"/proc/{holder.pid}/stat").read_text().rpartition(")")[2].split()[19]
        expires = (scene.clock.now() + timedelta(minutes=10)).isoformat()
        process = f"{boot}/{namespace}/{holder.pid}/{started}"
        lease = json.dumps({"expires": expires, "owner": "another", "process": process}).encode()
        SealedObjects(scene.store, Sealer(KEY)).put(ObjectKind.LEASE, lease)
        with pytest.raises(PruneRunning):
            scene.repository.prune(grace=NOW)
        holder.kill()
    assert scene.repository.prune(grace=NOW).deleted_packs == 2


@pytest.mark.parametrize("process", ["", "nonsense", "other-boot/pid:[1]/1/1"])
def test_process_of_another_machine_is_never_taken_for_ended(process: str) -> None:
    assert not has_ended(process)
    assert not has_ended(this_process())


def test_prune_of_a_damaged_repository_deletes_nothing(scene: Scene) -> None:
    scene.ingest(noise(1, 4 * CHUNK))
    scene.repository.delete_manifest(scene.ingest(noise(2, 4 * CHUNK)))
    chunk_pack = max(scene.store.list("pack"), key=lambda info: info.size)
    scene.store.delete(chunk_pack.name)
    before = packs(scene.store)
    with pytest.raises(RepositoryDamaged):
        scene.another().prune(grace=NOW)
    assert packs(scene.store) == before


def test_many_small_packs_and_indexes_become_few(scene: Scene) -> None:
    content = bytearray(noise(1, 70 * CHUNK))
    manifest_id = scene.ingest(bytes(content))
    for number in range(70):
        content[number * CHUNK] ^= 1
        disk = MemoryDisk(bytes(content), [data(number * CHUNK, 1)])
        manifest_id = scene.repository.ingest([disk], parent=manifest_id).manifest_id
    assert len(packs(scene.store)) > 130
    scene.repository.prune(grace=NOW)
    assert len(packs(scene.store)) <= 4
    assert len(list(scene.store.list("index"))) <= 4
    assert restored(scene.another(), manifest_id) == bytes(content)
    assert scene.another().check(read_data=True).sound


def test_prune_that_lost_its_lease_stops_before_it_deletes(scene: Scene) -> None:
    scene.repository.delete_manifest(scene.ingest(noise(1, CHUNK)))
    before = packs(scene.store)

    def oversleep(verb: str, name: str) -> None:
        if verb == "put" and name.startswith("condemned/"):
            scene.clock.advance(16 * 60)
            lease = PruneLease(SealedObjects(scene.store, Sealer(KEY)), scene.clock)
            lease.__enter__()

    with pytest.raises(PruneRunning):
        scene.another(oversleep).prune(grace=NOW)
    assert packs(scene.store) == before
    assert [info.name for info in scene.store.list("lease")] == ["lease/prune"]
