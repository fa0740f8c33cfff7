"""New disks are sparse, right, and gone when their restore fails."""

import errno
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.fabric.on_guests import qemu_img
from vmkeep.base.errors import InvalidValue
from vmkeep.base.units import GIB, MIB
from vmkeep.fabric.errors import DiskFileTaken, TargetFull
from vmkeep.fabric.targets import new_disk
from vmkeep.model.disk_io import DiskTarget
from vmkeep.model.machine import DiskFormat

FORMATS = pytest.mark.parametrize("image_format", [DiskFormat.QCOW2, DiskFormat.RAW])


def disk_path(folder: Path, image_format: DiskFormat) -> Path:
    return folder / f"vda.{image_format}"


@pytest.mark.slow
@FORMATS
def test_what_is_written_by_many_threads_is_read_back_and_the_rest_is_zero(
    tmp_path: Path, image_format: DiskFormat
) -> None:
    path, size = disk_path(tmp_path, image_format), 64 * MIB + 512
    parts = {at: bytes([number + 1]) * 100_000 for number, at in enumerate(range(0, 60 * MIB, 7 * MIB))}
    with new_disk(path, size_bytes=size, image_format=image_format) as disk:
        assert disk.size_bytes == size
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda part: disk.write(*part), parts.items()))
        disk.flush()
    raw = tmp_path / "read.raw"
    qemu_img("convert", "-f", image_format, "-O", "raw", path, raw)
    expected = bytearray(size)
    for at, data in parts.items():
        expected[at : at + len(data)] = data
    assert raw.read_bytes() == expected
    assert path.stat().st_blocks * 512 < 4 * MIB


@pytest.mark.slow
@FORMATS
def test_huge_empty_disk_costs_nothing(tmp_path: Path, image_format: DiskFormat) -> None:
    path = disk_path(tmp_path, image_format)
    with new_disk(path, size_bytes=1024 * GIB, image_format=image_format):
        pass
    assert path.stat().st_blocks * 512 < MIB


@pytest.mark.slow
@FORMATS
def test_failed_restore_leaves_no_file(tmp_path: Path, image_format: DiskFormat) -> None:
    path = disk_path(tmp_path, image_format)
    with pytest.raises(ZeroDivisionError), new_disk(path, size_bytes=MIB, image_format=image_format) as disk:
        disk.write(0, b"x" * (1 // 0))
    assert list(tmp_path.iterdir()) == []


@FORMATS
def test_file_that_exists_is_never_overwritten(tmp_path: Path, image_format: DiskFormat) -> None:
    path = disk_path(tmp_path, image_format)
    path.write_text("precious")
    with pytest.raises(DiskFileTaken), new_disk(path, size_bytes=MIB, image_format=image_format):
        pass
    assert path.read_text() == "precious"


def test_name_and_format_must_agree(tmp_path: Path) -> None:
    with (
        pytest.raises(InvalidValue),
        new_disk(tmp_path / "vda.img", size_bytes=MIB, image_format=DiskFormat.QCOW2),
    ):
        pass


@pytest.fixture
def small_folder(tmp_path: Path) -> Iterator[Path]:
    """A file system of 16 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def write_all(disk: DiskTarget) -> None:
    for at in range(0, disk.size_bytes, MIB):
        disk.write(at, b"x" * MIB)
    disk.flush()


@pytest.mark.qemu  # mounts a file system
@FORMATS
def test_full_storage_is_told_with_figures(small_folder: Path, image_format: DiskFormat) -> None:
    path = disk_path(small_folder, image_format)
    with (
        pytest.raises(TargetFull) as caught,
        new_disk(path, size_bytes=64 * MIB, image_format=image_format) as disk,
    ):
        write_all(disk)
    assert caught.value.needed_bytes > caught.value.free_bytes >= 0
    assert not path.exists()
    assert caught.value.__cause__ is not None
    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.__cause__.errno == errno.ENOSPC
