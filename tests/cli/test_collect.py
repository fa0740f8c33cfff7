"""`vmkeep doctor --collect` leaves a private archive, or says why not."""

import json
from pathlib import Path

import pytest

from tests.arm.running import Running
from tests.cli.conftest import Vmkeep


def test_the_archive_is_private_and_tells_where_it_was_read(vmkeep: Vmkeep, tmp_path: Path) -> None:
    told = json.loads(vmkeep("doctor", "--vm", "web01", "--collect", str(tmp_path), "-o", "json").output)
    archive = Path(told["archive"])
    assert archive.stat().st_mode & 0o777 == 0o600
    assert archive.parent == tmp_path
    assert (told["sizeBytes"], told["files"]) == (archive.stat().st_size, 1)
    assert told["origin"] == "restore point x"


def test_a_guest_that_could_not_be_reached_is_said_and_fails(
    running: Running, vmkeep: Vmkeep, tmp_path: Path
) -> None:
    running.fabric.unreached = ("web01 runs. Shut it down.",)
    told = vmkeep("doctor", "--vm", "web01", "--collect", str(tmp_path), fails=True)
    assert "web01 runs. Shut it down." in told.output
    assert list(tmp_path.glob("*.tar.gz"))


def test_a_folder_that_is_not_there_is_refused(vmkeep: Vmkeep, tmp_path: Path) -> None:
    told = vmkeep("doctor", "--vm", "web01", "--collect", str(tmp_path / "none"), fails=True)
    assert "cannot be written" in told.output


def test_a_full_disk_leaves_no_half_archive(
    vmkeep: Vmkeep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Path("/dev/full").open("wb", buffering=0) as full:
        monkeypatch.setattr("vmkeep.cli.collect.os.fdopen", lambda *_: full)
        told = vmkeep("doctor", "--vm", "web01", "--collect", str(tmp_path), fails=True)
    assert "No space left" in told.output
    assert not list(tmp_path.glob("*.tar.gz"))
