"""`vmkeep up` as a process: it says clearly why it cannot start."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


UP = [sys.executable, "-m", "vmkeep.server"]


def environment(tmp_path: Path, **settings: str) -> dict[str, str]:
    return {**os.environ, "VMKEEP_STATE_DIR": str(tmp_path / "state"), "VMKEEP_PORT": "0", **settings}


def up(tmp_path: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        UP,
        env=environment(tmp_path, **settings),
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("VMKEEP_PORT", "eighty", "environment variable VMKEEP_PORT 'eighty' is not valid"),
        ("VMKEEP_LOG_LEVEL", "loud", "setting log_level 'loud' is not valid"),
        ("VMKEEP_CONFIG", "/nowhere.toml", "cannot read the configuration file /nowhere.toml"),
        ("VMKEEP_STATE_DIR", "/proc/vmkeep", "cannot use the state folder /proc/vmkeep"),
    ],
    ids=["port", "log-level", "no-config", "no-state-folder"],
)
def test_a_start_that_fails_says_why_and_what_to_do(tmp_path: Path, name: str, value: str, said: str) -> None:
    ended = up(tmp_path, **{name: value})
    assert ended.returncode == 1
    assert said in ended.stderr
    assert "What to do:" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_without_libvirt_the_service_starts_and_says_what_is_missing(tmp_path: Path) -> None:
    nowhere = environment(tmp_path, VMKEEP_LIBVIRT_URI="qemu+unix:///system?socket=/nowhere")
    with subprocess.Popen(
        UP, env=nowhere, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert "vmkeep is ready" in process.stdout.readline()
        process.terminate()
        _, said = process.communicate(timeout=50)
    assert process.returncode == 0
    assert said.count("server.host.not_served") == 1
    assert "Start libvirtd on this host" in said
