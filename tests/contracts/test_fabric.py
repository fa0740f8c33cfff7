"""What a fabric promises to the workflows."""

from pathlib import Path

import pytest

from tests.contracts.conftest import Host
from vmkeep.base.errors import VmkeepError
from vmkeep.base.ids import new_guid
from vmkeep.model.disk_io import DiskSource, ExtentKind
from vmkeep.model.disk_selection import DiskSelection
from vmkeep.model.machine import DiskFormat
from vmkeep.model.restore_point import PointDisk, RestorePoint

BLOCK = 4096
SIZE = 16 * BLOCK


@pytest.fixture
def vm(host: Host) -> str:
    uuid = host.add_machine("web01", {"vda": SIZE, "vdb": SIZE})
    write(host, uuid, 0, "a")
    return uuid


def write(host: Host, vm: str, number: int, letter: str, disk: str = "vda") -> None:
    host.guest_writes(vm, disk, number * BLOCK, letter.encode() * BLOCK)


def capture(host: Host, vm: str, *, cancelled: bool = False) -> RestorePoint:
    return host.fabric.capture(vm, point_id=new_guid(), on_phase=lambda _: None, cancelled=lambda: cancelled)


def merge(host: Host, point: RestorePoint) -> None:
    host.fabric.merge(point, on_progress=lambda _done, _all: None, cancelled=lambda: False)


def letters(source: DiskSource) -> str:
    """Return the first byte of each block, a dot for zeros."""
    firsts = (source.read(offset, 1) for offset in range(0, source.size_bytes, BLOCK))
    return "".join("." if first == b"\0" else first.decode() for first in firsts)


def content(host: Host, point: RestorePoint) -> str:
    with host.fabric.sources(point, since=None) as disk_set:
        return letters(next(disk for disk in disk_set.disks if disk.name == "vda"))


def test_vm_is_found_by_name_and_uuid(host: Host, vm: str) -> None:
    by_name, by_uuid = host.fabric.get_machine("web01"), host.fabric.get_machine(vm)
    assert by_name.uuid == by_uuid.uuid == vm
    assert [(disk.name, disk.size_bytes) for disk in by_name.disks] == [("vda", SIZE), ("vdb", SIZE)]


def test_vm_that_is_not_there_is_known_by_code(host: Host) -> None:
    with pytest.raises(VmkeepError) as missing:
        host.fabric.get_machine("none")
    assert missing.value.code == "VmNotFound"


def test_captured_point_keeps_its_content_while_the_guest_goes_on(host: Host, vm: str) -> None:
    point = capture(host, vm)
    write(host, vm, 0, "z")
    write(host, vm, 1, "z")
    assert not host.is_frozen(vm)
    assert content(host, point).startswith("a..")
    assert host.fabric.find_point(vm, point.id) == point


def test_sources_since_an_older_point_are_what_changed(host: Host, vm: str) -> None:
    older = capture(host, vm)
    write(host, vm, 3, "b")
    newer = capture(host, vm)
    write(host, vm, 4, "c")
    with host.fabric.sources(newer, since=older) as disk_set:
        first, second = disk_set.disks
        assert (first.incremental, second.incremental) == (True, True)
        data = [extent for extent in first.extents() if extent.kind is ExtentKind.DATA]
        covered = {extent.offset <= 3 * BLOCK and extent.end >= 4 * BLOCK for extent in data}
        assert covered == {True}
        assert list(second.extents()) == []
        assert first.read(0, 1) == b"a"
        assert list(disk_set.healed) == []


def test_sources_since_a_point_that_is_gone_are_whole_and_say_so(host: Host, vm: str) -> None:
    older = capture(host, vm)
    newer = capture(host, vm)
    merge(host, older)
    with host.fabric.sources(newer, since=older) as disk_set:
        assert [disk.incremental for disk in disk_set.disks] == [False, False]
        assert disk_set.healed
        assert letters(disk_set.disks[0]).startswith("a")


def test_cancelled_capture_leaves_nothing(host: Host, vm: str) -> None:
    with pytest.raises(VmkeepError) as cancelled:
        capture(host, vm, cancelled=True)
    assert cancelled.value.code == "WorkCancelled"
    assert not host.is_frozen(vm)
    assert content(host, capture(host, vm)).startswith("a")


