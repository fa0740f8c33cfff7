"""The journal tells the truth after a kill between any two writes."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from vmkeep.fabric.chain import Fold
from vmkeep.fabric.errors import JournalUnreadable
from vmkeep.fabric.points import PointJournal, PointRecord, PointState, stamp
from vmkeep.model.machine import Consistency, DiskFormat
from vmkeep.model.restore_point import CapturedDisk, RestorePoint, Warned

VM = "11111111-2222-3333-4444-555555555555"


def record(number: int, state: PointState = PointState.COMPLETE) -> PointRecord:
    """Point `number` of a chain base ← l1 ← l2 …: it froze the file below its layer."""
    files = ("/d/base", *(f"/d/l{n}" for n in range(1, number + 2)))
    disk = CapturedDisk(
        name="vda",
        lun=-1,
        path=files[number],
        format=DiskFormat.QCOW2 if number else DiskFormat.RAW,
        size_bytes=512,
        active_path=files[number + 1],
        chain=files[: number + 1],
    )
    time = datetime(2026, 1, 1 + number, tzinfo=UTC)
    point = RestorePoint(f"p{number}", VM, "vm", time, Consistency.CRASH, (disk,), "<domain/>")
    return PointRecord(point, state)


@pytest.fixture
def journal(tmp_path: Path) -> PointJournal:
    return PointJournal(tmp_path)


def test_records_come_back_as_they_were_written_and_in_order(journal: PointJournal) -> None:
    warned = replace(record(0), stamps={"/d/base": "1:2:3"})
    warned = replace(warned, point=replace(warned.point, warnings=(Warned("Code", "words"),), frozen_s=0.5))
    for written in (warned, record(1)):
        journal.put(written)
    assert journal.read(VM) == {"p0": warned, "p1": record(1)}
    assert list(journal.read(VM)) == ["p0", "p1"]
    assert journal.list_vms() == [VM]


def test_last_record_takes_the_file_with_it(journal: PointJournal) -> None:
    journal.put(record(0))
    journal.delete(VM, "p0")
    journal.delete(VM, "p0")
    assert journal.list_vms() == []
    assert journal.find(VM, "p0") is None


def test_half_written_file_is_not_seen(journal: PointJournal, tmp_path: Path) -> None:
    journal.put(record(0))
    (tmp_path / f"{VM}.new").write_text('{"version": 1, "poi')
    assert list(journal.read(VM)) == ["p0"]
    journal.put(record(1))
    assert list(journal.read(VM)) == ["p0", "p1"]


@pytest.mark.parametrize("text", ["", "[]", '{"version": 2, "points": []}', '{"version": 1, "points": [{}]}'])
def test_journal_that_cannot_be_understood_is_never_taken_for_an_empty_one(
    journal: PointJournal, tmp_path: Path, text: str
) -> None:
    (tmp_path / f"{VM}.json").write_text(text)
    with pytest.raises(JournalUnreadable):
        journal.put(record(0))
    assert (tmp_path / f"{VM}.json").read_text() == text


def test_fold_moves_the_newer_neighbour_down_and_shortens_all_chains(journal: PointJournal) -> None:
    for number in range(3):
        journal.put(record(number))
    journal.neighbours_merged(record(0), Fold("vda", upper="/d/l1", lower="/d/base"), DiskFormat.RAW)
    p1, p2 = (journal.read(VM)[point].point.disks[0] for point in ("p1", "p2"))
    assert (p1.path, p1.format, p1.active_path, p1.chain) == (
        "/d/base",
        DiskFormat.RAW,
        "/d/l2",
        ("/d/base",),
    )
    assert (p2.path, p2.format, p2.chain) == ("/d/l2", DiskFormat.QCOW2, ("/d/base", "/d/l2"))


def test_fold_of_a_newer_point_leaves_older_ones_alone(journal: PointJournal) -> None:
    for number in range(3):
        journal.put(record(number))
    before = journal.read(VM)["p0"]
    journal.neighbours_merged(record(1), Fold("vda", upper="/d/l2", lower="/d/l1"), DiskFormat.QCOW2)
    assert journal.read(VM)["p0"] == before
    assert journal.read(VM)["p2"].point.disks[0].path == "/d/l1"


def test_fold_told_twice_changes_nothing_more(journal: PointJournal) -> None:
    for number in range(3):
        journal.put(record(number))
    fold = Fold("vda", upper="/d/l1", lower="/d/base")
    journal.neighbours_merged(record(0), fold, DiskFormat.RAW)
    once = journal.read(VM)
    journal.neighbours_merged(record(0), fold, DiskFormat.RAW)
    assert journal.read(VM) == once


def test_fold_takes_new_stamps_only_for_points_that_go_on_reading_through_it(
    journal: PointJournal,
) -> None:
    stamps = {"/d/base": "1:2:3", "/d/l1": "1:2:3", "/d/l2": "1:2:3"}
    for number in range(3):
        journal.put(replace(record(number), stamps=stamps))
    journal.neighbours_merged(record(0), Fold("vda", upper="/d/l1", lower="/d/base"), DiskFormat.RAW)
    kept = journal.read(VM)
    assert kept["p0"].stamps == stamps
    assert kept["p1"].stamps == {"/d/base": "", "/d/l2": "1:2:3"}
    assert kept["p2"].stamps == {"/d/base": "", "/d/l2": ""}


def test_files_of_a_merge_under_way_are_known(journal: PointJournal) -> None:
    for written in (record(0, PointState.DROPPING), record(1), record(2)):
        journal.put(written)
    assert journal.folding(VM) == {"/d/base", "/d/l2"}


def test_dropped_record_keeps_its_own_paths_so_that_a_restart_can_finish(journal: PointJournal) -> None:
    dropped = record(0, PointState.DROPPING)
    for written in (dropped, record(1)):
        journal.put(written)
    journal.neighbours_merged(dropped, Fold("vda", upper="/d/l1", lower="/d/base"), DiskFormat.RAW)
    assert journal.find(VM, "p0") == dropped


def test_stamp_changes_with_every_write(tmp_path: Path) -> None:
    file = tmp_path / "layer"
    file.write_bytes(b"one")
    before = stamp(str(file))
    file.write_bytes(b"three")
    assert stamp(str(file)) != before
    assert stamp(str(tmp_path / "nothing")) == ""
