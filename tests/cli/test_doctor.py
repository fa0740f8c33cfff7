import json
from pathlib import Path

from tests.cli.conftest import Vmkeep


def test_the_archive_is_private_and_never_overwrites(vmkeep: Vmkeep, tmp_path: Path) -> None:
    told = json.loads(vmkeep("doctor", "--vm", "web01", "--collect", str(tmp_path), "-o", "json").output)
    archive = Path(told["archive"])
    assert archive.read_bytes() == b"archive of uuid-web01"
    assert archive.stat().st_mode & 0o777 == 0o600
    assert archive.parent == tmp_path


def test_a_folder_that_is_not_there_is_refused(vmkeep: Vmkeep, tmp_path: Path) -> None:
    assert (
        "cannot be written"
        in vmkeep("doctor", "--vm", "web01", "--collect", str(tmp_path / "none"), fails=True).output
    )
