"""The wire server on real bridges."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.fabric.wire import two_bridges

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.slow
def test_bridges_share_addresses_but_not_guests(tmp_path: Path, package: Path) -> None:
    command = ["unshare", "--net", sys.executable, "-m", two_bridges.__name__, str(tmp_path), str(package)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
