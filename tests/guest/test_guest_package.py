"""The package as the agent installs and runs it, and what it may be made of."""

import ast
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.guest.world import FakeHost, Guest, public_settings
from vmkeep.fabric.wire.extension_package import HANDLER_NAME, build_package
from vmkeep_guest.command import main
from vmkeep_guest.log import Log

SOURCES = Path(__file__).parents[2] / "guest" / "src"


def handle(guest: Guest, command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command line as the agent does: by `sh -c`, in the extension's folder."""
    manifest = json.loads((guest.extension / "HandlerManifest.json").read_text())[0]["handlerManifest"]
    line = f"{guest.extension}/{manifest[command + 'Command']}"
    return subprocess.run(
        ["sh", "-c", line],
        cwd=guest.extension,
        env={"PATH": os.environ["PATH"]} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("command", ["install", "disable", "update", "uninstall"])
def test_life_cycle_commands_succeed_without_settings(guest: Guest, command: str) -> None:
    done = handle(guest, command)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_enable_reports_under_the_number_that_the_agent_tells(guest: Guest, host: FakeHost) -> None:
    guest.write_settings(0, public_settings(commandToExecute="install"), {})
    guest.write_settings(3, public_settings(commandToExecute="install"), {})
    done = handle(guest, "enable", ConfigSequenceNumber="0")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert guest.status(0)["code"] == "1"
    handle(guest, "enable")
    assert guest.has_status(3)
    assert host.calls() == []


def test_enable_outside_of_an_agent_says_so(guest: Guest) -> None:
    (guest.extension / "HandlerEnvironment.json").unlink()
    done = handle(guest, "enable")
    assert done.returncode == 66
    assert "is not an installed extension" in done.stderr
    assert done.stdout == ""


def test_enable_without_any_settings_says_so(guest: Guest) -> None:
    done = handle(guest, "enable")
    assert done.returncode == 66
    assert "left no settings" in done.stderr


def test_disk_that_takes_no_status_is_told_to_the_agent(guest: Guest) -> None:
    guest.write_settings(0, public_settings(commandToExecute="install"), {})
    (guest.extension / "status").rmdir()
    done = handle(guest, "enable")
    assert done.returncode == 74
    assert done.stderr.startswith("the status cannot be written: ")


def test_unknown_command_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dance"]) == 64
    assert "usage" in capsys.readouterr().err


def fake_python(folder: Path, name: str, body: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


def run_with_pythons(guest: Guest, folder: Path) -> subprocess.CompletedProcess[str]:
    script = (guest.extension / "handle.sh").read_text().replace("/usr/", f"{folder}/usr/")
    (guest.extension / "handle.sh").write_text(script)
    for tool in ("sh", "dirname"):
        (folder / tool).symlink_to(f"/bin/{tool}")
    return handle(guest, "install", PATH=str(folder))


def test_python_that_is_too_old_is_passed_over(guest: Guest, tmp_path: Path) -> None:
    fake_python(tmp_path, "python3", "exit 71")
    fake_python(tmp_path, "python3.9", "echo ran $*")
    done = run_with_pythons(guest, tmp_path)
    assert (done.returncode, done.stdout) == (0, f"ran -I -S {guest.extension}/__main__.py install\n")


def test_machine_without_python_gets_a_clear_answer(guest: Guest, tmp_path: Path) -> None:
    done = run_with_pythons(guest, tmp_path)
    assert done.returncode == 72
    assert "needs Python 3.6 or newer" in done.stderr


def test_same_sources_make_the_same_package(tmp_path: Path) -> None:
    first, second = build_package(tmp_path / "a.zip"), build_package(tmp_path / "b.zip")
    assert first.read_bytes() == second.read_bytes()


def test_package_names_handler_and_version_at_its_root(tmp_path: Path) -> None:
    with zipfile.ZipFile(build_package(tmp_path / "a.zip", "9.9.9.9")) as package:
        (manifest,) = json.loads(package.read("HandlerManifest.json"))
        names = package.namelist()
    assert (manifest["name"], manifest["version"]) == (HANDLER_NAME, "9.9.9.9")
    assert {"handle.sh", "__main__.py", "vmkeep_guest/__init__.py"} < set(names)
    assert not [name for name in names if "__pycache__" in name]


def test_extension_imports_the_standard_library_only() -> None:
    imported = set()
    for path in SOURCES.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {name.name.split(".")[0] for name in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add(str(node.module).split(".")[0])
    assert imported - {"vmkeep_guest"} <= sys.stdlib_module_names


def test_log_never_grows_beyond_twice_its_limit(tmp_path: Path) -> None:
    log = Log(str(tmp_path), max_bytes=1000)
    for number in range(100):
        log.event("log.line", number=number)
        log.flush()
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["extension.log", "extension.log.1"]
    assert all(path.stat().st_size < 1100 for path in tmp_path.iterdir())
    assert "number=99" in (tmp_path / "extension.log").read_text()


def test_log_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    log = Log(str(tmp_path / "absent"))
    log.event("log.line")
    log.flush()
