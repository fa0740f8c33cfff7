"""The contract that every store keeps."""

import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from vmkeep.base.clock import FakeClock
from vmkeep.base.errors import InvalidValue
from vmkeep.repository import ObjectStore, open_store
from vmkeep.repository.errors import (
    ObjectDamaged,
    ObjectExists,
    ObjectMissing,
    StoreFull,
    StoreRefused,
    StoreUnreachable,
)
from vmkeep.repository.store.faulty import CrashingStore, FaultyStore
from vmkeep.repository.store.local import LocalStore
from vmkeep.repository.store.memory import MemoryStore
from vmkeep.repository.store.protocol import ObjectInfo
from vmkeep.repository.store.retrying import RetryingStore

S3_OPTIONS = {"access_key_id": "id", "secret_access_key": "secret", "region": "us-east-1"}


@pytest.fixture(
    params=["memory", "local", pytest.param("s3", marks=pytest.mark.slow), "retrying", "faulty", "crashing"]
)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    match request.param:
        case "local":
            return open_store(f"file://{tmp_path}/new/folder")
        case "s3":
            return open_store(request.getfixturevalue("s3_url"), request.getfixturevalue("s3_options"))
        case "retrying":
            return RetryingStore(MemoryStore(), FakeClock())
        case "faulty":
            return FaultyStore(MemoryStore(), lambda _verb, _name: None)
        case "crashing":
            return CrashingStore(MemoryStore(), 10**6, took_effect=False)
        case _:
            return MemoryStore()


def test_what_was_put_can_be_got_whole_and_in_part(store: ObjectStore) -> None:
    store.put("pack/ab/abc", bytearray(b"0123456789"))
    assert store.get("pack/ab/abc") == b"0123456789"
    assert store.get_range("pack/ab/abc", 3, 4) == b"3456"
    assert store.size("pack/ab/abc") == 10


def test_second_put_of_a_name_is_refused_and_changes_nothing(store: ObjectStore) -> None:
    store.put("config", b"first")
    with pytest.raises(ObjectExists):
        store.put("config", b"second")
    assert store.get("config") == b"first"


def test_absent_object_is_missing_for_every_reader(store: ObjectStore) -> None:
    for read in (lambda: store.get("no"), lambda: store.get_range("no", 0, 1), lambda: store.size("no")):
        with pytest.raises(ObjectMissing):
            read()


def test_range_past_the_end_is_damage_not_less_data(store: ObjectStore) -> None:
    store.put("a", b"0123456789")
    for offset, length in ((8, 3), (10, 1), (50, 1)):
        with pytest.raises(ObjectDamaged):
            store.get_range("a", offset, length)


def test_list_finds_whole_folders_only(store: ObjectStore) -> None:
    for name in ("index/a", "index/b/c", "index2/d", "e"):
        store.put(name, b"xy")
    assert {info.name for info in store.list("index")} == {"index/a", "index/b/c"}
    assert ObjectInfo("e", 2) in set(store.list(""))
    assert len(list(store.list(""))) == 4
    assert list(store.list("nothing")) == []


def test_deleted_object_is_gone_and_deleting_it_again_is_fine(store: ObjectStore) -> None:
    store.put("a/b", b"x")
    store.delete("a/b")
    store.delete("a/b")
    assert list(store.list("")) == []
    store.put("a/b", b"y")
    assert store.get("a/b") == b"y"


