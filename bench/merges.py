"""What a guest's writes feel of a live merge: `scripts/lab .venv/bin/python bench/merges.py --limits 0 64 32`.

For each limit a guest fills a file, is captured, and writes again while the older restore point is merged away. Beside it
a writer in the guest syncs 4 KiB over and over: its latencies during the merge are compared with those in quiet, before and after it. Use several rounds: machines drift.
"""

import argparse
import json
import os
import tempfile
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.fabric.on_guests import capture, layers_in, merge
from tests.lab.guest import Guest
from tests.lab.lab import Lab
from vmkeep.base.clock import SystemClock
from vmkeep.fabric.fabric import Fabric
from vmkeep.model.machine import DiskFormat

CLOCK = SystemClock()
WRITER = """
import json, os, sys, time
path, started, stop = sys.argv[1:]
file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_DSYNC)
block, taken, number = os.urandom(4096), [], 0
while number < 50 or not os.path.exists(stop):
    begun = time.monotonic()
    os.pwrite(file, block, number % 1024 * 4096)
    taken.append(time.monotonic() - begun)
    number += 1
    if number == 1:
        open(started, "w").close()
os.unlink(started), os.unlink(stop)
print(json.dumps([round(one * 1000, 2) for one in taken]))
"""


@dataclass
class Writing:
    """A writer in the guest, from its start to its figures."""

    guest: Guest
    pid: int = 0

    def __enter__(self) -> Self:
        command = ["python3", "-c", WRITER, "/data/latency", "/run/bench-started", "/run/bench-stop"]
        self.pid = self.guest.start(command)
        self.guest.wait_for(
            lambda: self.guest.exec(["test", "-e", "/run/bench-started"]).rc == 0, "the writer has started"
        )
        return self

    def __exit__(self, *_: object) -> None:
        self.guest.run("touch", "/run/bench-stop")

    def latencies(self) -> list[float]:
        """Return how long each write took, in milliseconds."""
        ended = self.guest.wait_for(lambda: self.guest.ended(self.pid), "the writer has ended")
        taken: list[float] = json.loads(ended.out)
        return taken


def watch(guest: Guest, work: Callable[[], None]) -> list[float]:
    """Return the latencies of the guest's writes while something is done."""
    with Writing(guest) as writer:
        work()
    return writer.latencies()


def measure(guest: Guest, limit_mib_s: int, fill_mib: int, quiet_s: float) -> tuple[list[float], list[float]]:
    """Return the latencies in quiet, before and after a merge, and during it; print a line about them."""
    with tempfile.TemporaryDirectory() as state:
        fabric = Fabric(state_dir=Path(state), clock=CLOCK, wire=None, merge_mib_s=limit_mib_s)
        older = capture(fabric, guest.uuid, "older")
        guest.run("dd", "if=/dev/urandom", "of=/data/fill", "bs=1M", f"count={fill_mib}", "conv=fsync")
        newer = capture(fabric, guest.uuid, "newer")
        os.sync()  # what was filled is no longer on its way to the disk
        before = watch(guest, lambda: CLOCK.sleep(quiet_s / 2))
        begun = CLOCK.monotonic()
        during = watch(guest, lambda: merge(fabric, older))
        merge_s = CLOCK.monotonic() - begun
        quiet = before + watch(guest, lambda: CLOCK.sleep(quiet_s / 2))
        merge(fabric, newer)
        assert not layers_in(guest.disks["vdb"].parent)
    print(f"{merge_s:6.1f} s  {compared(limit_mib_s, quiet, during)}", flush=True)
    return quiet, during


def compared(limit_mib_s: int, quiet: list[float], during: list[float]) -> str:
    """Return the figures of one limit in words."""
    limit = f"{limit_mib_s} MiB/s" if limit_mib_s else "no limit"
    ratio = at(during, 0.99) / at(quiet, 0.99)
    return f"{limit:>9}: quiet {shown(quiet)}, merging {shown(during)}, p99 x {ratio:.2f}"


def shown(taken: list[float]) -> str:
    """Return p50, p99 and longest in milliseconds, and how many there are."""
    figures = " / ".join(f"{at(taken, share):.1f}" for share in (0.5, 0.99, 1))
    return f"{figures} ms of {len(taken)}"


def at(taken: list[float], share: float) -> float:
    """Return the latency that this share of writes does not exceed."""
    return sorted(taken)[min(int(len(taken) * share), len(taken) - 1)]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure each limit on one guest."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--limits", type=int, nargs="+", default=[0, 64, 32, 16], help="MiB/s; 0: none")
    parser.add_argument("--fill-mib", type=int, default=300)
    parser.add_argument("--quiet-s", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=1)
    asked = parser.parse_args(arguments)
    pooled: defaultdict[int, tuple[list[float], list[float]]] = defaultdict(lambda: ([], []))
    lab = Lab()
    guest = lab.restore_guest(data_disk=DiskFormat.QCOW2)
    try:
        for _ in range(asked.rounds):
            for limit in asked.limits:
                quiet, during = measure(guest, limit, asked.fill_mib, asked.quiet_s)
                pooled[limit][0].extend(quiet)
                pooled[limit][1].extend(during)
        for limit, (quiet, during) in pooled.items():
            print("all rounds ", compared(limit, quiet, during))
    finally:
        lab.clear()


if __name__ == "__main__":
    main()