def test_only_selected_disks_are_captured_and_the_others_are_named(host: Host, vm: str) -> None:
    without_data = DiskSelection(included=False, luns=(0,), names=("vdb",))
    first = capture(host, vm)
    write(host, vm, 1, "b", disk="vdb")
    point = host.fabric.capture(
        vm, point_id=new_guid(), on_phase=lambda _: None, cancelled=lambda: False, selection=without_data
    )
    assert [disk.name for disk in point.disks] == ["vda"]
    assert point.left_out == (PointDisk("vdb", 0, SIZE, included=False),)
    assert host.fabric.find_point(vm, point.id) == point
    last = capture(host, vm)
    with host.fabric.sources(last, since=point) as disk_set:
        assert [(disk.name, disk.incremental) for disk in disk_set.disks] == [("vda", True), ("vdb", False)]
        assert letters(disk_set.disks[1]) == ".b" + "." * 14
    with host.fabric.sources(last, since=first) as disk_set:
        assert [disk.incremental for disk in disk_set.disks] == [True, True]
    merge(host, point)
    assert content(host, last).startswith("a")


def test_sound_vm_has_nothing_in_the_way_of_a_capture(host: Host, vm: str) -> None:
    assert host.fabric.capture_obstacles(vm) == ()
    assert content(host, capture(host, vm)).startswith("a")


@pytest.mark.parametrize("which", [0, 1, 2])
def test_merged_point_is_gone_and_the_others_keep_their_content(host: Host, vm: str, which: int) -> None:
    points = []
    for number, letter in enumerate("bcd", start=1):
        write(host, vm, number, letter)
        points.append(capture(host, vm))
    merged = points.pop(which)
    merge(host, merged)
    merge(host, merged)
    assert host.fabric.find_point(vm, merged.id) is None
    expected = {0: ["abc", "abcd"], 1: ["ab", "abcd"], 2: ["ab", "abc"]}
    assert [content(host, point).rstrip(".") for point in points] == expected[which]
    assert content(host, capture(host, vm)).startswith("abcd")


def test_points_held_are_listed_oldest_first(host: Host, vm: str) -> None:
    other = host.add_machine("db01", {"vda": SIZE})
    points = [capture(host, vm), capture(host, vm)]
    elsewhere = capture(host, other)
    assert [point.id for point in host.fabric.list_points(vm)] == [point.id for point in points]
    assert {point.id for point in host.fabric.list_points()} == {*(one.id for one in points), elsewhere.id}
    assert host.fabric.find_successor("no such VM", []) is None


def test_discarded_capture_is_gone_and_can_be_discarded_again(host: Host, vm: str) -> None:
    point = capture(host, vm)
    write(host, vm, 1, "b")
    for _ in range(2):
        host.fabric.discard_capture(vm, point.id)
    assert host.fabric.find_point(vm, point.id) is None
    assert content(host, capture(host, vm)).startswith("ab")


def test_new_disk_holds_what_was_written_and_zeros(host: Host, tmp_path: Path) -> None:
    path = tmp_path / "vda.raw"
    with host.fabric.create_disk(path, size_bytes=SIZE, format=DiskFormat.RAW) as target:
        target.write(BLOCK, b"b" * BLOCK)
        target.flush()
    assert path.read_bytes() == bytes(BLOCK) + b"b" * BLOCK + bytes(14 * BLOCK)


def test_disk_that_failed_is_removed_and_one_that_exists_is_never_overwritten(
    host: Host, tmp_path: Path
) -> None:
    failed, existing = tmp_path / "failed.raw", tmp_path / "existing.raw"
    existing.write_text("precious")
    with (
        pytest.raises(ZeroDivisionError),
        host.fabric.create_disk(failed, size_bytes=SIZE, format=DiskFormat.RAW),
    ):
        raise ZeroDivisionError
    with (
        pytest.raises(VmkeepError),
        host.fabric.create_disk(existing, size_bytes=SIZE, format=DiskFormat.RAW),
    ):
        pass
    assert not failed.exists()
    assert existing.read_text() == "precious"


def test_vm_made_of_a_recovery_point_has_its_own_identity_and_can_be_removed(
    host: Host, vm: str, tmp_path: Path
) -> None:
    point = capture(host, vm)
    path = tmp_path / "vda.qcow2"
    with host.fabric.create_disk(path, size_bytes=SIZE, format=DiskFormat.QCOW2):
        pass
    copy = host.fabric.create_machine(
        point.machine_xml, name="web01-copy", disk_paths={"vda": path}, network=None
    )
    assert copy != vm
    assert host.fabric.get_machine("web01-copy").disks[0].path == str(path)
    for _ in range(2):
        host.fabric.delete_machine(copy)
    with pytest.raises(VmkeepError):
        host.fabric.get_machine("web01-copy")
    assert host.fabric.get_machine(vm).name == "web01"
