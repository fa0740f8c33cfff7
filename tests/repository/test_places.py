"""The whole repository on real places."""

import subprocess
from pathlib import Path

import pytest

from tests.repository.scenes import KEY, MemoryDisk, noise, open_repository, restored
from vmkeep.base.clock import FakeClock
from vmkeep.repository import Repository, open_store
from vmkeep.repository.errors import NotARepository, StoreFull, StoreUnreachable

MIB = 1 << 20


def test_repository_in_a_folder(tmp_path: Path) -> None:
    content = noise(1, 3 * MIB + 5)
    repository = Repository.create(open_store(str(tmp_path)), KEY, clock=FakeClock())
    report = repository.ingest([MemoryDisk(content)])
    again = open_repository(open_store(f"file://{tmp_path}"))
    assert restored(again, report.manifest_id) == content
    assert again.check(read_data=True).sound


@pytest.mark.slow
def test_repository_in_s3(s3_url: str, s3_options: dict[str, str]) -> None:
    clock = FakeClock()
    content = noise(1, 40 * MIB)
    repository = Repository.create(open_store(s3_url, s3_options, clock=clock), KEY, clock=clock)
    report = repository.ingest([MemoryDisk(content)])
    again = open_repository(open_store(s3_url, s3_options, clock=clock), clock)
    assert restored(again, report.manifest_id) == content
    again.delete_manifest(report.manifest_id)
    again.prune(grace=clock.now() - clock.now())
    assert [info.name for info in open_store(s3_url, s3_options).list("")] == ["config"]
    with pytest.raises(NotARepository):
        open_repository(open_store(f"{s3_url}/elsewhere", s3_options))


@pytest.mark.slow
def test_full_disk_ends_the_ingest_and_room_lets_it_go_on(tmp_path: Path) -> None:
    mount(tmp_path, "size=80m")
    try:
        repository = Repository.create(open_store(str(tmp_path)), KEY, clock=FakeClock())
        first = repository.ingest([MemoryDisk(noise(1, MIB))])
        content = noise(2, 120 * MIB)
        with pytest.raises(StoreFull):
            repository.ingest([MemoryDisk(content)])
        assert [manifest.id for manifest in repository.list_manifests()] == [first.manifest_id]
        mount(tmp_path, "remount,size=300m")
        again = open_repository(open_store(str(tmp_path))).ingest([MemoryDisk(content)])
        assert again.known_bytes >= 32 * MIB
        assert restored(repository, again.manifest_id) == content
        assert repository.check(read_data=True).sound
    finally:
        subprocess.run(["umount", tmp_path], check=True)


@pytest.mark.slow
def test_unmounted_place_is_unreachable_not_empty(tmp_path: Path) -> None:
    mount(tmp_path, "size=80m")
    repository = Repository.create(open_store(str(tmp_path)), KEY, clock=FakeClock())
    repository.ingest([MemoryDisk(noise(1, MIB))])
    subprocess.run(["umount", tmp_path], check=True)
    for use in (repository.list_manifests, lambda: repository.ingest([MemoryDisk(noise(1, MIB))])):
        with pytest.raises(StoreUnreachable):
            use()
    assert list(tmp_path.iterdir()) == []


def mount(place: Path, options: str) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", place], check=True)
