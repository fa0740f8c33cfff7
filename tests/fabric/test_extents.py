"""From QEMU's block status to extents, and back to the places of bytes."""

import json

from hypothesis import given
from hypothesis import strategies as st

from vmkeep.fabric.chain import Image
from vmkeep.fabric.extents import OPAQUE, ZERO, ExtentMap, Piece, image_spec, read_map
from vmkeep.model.disk_io import Extent, ExtentKind
from vmkeep.model.machine import DiskFormat


def line(start: int, length: int, **more: object) -> str:
    entry = {
        "start": start,
        "length": length,
        "depth": 0,
        "present": True,
        "zero": False,
        "data": True,
        **more,
    }
    return f"[{json.dumps(entry)},"


def pieces(found: ExtentMap) -> list[Piece]:
    return [found[index] for index in range(len(found))]


def test_unallocated_ranges_are_left_out() -> None:
    lines = [line(0, 10, present=False, data=False, zero=True), line(10, 5, offset=100), "]\n"]
    assert pieces(read_map(lines, size_bytes=15, plain=[True, True])) == [Piece(10, 5, 0, 100)]


def test_allocated_zeros_are_told_from_unallocated_ones() -> None:
    found = read_map([line(0, 10, zero=True, data=False)], size_bytes=10, plain=[True, True])
    assert list(found.extents()) == [Extent(0, 10, ExtentKind.ZERO)]


def test_data_without_a_plain_place_is_opaque() -> None:
    assert pieces(read_map([line(0, 10)], size_bytes=10, plain=[True, True])) == [Piece(0, 10, OPAQUE, 0)]


def test_data_in_a_file_beside_the_image_is_opaque() -> None:
    found = read_map(
        [line(0, 10, offset=0), line(10, 10, depth=1, offset=70)], size_bytes=20, plain=[False, True]
    )
    assert pieces(found) == [Piece(0, 10, OPAQUE, 0), Piece(10, 10, 1, 70)]


def test_ranges_past_the_end_of_the_disk_are_cut() -> None:
    assert pieces(read_map([line(0, 1024, offset=0)], size_bytes=1000, plain=[True, True])) == [
        Piece(0, 1000, 0, 0)
    ]


def test_ranges_that_follow_each_other_in_one_file_are_joined() -> None:
    lines = [
        line(0, 10, offset=100),
        line(10, 5, offset=110),
        line(15, 5, offset=300),
        line(20, 5, offset=305, depth=1),
    ]
    assert pieces(read_map(lines, size_bytes=25, plain=[True, True])) == [
        Piece(0, 15, 0, 100),
        Piece(15, 5, 0, 300),
        Piece(20, 5, 1, 305),
    ]


def test_base_of_partial_map_has_nothing_below_it() -> None:
    images = [
        Image("/base", DiskFormat.RAW, 1),
        Image("/a", DiskFormat.QCOW2, 1),
        Image("/b", DiskFormat.QCOW2, 1),
    ]
    assert image_spec(images, whole=True)["backing"]["backing"]["driver"] == "raw"
    assert "backing" not in image_spec(images, whole=True)["backing"]["backing"]
    partial = image_spec(images[1:], whole=False)
    assert partial["file"]["filename"] == "/b"
    assert partial["backing"]["backing"] is None


runs = st.lists(
    st.tuples(st.integers(0, 5), st.integers(1, 9), st.sampled_from([0, 1, ZERO, OPAQUE])), max_size=20
)


@given(runs, st.integers(0, 50), st.integers(0, 100))
def test_any_cut_covers_its_range_once_and_in_order(
    runs: list[tuple[int, int, int]], start: int, length: int
) -> None:
    found, at, where = ExtentMap(), 0, {}
    for gap, size, file in runs:
        at += gap
        offset = at + 1000 if file >= 0 else 0
        found.append(Piece(at, size, file, offset))
        where.update(dict.fromkeys(range(at, at + size), file))
        at += size
    covered = start
    for part in found.cut(start, length):
        if isinstance(part, tuple):
            assert part[0] == covered
            assert not any(byte in where for byte in range(part[0], part[0] + part[1]))
            covered += part[1]
        else:
            assert part.start == covered
            assert all(where[byte] == part.file for byte in range(part.start, part.end))
            assert part.file < 0 or part.offset == part.start + 1000
            covered = part.end
    assert covered == start + length
