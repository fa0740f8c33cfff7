from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.fabric.offline.images import (
    FILE_SYSTEMS,
    SYSTEM,
    VAR_UUID,
    RawDisk,
    in_lvm,
    in_partitions,
    make_file_system,
    run,
)
from vmkeep.base.clock import SystemClock
from vmkeep.fabric.offline.errors import (
    GuestFilesUnreadable,
    GuestPathNotFound,
    GuestPathUnfit,
    GuestSystemNotFound,
    OfflineReadTimedOut,
)
from vmkeep.fabric.offline.files import OfflineFiles, reading_offline
from vmkeep.model.disk_io import DiskSource

LOG = "".join(f"line {number}\n" for number in range(60_000))
CONTENT = {
    **SYSTEM,
    "usr/lib/systemd/system/walinuxagent.service": "[Unit]\n",
    "lib": Path("usr/lib"),
    "etc/systemd/system/walinuxagent.service": Path("/dev/null"),
    "etc/shadow-of-host": Path("/etc/hostname"),
    "etc/round": Path("round"),
    "etc/up": Path("../../../../../../etc/os-release"),
    "var/log/waagent.log": LOG,
    "var/empty": "",
}


def opened(*disks: DiskSource, limit_s: float = 50) -> AbstractContextManager[OfflineFiles]:
    return reading_offline(
        disks,
        vm="web01",
        origin="test",
        moment=datetime(2026, 1, 1, tzinfo=UTC),
        clock=SystemClock(),
        limit_s=limit_s,
    )


