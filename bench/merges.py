"""What a guest's writes feel of a live merge: `scripts/lab .venv/bin/python bench/merges.py --limits 0 64 32`.

For each limit a guest fills a file, is captured, and writes again while the older restore point is merged away. Beside it
a writer in the guest syncs 4 KiB over and over: its latencies during the merge are compared with those of a quiet time.
"""

import argparse
import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.fabric.on_guests import capture, layers_in
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
taken.sort()
at = lambda share: round(taken[min(int(len(taken) * share), len(taken) - 1)] * 1000, 2)
print(json.dumps({"writes": len(taken), "p50": at(.5), "p99": at(.99), "max": at(1)}))
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

    def figures(self) -> dict[str, float]:
        """Return milliseconds: p50, p99, max; and how many writes."""
        ended = self.guest.wait_for(lambda: self.guest.ended(self.pid), "the writer has ended")
        figures: dict[str, float] = json.loads(ended.out)
        return figures


def measure(guest: Guest, limit_mib_s: int, fill_mib: int, quiet_s: float) -> None:
    """Print one line: the limit, the merge, the guest's latencies in quiet and during the merge."""
    with tempfile.TemporaryDirectory() as state:
        fabric = Fabric(state_dir=Path(state), clock=CLOCK, wire=None, merge_mib_s=limit_mib_s)
        older = capture(fabric, guest.uuid, "older")
        guest.run("dd", "if=/dev/urandom", "of=/data/fill", "bs=1M", f"count={fill_mib}", "conv=fsync")
        newer = capture(fabric, guest.uuid, "newer")
        os.sync()  # what was filled is no longer on its way to the disk
        with Writing(guest) as quiet_writer:
            CLOCK.sleep(quiet_s)
        quiet = quiet_writer.figures()
        with Writing(guest) as busy_writer:
            begun = CLOCK.monotonic()
            fabric.merge(older, on_progress=lambda _done, _all: None, cancelled=lambda: False)
            merge_s = CLOCK.monotonic() - begun
        busy = busy_writer.figures()
        fabric.merge(newer, on_progress=lambda _done, _all: None, cancelled=lambda: False)
        assert not layers_in(guest.disks["vdb"].parent)
    limit = f"{limit_mib_s} MiB/s" if limit_mib_s else "no limit"
    ratio = busy["p99"] / quiet["p99"]
    print(
        f"{limit:>10}  merge {merge_s:6.1f} s  quiet {quiet}  merging {busy}  p99 x {ratio:.2f}", flush=True
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure each limit on one guest."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--limits", type=int, nargs="+", default=[0, 64, 32, 16], help="MiB/s; 0: none")
    parser.add_argument("--fill-mib", type=int, default=300)
    parser.add_argument("--quiet-s", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=1)
    asked = parser.parse_args(arguments)
    lab = Lab()
    guest = lab.restore_guest(data_disk=DiskFormat.QCOW2)
    try:
        for limit in asked.limits * asked.rounds:
            measure(guest, limit, asked.fill_mib, asked.quiet_s)
    finally:
        lab.clear()


if __name__ == "__main__":
    main()
