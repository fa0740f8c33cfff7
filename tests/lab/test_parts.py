"""What the lab is made of, without a guest."""

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.lab import image
from tests.lab.image import kept, key_of, master_boot_record
from tests.lab.machine import ALPHA, DiskFile, disk_files, machine_xml, with_files
from tests.lab.namespace import LAB_VARIABLE, PREFIX, scratch_folder
from vmkeep.model.machine import DiskFormat


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VMKEEP_LAB_CACHE", str(tmp_path))
    return tmp_path


def test_saved_machine_wakes_on_other_disks_without_the_old_chain() -> None:
    old = {"vda": DiskFile(Path("/old/os.qcow2"), DiskFormat.QCOW2)}
    new = {"vda": DiskFile(Path("/new/os.raw"), DiskFormat.RAW)}
    xml = machine_xml(ALPHA, old, Path("/old/console.log")).replace("</source>", "</source><backingStore/>")
    moved = with_files(xml, new, Path("/new/console.log"))
    assert disk_files(moved) == {"vda": Path("/new/os.raw")}
    assert "/old/" not in moved
    assert "backingStore" not in moved
    driver = ET.fromstring(moved).find("devices/disk/driver")  # noqa: S314 - our own words
    assert driver is not None
    assert driver.get("type") == "raw"


def test_boot_record_is_one_sector_with_one_active_partition() -> None:
    record = master_boot_record(b"\x90" * 512)
    assert len(record) == image.SECTOR
    assert record.endswith(b"\x55\xaa")
    assert record[446] == image.ACTIVE
    assert int.from_bytes(record[454:458], "little") * image.SECTOR == image.PARTITION_START


def test_key_changes_with_the_content_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "recipe"
    path.write_text("one")
    before = key_of([path])
    path.write_text("two")
    assert key_of([path]) != before


def test_kept_folder_is_made_once(empty_cache: Path) -> None:
    made: list[Path] = []
    folders = [kept("thing", made.append) for _ in range(2)]
    assert folders == [empty_cache / "thing"] * 2
    assert len(made) == 1


def test_failed_build_leaves_nothing_in_the_cache(empty_cache: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "half").touch()
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space"):
        kept("thing", fail)
    assert list(empty_cache.iterdir()) == []


def test_scratch_of_a_killed_lab_is_swept_and_that_of_a_running_one_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    killed = tmp_path / f"{PREFIX}killed"
    killed.mkdir()
    with scratch_folder() as running, scratch_folder() as mine:
        assert set(tmp_path.iterdir()) == {running, mine}
    assert not list(tmp_path.iterdir())


def test_tests_on_real_guests_fail_outside_of_the_lab_and_say_how_to_run_them(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(LAB_VARIABLE, raising=False)
    pytester.makeini(f"[pytest]\nmarkers = qemu\npythonpath = {Path.cwd()}")
    pytester.makepyfile(
        "import pytest\npytest_plugins = ['tests.lab.fixtures']\n@pytest.mark.qemu\ndef test_it(): pass"
    )
    result = pytester.runpytest()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*run: scripts/lab .venv/bin/pytest*test_it*"])