@pytest.fixture(scope="module", params=FILE_SYSTEMS)
def image(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(request.param)
    return make_file_system(request.param, folder / "disk.img", CONTENT)


@pytest.fixture
def files(image: Path) -> Iterator[OfflineFiles]:
    with opened(RawDisk(image)) as files:
        yield files


def test_a_file_is_read_as_it_was_written(files: OfflineFiles) -> None:
    assert files.read("/var/log/waagent.log", limit=10 << 20).decode() == LOG
    assert files.read("/var/empty", limit=10) == b""


def test_reads_are_bounded_from_either_end(files: OfflineFiles) -> None:
    assert files.read("/var/log/waagent.log", limit=6) == b"line 0"
    assert files.read("/var/log/waagent.log", limit=11, from_end=True) == b"line 59999\n"


def test_symlinks_are_followed_within_the_guest_only(files: OfflineFiles) -> None:
    assert files.read("/lib/systemd/system/walinuxagent.service", limit=99) == b"[Unit]\n"
    assert files.read("/etc/up", limit=9) == b"ID=debian"
    assert not files.exists("/etc/shadow-of-host")


def test_a_symlink_itself_tells_where_it_points(files: OfflineFiles) -> None:
    masked = files.find("/etc/systemd/system/walinuxagent.service", follow=False)
    assert masked is not None
    assert (masked.kind, masked.target) == ("symlink", "/dev/null")


def test_a_folder_is_listed_up_to_a_limit(files: OfflineFiles) -> None:
    assert set(files.list("/var").names) == {"log", "empty"}
    listing = files.list("/etc", limit=2)
    assert (len(listing.names), listing.more) == (2, True)


def test_what_is_not_there_or_no_file_is_refused(files: OfflineFiles) -> None:
    with pytest.raises(GuestPathNotFound):
        files.read("/nothing", limit=1)
    with pytest.raises(GuestPathNotFound):
        files.read("/etc/os-release/below", limit=1)
    with pytest.raises(GuestPathUnfit):
        files.read("/etc", limit=1)
    with pytest.raises(GuestPathUnfit):
        files.list("/etc/os-release")
    with pytest.raises(GuestPathUnfit):
        files.find("/etc/round")
    with pytest.raises(GuestPathUnfit):
        files.find("/x" * 9000)


def test_free_space_is_told(files: OfflineFiles) -> None:
    (root,) = files.file_systems
    assert root.mounted_at == "/"
    assert root.free_bytes is not None
    assert root.size_bytes / 2 < root.free_bytes < root.size_bytes


@pytest.mark.parametrize("table", ["gpt", "dos"])
def test_partitions_come_together_by_fstab(table: str, tmp_path: Path) -> None:
    var = make_file_system("ext4", tmp_path / "var.img", {"log/waagent.log": "from var"}, uuid=VAR_UUID)
    root = make_file_system("ext4", tmp_path / "root.img", {**SYSTEM, "var/log/waagent.log": "hidden"})
    with opened(RawDisk(in_partitions(tmp_path / "disk.img", [root, var], table=table))) as files:
        assert files.read("/var/log/waagent.log", limit=99) == b"from var"
        assert [(one.name, one.mounted_at) for one in files.file_systems] == [("vda1", "/"), ("vda2", "/var")]


@pytest.mark.parametrize("kind", FILE_SYSTEMS)
def test_a_root_in_lvm_is_read(kind: str, tmp_path: Path) -> None:
    fstab = {"etc/fstab": "/dev/mapper/vg-root / auto defaults 0 1\n"}
    root = make_file_system(kind, tmp_path / "root.img", {**SYSTEM, **fstab, "var/log/waagent.log": LOG})
    with opened(RawDisk(in_lvm(tmp_path / "disk.img", root))) as files:
        assert [(one.name, one.kind, one.mounted_at) for one in files.file_systems] == [
            ("vg/root", kind, "/")
        ]
        assert files.read("/var/log/waagent.log", limit=10 << 20).decode() == LOG


def test_a_damaged_lvm_says_so(tmp_path: Path) -> None:
    root = make_file_system("ext4", tmp_path / "root.img", SYSTEM)
    disk = in_lvm(tmp_path / "disk.img", root)
    with disk.open("r+b") as file:
        file.seek(4096 + 512)
        file.write(bytes(range(256)))
    with opened(RawDisk(disk)) as files, pytest.raises(GuestSystemNotFound, match="lvm"):
        files.read("/etc/os-release", limit=1)


def test_file_systems_of_another_disk_come_in_too(tmp_path: Path) -> None:
    var = make_file_system("ext4", tmp_path / "var.img", {"x": "from var"}, uuid=VAR_UUID)
    root = make_file_system("ext4", tmp_path / "root.img", SYSTEM)
    with opened(RawDisk(root), RawDisk(var, "vdb")) as files:
        assert files.read("/var/x", limit=99) == b"from var"


def test_two_systems_on_the_disks_are_not_guessed_between(tmp_path: Path) -> None:
    one, two = (make_file_system("ext4", tmp_path / f"{name}.img", SYSTEM) for name in ("one", "two"))
    with (
        opened(RawDisk(one), RawDisk(two, "vdb")) as files,
        pytest.raises(GuestSystemNotFound, match="several"),
    ):
        files.read("/etc/os-release", limit=1)


def test_a_disk_without_a_system_says_what_it_has(tmp_path: Path) -> None:
    empty = tmp_path / "empty.img"
    with empty.open("wb") as file:
        file.truncate(8 << 20)
    with opened(RawDisk(empty)) as files, pytest.raises(GuestSystemNotFound, match="unknown"):
        files.list("/")


def test_what_only_the_journal_holds_is_read(tmp_path: Path) -> None:
    image = make_file_system("ext4", tmp_path / "disk.img", {**SYSTEM, "log": "old" + " " * 4093})
    block = run("debugfs", "-R", "blocks /log", image).split()[0]
    fresh = tmp_path / "fresh"
    fresh.write_bytes(b"\xc0\x3b\x39\x98 new".ljust(1024))
    run("debugfs", "-w", "-f", "-", image, text=f"jo\njw -b {block} {fresh}\njc\n")
    with opened(RawDisk(image)) as files:
        assert files.file_systems[0].journal.startswith("replayed")
        assert files.read("/log", limit=8) == b"\xc0\x3b\x39\x98 new"


class Slow(RawDisk):
    """A disk that takes its time."""

    def read(self, offset: int, length: int) -> bytes:
        SystemClock().sleep(0.3)
        return super().read(offset, length)


def test_a_reader_that_takes_too_long_is_ended(image: Path) -> None:
    with pytest.raises(OfflineReadTimedOut), opened(Slow(image), limit_s=0.5):
        pass


def test_a_disk_that_reads_short_is_an_error_not_a_hang(image: Path) -> None:
    class Short(RawDisk):
        def read(self, offset: int, length: int) -> bytes:
            return super().read(offset, length)[:-1]

    with pytest.raises(GuestFilesUnreadable), opened(Short(image)):
        pass
