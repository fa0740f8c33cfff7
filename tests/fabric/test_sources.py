"""Frozen disks read as QEMU reads them, from real image files."""

import json
import random
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.fabric.on_guests import apply, chain_of, qemu_img
from vmkeep.base.units import KIB, MIB
from vmkeep.fabric.errors import DiskIoFailed, DiskVanished, FrozenLayerWritten
from vmkeep.fabric.points import PointRecord, PointState, stamp
from vmkeep.fabric.sources import DiskSet, open_sources
from vmkeep.model.disk_io import ExtentKind
from vmkeep.model.machine import Consistency, DiskFormat
from vmkeep.model.restore_point import CapturedDisk, RestorePoint

pytestmark = pytest.mark.slow


class Disk:
    """A disk with layers, grown by hand: what a guest would write comes from qemu-io."""

    def __init__(self, folder: Path, *, size: int = 8 * MIB, base: DiskFormat = DiskFormat.QCOW2) -> None:
        self.folder = folder
        self.active = folder / f"disk.{base}"
        self.format = base
        self.count = 0
        if base is DiskFormat.RAW:
            self.active.write_bytes(b"")
            with self.active.open("r+b") as file:
                file.truncate(size)
        else:
            qemu_img("create", "-q", "-f", base, self.active, str(size))

    def do(self, *commands: str) -> None:
        words = [word for command in commands for word in ("-c", command)]
        subprocess.run(
            ["qemu-io", "-f", self.format, *words, str(self.active)], check=True, capture_output=True
        )

    def freeze(self) -> PointRecord:
        frozen, frozen_format = self.active, self.format
        self.count += 1
        self.active = self.folder / f"disk.vmkeep-{self.count}.qcow2"
        self.format = DiskFormat.QCOW2
        qemu_img("create", "-q", "-f", "qcow2", "-b", frozen, "-F", frozen_format, self.active)
        chain = tuple(chain_of(frozen, frozen_format))
        disk = CapturedDisk(
            "vda", -1, str(frozen), frozen_format, size_of(self.active), str(self.active), chain
        )
        point = RestorePoint(
            f"p{self.count}", "uuid", "vm", datetime(2026, 1, 1, tzinfo=UTC), Consistency.CRASH, (disk,), ""
        )
        return PointRecord(point, PointState.COMPLETE, {path: stamp(path) for path in chain})


def size_of(image: Path) -> int:
    return int(json.loads(qemu_img("info", "-U", "--output=json", image))["virtual-size"])


Change = Callable[[Disk, PointRecord], PointRecord]


def opened(point: PointRecord, since: PointRecord | None = None) -> DiskSet:
    return open_sources(point, since, ExitStack())


def reads_right(disks: DiskSet, point: PointRecord, copy: Path) -> bool:
    """Bring a raw copy up to date and compare it with what QEMU reads."""
    apply(disks.disks[0], copy)
    disk = point.point.disks[0]
    qemu_img("compare", "-U", "-f", disk.format, "-F", "raw", disk.path, copy)
    return True


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return tmp_path / "copy.raw"


