"""The sandbox of the reader: no files, no network, no other process, nobody's rights, and limits on what it may use."""

import importlib.util
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vmkeep.fabric.offline.errors import OfflineReaderUnavailable
from vmkeep.fabric.offline.reader import frames

MEMORY_BYTES = 1 << 30
CPU_S = 120
_LIBRARIES = ("pyfsext", "pyfsxfs", "pyvslvm")
_PACKAGE = "vmkeep.fabric.offline.reader"
_NOBODY = "65534"
_APP = "/reader"
_START_S = 30
_END_S = 10
_LONGEST_COMPLAINT = 300


@contextmanager
def running_reader() -> Iterator[socket.socket]:
    """Start a reader and return the socket it answers on; it is ended with the context.

    Raises OfflineReaderUnavailable when there is no bubblewrap or no prlimit, or they do not start it.
    """
    for tool in ("bwrap", "prlimit"):
        if shutil.which(tool) is None:
            raise OfflineReaderUnavailable(f"{tool} is not installed")
    ours, its = socket.socketpair()
    with ours:
        with its:
            try:
                process = subprocess.Popen(
                    _command(), stdin=its.fileno(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
                )
            except OSError as error:
                raise OfflineReaderUnavailable(str(error)) from error
        try:
            _wait_until_up(ours, process)
            yield ours
        finally:
            process.kill()  # the sandbox dies with its parent
            process.wait(_END_S)
            if process.stderr is not None:
                process.stderr.close()


def _wait_until_up(link: socket.socket, process: "subprocess.Popen[bytes]") -> None:
    """Return when the reader says that it runs. No guest's byte has reached it yet, so that it is believed."""
    link.settimeout(_START_S)
    try:
        frames.receive(link)
    except (OSError, frames.FrameBroken) as error:
        process.kill()
        complaint = process.stderr.read(_LONGEST_COMPLAINT) if process.stderr is not None else b""
        raise OfflineReaderUnavailable(complaint.decode(errors="replace").strip() or str(error)) from error


def _command() -> list[str]:
    limits = [f"--as={MEMORY_BYTES}", f"--cpu={CPU_S}", "--fsize=0", "--core=0", "--nofile=32"]
    return [
        "prlimit",
        *limits,
        "--",
        "bwrap",
        *_isolation(),
        *_files(),
        "--",
        _python(),
        "-s",
        "-S",
        "-B",
        "-m",
        _PACKAGE,
    ]


def _isolation() -> list[str]:
    nobody = ["--uid", _NOBODY, "--gid", _NOBODY, "--cap-drop", "ALL", "--hostname", "reader"]
    return [
        "--unshare-all",
        "--die-with-parent",
        "--new-session",
        "--clearenv",
        *nobody,
        "--setenv",
        "PYTHONPATH",
        _APP,
    ]


def _files() -> list[str]:
    """Return what the reader sees, all read-only: Python, the libraries and its own modules."""
    shown = [("--ro-bind", "/usr"), ("--ro-bind-try", "/lib"), ("--ro-bind-try", "/lib64")]
    if not sys.base_prefix.startswith("/usr"):
        shown.append(("--ro-bind", sys.base_prefix))
    binds = [word for option, path in shown for word in (option, path, path)]
    for library in _LIBRARIES:
        found = importlib.util.find_spec(library)
        if found is None or found.origin is None:
            raise OfflineReaderUnavailable(f"the library {library} is not installed")
        binds += ["--ro-bind", found.origin, f"{_APP}/{Path(found.origin).name}"]
    own = Path(__file__).with_name("reader")
    return [*binds, "--ro-bind", str(own), f"{_APP}/{_PACKAGE.replace('.', '/')}"]


def _python() -> str:
    base: str = getattr(sys, "_base_executable", sys.executable)
    return str(Path(base).resolve())