def test_of_many_puts_of_one_name_exactly_one_wins(store: ObjectStore) -> None:
    outcomes: list[str] = []

    def put(text: bytes) -> None:
        try:
            store.put("lease", text)
            outcomes.append(text.decode())
        except ObjectExists:
            pass

    threads = [threading.Thread(target=put, args=(b"%d" % n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [store.get("lease").decode()] == outcomes


def test_local_store_leaves_no_trace_of_a_put_that_failed(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.put("a", b"x")
    with pytest.raises(ObjectExists):
        store.put("a", b"y")
    assert list((tmp_path / ".staging").iterdir()) == []


def test_local_store_removes_what_a_crashed_writer_staged_a_day_ago(tmp_path: Path) -> None:
    (tmp_path / ".staging").mkdir()
    old, fresh = tmp_path / ".staging/old", tmp_path / ".staging/fresh"
    for path in (old, fresh):
        path.write_bytes(b"half an obj")
    os.utime(old, (0, 0))
    store = LocalStore(tmp_path)
    assert list((tmp_path / ".staging").iterdir()) == [fresh]
    assert list(store.list("")) == []


def test_looking_for_a_local_store_that_was_moved_away_makes_nothing(tmp_path: Path) -> None:
    with pytest.raises(ObjectMissing):
        LocalStore(tmp_path / "away").get("config")
    assert not (tmp_path / "away").exists()


def test_place_that_is_a_file_is_no_place(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    store = LocalStore(tmp_path / "file")
    for use in (lambda: store.get("config"), lambda: store.put("config", b"x")):
        with pytest.raises(StoreUnreachable):
            use()


def test_looking_at_a_place_makes_nothing(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "new")
    assert list(store.list("")) == []
    store.delete("a")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("url", ["ftp://host/x", "s3://", "file://otherhost/x"])
def test_unknown_addresses_are_refused(url: str) -> None:
    with pytest.raises(InvalidValue):
        open_store(url)


def test_unknown_options_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match="endpont"):
        open_store("s3://bucket", {"endpont": "http://x"})
    with pytest.raises(InvalidValue, match="region"):
        open_store(str(tmp_path), {"region": "x"})


def test_absent_s3_server_is_unreachable() -> None:
    store = open_store("s3://bucket", {**S3_OPTIONS, "endpoint": "http://127.0.0.1:9"}, clock=FakeClock())
    with pytest.raises(StoreUnreachable):
        store.get("x")


def failing(times: int, *, after: bool = False) -> tuple[RetryingStore, MemoryStore, FakeClock]:
    """A store that fails `times` times, before or after the change took effect."""
    memory, clock, left = MemoryStore(), FakeClock(), [times]

    def fault(verb: str, name: str) -> None:
        if left[0]:
            left[0] -= 1
            if after and verb == "put":
                memory.put(name, b"data")
            raise StoreUnreachable("here", "a passing fault")

    return RetryingStore(FaultyStore(memory, fault), clock), memory, clock


def test_passing_faults_are_waited_out() -> None:
    store, memory, clock = failing(5)
    store.put("a", b"data")
    assert memory.get("a") == b"data"
    assert clock.monotonic() == 15.5


def test_lasting_faults_are_raised() -> None:
    store, _, _ = failing(6)
    with pytest.raises(StoreUnreachable):
        store.get("a")


def test_put_that_took_effect_unheard_is_success() -> None:
    store, _, _ = failing(1, after=True)
    store.put("a", b"data")
    store, _, _ = failing(1, after=True)
    with pytest.raises(ObjectExists):
        store.put("a", b"other data")


@pytest.fixture
def small_place(tmp_path: Path) -> Iterator[Path]:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", tmp_path], check=True)
    yield tmp_path
    subprocess.run(["umount", tmp_path], check=True)


@pytest.mark.slow
def test_full_disk_is_named_and_leaves_what_was_stored(small_place: Path) -> None:
    store = LocalStore(small_place)
    store.put("small", b"x" * 1000)
    with pytest.raises(StoreFull):
        store.put("large", bytes(2 << 20))
    assert [info.name for info in store.list("")] == ["small"]
    store.put("another", b"y" * 1000)


@pytest.mark.slow
def test_read_only_place_refuses(small_place: Path) -> None:
    store = LocalStore(small_place)
    subprocess.run(["mount", "-o", "remount,ro", small_place], check=True)
    with pytest.raises(StoreRefused):
        store.put("a", b"x")