@pytest.mark.parametrize("base", [DiskFormat.QCOW2, DiskFormat.RAW])
@pytest.mark.parametrize(
    "size", [8 * MIB, 8 * MIB + 512, 5 * MIB + 1000], ids=["round", "odd sectors", "no sectors"]
)
def test_whole_and_incremental_reads_are_right(
    tmp_path: Path, copy: Path, base: DiskFormat, size: int
) -> None:
    disk = Disk(tmp_path, base=base, size=size if base is DiskFormat.RAW else -(-size // 512) * 512)
    disk.do(
        "write -P 1 0 1M", "write -P 2 3M 70k", "write -P 9 5241856 1k" if size > 5 * MIB + 1024 else "flush"
    )
    first = disk.freeze()
    disk.do("write -P 3 64k 4k", "write -z 3M 64k", "write -P 4 4M 512")
    second = disk.freeze()
    with opened(first) as disks:
        assert not disks.disks[0].incremental
        assert reads_right(disks, first, copy)
    with opened(second, first) as disks:
        assert disks.disks[0].incremental
        assert not disks.healed
        kinds = {extent.offset: extent.kind for extent in disks.disks[0].extents()}
        assert kinds == {64 * KIB: ExtentKind.DATA, 3 * MIB: ExtentKind.ZERO, 4 * MIB: ExtentKind.DATA}
        assert reads_right(disks, second, copy)


def test_unaligned_end_of_a_raw_disk_reads_as_zeros(tmp_path: Path, copy: Path) -> None:
    disk = Disk(tmp_path, base=DiskFormat.RAW, size=MIB + 100)
    disk.active.write_bytes(b"x" * (MIB + 100))
    point = disk.freeze()
    with opened(point) as disks:
        assert disks.disks[0].size_bytes == MIB + 512
        assert disks.disks[0].read(MIB, 512) == b"x" * 100 + bytes(412)
        assert reads_right(disks, point, copy)


def test_layers_of_points_in_between_count_as_changed(tmp_path: Path, copy: Path) -> None:
    disk = Disk(tmp_path)
    disk.do("write -P 1 0 1M")
    first = disk.freeze()
    disk.do("write -P 2 1M 64k")
    disk.freeze()
    disk.do("write -P 3 2M 64k")
    third = disk.freeze()
    with opened(first) as disks:
        apply(disks.disks[0], copy)
    with opened(third, first) as disks:
        assert [extent.offset for extent in disks.disks[0].extents()] == [MIB, 2 * MIB]
        assert reads_right(disks, third, copy)


def test_compressed_base_of_a_cloud_image_is_read(tmp_path: Path, copy: Path) -> None:
    plain = Disk(tmp_path)
    plain.do("write -P 7 0 2M", "write -P 8 6M 100k")
    packed = tmp_path / "packed.qcow2"
    qemu_img("convert", "-c", "-O", "qcow2", plain.active, packed)
    disk = Disk(tmp_path / ".", size=MIB)
    disk.active = packed
    disk.do("write -P 9 1M 4k")
    point = disk.freeze()
    with opened(point) as disks:
        assert reads_right(disks, point, copy)


def test_base_with_its_data_in_another_file_is_read(tmp_path: Path, copy: Path) -> None:
    disk = Disk(tmp_path, size=MIB)
    disk.active = tmp_path / "split.qcow2"
    qemu_img("create", "-q", "-f", "qcow2", "-o", f"data_file={tmp_path}/split.data", disk.active, "8M")
    disk.do("write -P 5 0 1M", "write -P 6 3M 64k")
    first = disk.freeze()
    disk.do("write -P 7 64k 4k")
    second = disk.freeze()
    with opened(first) as disks:
        assert reads_right(disks, first, copy)
    with opened(second, first) as disks:
        assert reads_right(disks, second, copy)


def test_many_threads_read_anything_even_what_did_not_change(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    disk.do("write -P 1 0 8M")
    first = disk.freeze()
    disk.do("write -P 2 1M 64k", "write -z 2M 64k", "write -P 3 7M 1M")
    second = disk.freeze()
    expected = bytearray(b"\x01" * 8 * MIB)
    expected[MIB : MIB + 64 * KIB] = b"\x02" * 64 * KIB
    expected[2 * MIB : 2 * MIB + 64 * KIB] = bytes(64 * KIB)
    expected[7 * MIB :] = b"\x03" * MIB
    chance = random.Random(1)  # noqa: S311 - a test that repeats itself
    ranges = [
        (at := chance.randrange(8 * MIB), chance.randrange(min(300 * KIB, 8 * MIB - at))) for _ in range(200)
    ]
    with opened(second, first) as disks, ThreadPoolExecutor(8) as pool:
        for (at, length), data in zip(
            ranges, pool.map(lambda r: disks.disks[0].read(*r), ranges), strict=True
        ):
            assert data == expected[at : at + length]


def test_same_point_has_nothing_new(tmp_path: Path) -> None:
    point = Disk(tmp_path).freeze()
    with opened(point, point) as disks:
        assert disks.disks[0].incremental
        assert list(disks.disks[0].extents()) == []


def test_reading_past_the_end_is_refused(tmp_path: Path) -> None:
    with opened(Disk(tmp_path).freeze()) as disks, pytest.raises(DiskIoFailed, match="not within the disk"):
        disks.disks[0].read(8 * MIB - 1, 2)


def test_missing_file_is_named(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    point = disk.freeze()
    (tmp_path / "disk.qcow2").unlink()
    with pytest.raises(DiskVanished, match=r"disk\.qcow2"):
        opened(point)


def test_missing_file_further_down_is_named_with_its_disk(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    disk.freeze()
    second = disk.freeze()
    (tmp_path / "disk.qcow2").unlink()
    with pytest.raises(DiskVanished, match=r"/disk\.qcow2 \(vda\) does not exist"):
        opened(second)


def foreign_layer(disk: Disk, first: PointRecord) -> PointRecord:
    """Somebody else puts a layer below the one that is captured, and it does not show in the point."""
    second = disk.freeze()
    foreign = disk.folder / "foreign.qcow2"
    qemu_img("create", "-q", "-f", "qcow2", "-b", first.point.disks[0].path, "-F", "qcow2", foreign)
    qemu_img("rebase", "-q", "-u", "-f", "qcow2", "-b", foreign, "-F", "qcow2", second.point.disks[0].path)
    return replace(second, stamps={})


def replaced(disk: Disk, _first: PointRecord) -> PointRecord:
    disk.active = disk.folder / "other.qcow2"
    qemu_img("create", "-q", "-f", "qcow2", disk.active, "8M")
    return disk.freeze()


def resized(disk: Disk, _first: PointRecord) -> PointRecord:
    qemu_img("resize", "-q", "-f", "qcow2", disk.active, "9M")
    return disk.freeze()


def written(disk: Disk, first: PointRecord) -> PointRecord:
    frozen = first.point.disks[0].path
    subprocess.run(["qemu-io", "-c", "write -P 5 0 4k", frozen], check=True, capture_output=True)
    return disk.freeze()


def put_back(disk: Disk, first: PointRecord) -> PointRecord:
    """Somebody merges the active layer into the frozen file by hand, as `virsh blockcommit --pivot` does."""
    disk.do("write -P 7 2M 64k")
    qemu_img("commit", "-q", "-f", "qcow2", disk.active)
    disk.active = Path(first.point.disks[0].path)
    return disk.freeze()


def added(disk: Disk, _first: PointRecord) -> PointRecord:
    second = disk.freeze()
    renamed = replace(second.point.disks[0], name="vdz")
    return replace(second, point=replace(second.point, disks=(renamed,)))


def test_points_on_a_file_that_was_written_to_are_not_read_but_the_next_one_is(
    tmp_path: Path, copy: Path
) -> None:
    disk = Disk(tmp_path)
    first, second = disk.freeze(), disk.freeze()
    third = written(disk, first)
    for damaged in (first, second):
        with pytest.raises(FrozenLayerWritten, match=f"{damaged.point.id} is damaged"):
            opened(damaged)
    with open_sources(first, None, ExitStack(), folding=first.stamps):
        pass  # a merge of ours writes to it
    with opened(third) as disks:
        assert reads_right(disks, third, copy)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (foreign_layer, "not the one that was captured"),
        (replaced, "was replaced"),
        (resized, "size changed from 8388608 to 9437184"),
        (written, "written to after it was frozen"),
        (put_back, "written to after it was frozen"),
        (added, "does not have it"),
    ],
)
def test_chain_that_is_not_what_was_recorded_is_read_whole_and_says_why(
    tmp_path: Path, copy: Path, change: Change, why: str
) -> None:
    disk = Disk(tmp_path)
    disk.do("write -P 1 0 1M")
    first = disk.freeze()
    second = change(disk, first)
    with opened(second, first) as disks:
        assert [warned.code for warned in disks.healed] == ["WholeDiskRead"]
        assert why in disks.healed[0].message
        assert not disks.disks[0].incremental
        assert reads_right(disks, second, copy)
