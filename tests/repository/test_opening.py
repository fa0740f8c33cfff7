import pytest

from tests.repository.scenes import CHUNK, KEY, MemoryDisk, new_repository, noise, open_repository, restored
from vmkeep.base.clock import FakeClock
from vmkeep.base.errors import InvalidValue
from vmkeep.repository import Repository, RepositoryKey
from vmkeep.repository.errors import FormatTooNew, NotARepository, ObjectDamaged, PlaceNotEmpty, WrongKey
from vmkeep.repository.store.memory import MemoryStore


@pytest.fixture
def store() -> MemoryStore:
    store = MemoryStore()
    new_repository(store).ingest([MemoryDisk(noise(1, CHUNK))])
    return store


def test_place_that_holds_anything_is_not_made_a_repository(store: MemoryStore) -> None:
    with pytest.raises(PlaceNotEmpty):
        new_repository(store)
    other = MemoryStore()
    other.put("somebody's/file", b"x")
    with pytest.raises(PlaceNotEmpty, match="somebody"):
        new_repository(other)


def test_empty_place_is_not_a_repository() -> None:
    with pytest.raises(NotARepository):
        open_repository(MemoryStore())


def test_foreign_config_is_not_a_repository() -> None:
    store = MemoryStore()
    store.put("config", b"[core]\nrepositoryformatversion = 0\n")
    with pytest.raises(NotARepository):
        open_repository(store)


def test_wrong_key_is_told_from_damage(store: MemoryStore) -> None:
    with pytest.raises(WrongKey):
        Repository.open(store, RepositoryKey(bytes(32)), clock=FakeClock())
    store.objects["config"] = store.objects["config"][:-1]
    with pytest.raises(ObjectDamaged):
        open_repository(store)


def test_format_of_a_later_vmkeep_is_refused(store: MemoryStore) -> None:
    config = store.objects["config"]
    store.objects["config"] = config[:7] + bytes([2]) + config[8:]
    with pytest.raises(FormatTooNew) as caught:
        open_repository(store)
    assert (caught.value.found, caught.value.known) == (2, 1)


@pytest.mark.parametrize("size", [0, 2048, 5000, 8 << 20])
def test_chunk_sizes_outside_the_format_are_refused(size: int) -> None:
    with pytest.raises(InvalidValue):
        new_repository(MemoryStore(), chunk_size=size)


def test_key_has_32_bytes_and_never_shows_them() -> None:
    with pytest.raises(ValueError, match="32"):
        RepositoryKey(b"short")
    assert "\\x00" not in repr(RepositoryKey(bytes(32)))


def test_content_and_names_are_nowhere_in_the_store() -> None:
    store = MemoryStore()
    secret = b"Attack at dawn. " * 256
    repository = new_repository(store)
    report = repository.ingest([MemoryDisk(secret, name="secret-disk")], attributes={"vm": "secret-vm"})
    everything = b"".join(store.objects.values()) + "".join(store.objects).encode()
    assert b"Attack" not in everything
    assert b"secret" not in everything
    assert restored(repository, report.manifest_id, "secret-disk") == secret


def test_equal_content_has_different_ids_under_different_keys() -> None:
    sealed = []
    for key in (KEY, RepositoryKey(bytes(32))):
        repository = Repository.create(MemoryStore(), key, clock=FakeClock())
        report = repository.ingest([MemoryDisk(noise(1, CHUNK))])
        sealed.append(repository.manifest(report.manifest_id).disks[0].root)
    assert sealed[0] != sealed[1]
