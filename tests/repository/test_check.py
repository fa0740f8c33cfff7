"""Any flipped bit, cut, or missing object is found, and the disks it hurts are named."""

import pytest

from tests.repository.scenes import (
    CHUNK,
    MemoryDisk,
    data,
    new_repository,
    noise,
    open_repository,
    prose,
    restored,
)
from vmkeep.base.errors import VmkeepError
from vmkeep.repository import CheckReport, HurtDisk
from vmkeep.repository.errors import ObjectDamaged, ObjectMissing, RecordMissing, WrongKey
from vmkeep.repository.store.memory import MemoryStore


class Scene:
    """Two manifests that share a disk; the second has another disk of its own."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        repository = new_repository(self.store)
        shared, own = MemoryDisk(noise(1, 5 * CHUNK)), MemoryDisk(prose(2, 9 * CHUNK), name="vdb")
        before = set(self.store.objects)
        self.first = repository.ingest([shared]).manifest_id
        self.shared_objects = {name for name in self.store.objects if name not in before}
        before = set(self.store.objects)
        self.second = repository.ingest([shared, own]).manifest_id
        self.own_objects = {name for name in self.store.objects if name not in before}

    def check(self, *, read_data: bool = True) -> CheckReport:
        return open_repository(self.store).check(read_data=read_data)

    def flip(self, name: str, position: int) -> None:
        hurt = bytearray(self.store.objects[name])
        hurt[position] ^= 1
        self.store.objects[name] = bytes(hurt)

    def hurt_by(self, name: str) -> set[HurtDisk]:
        """What anybody must expect to be hurt when an object goes bad."""
        if name.startswith("manifest/"):
            return {HurtDisk(name.removeprefix("manifest/"), "")}
        if name in self.own_objects:
            return {HurtDisk(self.second, "vdb")}
        return {HurtDisk(self.first, "vda"), HurtDisk(self.second, "vda")}


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_sound_repository_is_found_sound(scene: Scene) -> None:
    report = scene.check()
    assert report.sound
    assert (report.manifests, report.packs) == (2, 4)
    assert report.read_bytes == sum(info.size for info in scene.store.list("pack"))


def test_shared_chunks_are_read_once() -> None:
    repository = new_repository(MemoryStore())
    for _ in range(10):
        repository.ingest([MemoryDisk(noise(1, 50 * CHUNK))])
    assert repository.check(read_data=True).read_bytes < 55 * CHUNK


@pytest.mark.slow
def test_every_flipped_bit_is_found_and_its_disks_are_named(scene: Scene) -> None:
    for name, content in list(scene.store.objects.items()):
        if name == "config":
            continue
        for position in {*range(40), *range(len(content) - 40, len(content)), *range(0, len(content), 997)}:
            if not 0 <= position < len(content):
                continue
            scene.flip(name, position)
            report = scene.check()
            scene.flip(name, position)
            assert name in {problem.name for problem in report.problems}, (name, position)
            covers_records = 24 <= position < len(content) - 200
            if covers_records or not name.startswith("pack/"):
                assert set(report.hurt) == scene.hurt_by(name), (name, position)
    assert scene.check().sound


def test_flipped_bit_in_config_is_damage_not_a_wrong_key(scene: Scene) -> None:
    for position in range(len(scene.store.objects["config"])):
        scene.flip("config", position)
        with pytest.raises(VmkeepError) as caught:
            open_repository(scene.store)
        assert not isinstance(caught.value, WrongKey)
        scene.flip("config", position)


@pytest.mark.parametrize("read_data", [True, False], ids=["reading-data", "metadata-only"])
def test_missing_object_is_named_with_the_disks_it_hurts(scene: Scene, *, read_data: bool) -> None:
    for name, content in list(scene.store.objects.items()):
        if name == "config" or name.startswith("manifest/"):
            continue
        scene.store.delete(name)
        report = scene.check(read_data=read_data)
        assert set(report.hurt) == scene.hurt_by(name), name
        if name.startswith("pack/"):
            assert name in {problem.name for problem in report.problems}
        scene.store.put(name, content)


@pytest.mark.parametrize("read_data", [True, False], ids=["reading-data", "metadata-only"])
def test_truncated_pack_is_named_with_the_disks_it_hurts(scene: Scene, *, read_data: bool) -> None:
    for info in list(scene.store.list("pack")):
        whole = scene.store.objects[info.name]
        for size in (0, 10, 30, info.size // 2, info.size - 1):
            scene.store.objects[info.name] = whole[:size]
            report = scene.check(read_data=read_data)
            assert info.name in {problem.name for problem in report.problems}
            if size <= info.size // 2:  # of a pack that lost its table only, all nodes can still be read
                assert set(report.hurt) == scene.hurt_by(info.name)
        scene.store.objects[info.name] = whole


def test_objects_of_one_kind_that_change_places_are_found(scene: Scene) -> None:
    for folder in ("pack", "index", "manifest"):
        one, other = [info.name for info in scene.store.list(folder)][:2]
        objects = scene.store.objects
        objects[one], objects[other] = objects[other], objects[one]
        assert {one, other} <= {problem.name for problem in scene.check().problems}
        objects[one], objects[other] = objects[other], objects[one]


def test_damaged_disk_cannot_be_restored_and_the_others_can(scene: Scene) -> None:
    pack = max((name for name in scene.shared_objects if name.startswith("pack/")), key=scene.store.size)
    scene.flip(pack, 100)
    repository = open_repository(scene.store)
    with pytest.raises(ObjectDamaged):
        restored(repository, scene.second, "vda")
    assert restored(repository, scene.second, "vdb") == prose(2, 9 * CHUNK)
    scene.store.delete(pack)
    with pytest.raises((ObjectMissing, RecordMissing)):
        restored(repository, scene.second, "vda")


def test_damage_below_a_shared_node_hurts_every_manifest_above_it() -> None:
    store = MemoryStore()
    repository = new_repository(store)
    content = noise(1, 600 * CHUNK)
    first = repository.ingest([MemoryDisk(content)])
    fresh = noise(2, CHUNK) + content[CHUNK:]
    second = repository.ingest([MemoryDisk(fresh, [data(0, CHUNK)])], parent=first.manifest_id)
    pack = max(store.objects, key=store.size)
    hurt = bytearray(store.objects[pack])
    hurt[24 + 5] ^= 1
    hurt[-CHUNK * 100] ^= 1  # two chunks: at most one of them is the one that the second manifest replaced
    store.objects[pack] = bytes(hurt)
    report = open_repository(store).check(read_data=True)
    assert {disk.manifest_id for disk in report.hurt} == {first.manifest_id, second.manifest_id}
