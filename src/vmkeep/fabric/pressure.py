"""How hard pressed this host is, as its kernel says: pressure stall information, Linux 4.20 and newer."""

import re
from collections.abc import Iterator
from pathlib import Path

from vmkeep.diagnosis.evidence import HostFact

FOLDER = Path("/proc/pressure")
_LINES = {
    HostFact.CPU_PRESSURE: ("cpu", re.compile(r"^some .*avg300=(\d+)", re.MULTILINE)),
    HostFact.MEMORY_PRESSURE: ("memory", re.compile(r"^full .*avg300=(\d+)", re.MULTILINE)),
}
"""File and line of each. Of CPUs, `full` says nothing about a whole host."""


def read_pressure(folder: Path = FOLDER) -> Iterator[tuple[HostFact, str]]:
    """Yield percents of the last 300 s; nothing where the kernel does not tell."""
    for fact, (name, line) in _LINES.items():
        try:
            found = line.search((folder / name).read_text())
        except OSError:
            continue
        if found:
            yield fact, found.group(1)
