"""`vmkeep up` as a process: it says clearly why it cannot start."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


def up(tmp_path: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    known = {"VMKEEP_STATE_DIR": str(tmp_path / "state"), "VMKEEP_PORT": "0"}
    return subprocess.run(
        [sys.executable, "-m", "vmkeep.server"],
        env={**os.environ, **known, **settings},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("VMKEEP_LIBVIRT_URI", "qemu+unix:///system?socket=/nowhere", "Start libvirtd on this host"),
        ("VMKEEP_PORT", "eighty", "environment variable VMKEEP_PORT 'eighty' is not valid"),
        ("VMKEEP_LOG_LEVEL", "loud", "setting log_level 'loud' is not valid"),
        ("VMKEEP_CONFIG", "/nowhere.toml", "cannot read the configuration file /nowhere.toml"),
        ("VMKEEP_STATE_DIR", "/proc/vmkeep", "cannot use the state folder /proc/vmkeep"),
    ],
    ids=["no-libvirt", "port", "log-level", "no-config", "no-state-folder"],
)
def test_a_start_that_fails_says_why_and_what_to_do(tmp_path: Path, name: str, value: str, said: str) -> None:
    ended = up(tmp_path, **{name: value})
    assert ended.returncode == 1
    assert said in ended.stderr
    assert "What to do:" in ended.stderr
    assert "Traceback" not in ended.stderr
