"""A file written past the page cache holds what was given, to the last byte."""

import os
from pathlib import Path

import pytest

from vmkeep.base.units import KIB, MIB
from vmkeep.repository.store import synced_file
from vmkeep.repository.store.synced_file import write_synced


@pytest.mark.parametrize("size", [0, 1, MIB - 1, MIB, MIB + 1, 4 * MIB + 4 * KIB, 9 * MIB + 4095])
def test_every_length_is_written_whole(tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    write_synced(tmp_path / "file", bytearray(content))
    assert (tmp_path / "file").read_bytes() == content


def test_file_system_without_direct_writes_gets_plain_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(synced_file, "_BLOCK", 100)  # no disk has such blocks: the kernel says EINVAL
    content = os.urandom(3 * MIB + 50)
    write_synced(tmp_path / "file", content)
    assert (tmp_path / "file").read_bytes() == content


def test_file_that_is_there_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    with pytest.raises(FileExistsError):
        write_synced(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"old"
