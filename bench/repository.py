"""Measure the repository beside restic and borg on one image, or for several chunk sizes.

    bench/repository.py rivals       full, incremental and restore, interleaved; prints seconds and ratios
    bench/repository.py chunk-sizes  what each chunk size costs: time, stored bytes, scattered small writes

Every figure is taken from a fresh process: wall seconds, CPU seconds, peak resident memory. Machines are shared and
drift, so use the ratios of one run.
"""

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vmkeep.base.clock import SystemClock
from vmkeep.base.units import GIB, KIB, MIB, format_size
from vmkeep.model.disk_io import Extent, ExtentKind
from vmkeep.repository import Repository, RepositoryKey, open_store
from vmkeep.repository.repository import DEFAULT_CHUNK_SIZE

KEY = RepositoryKey(bytes(32))
TREES = (
    "lib/x86_64-linux-gnu",
    "lib/jvm",
    "lib/llvm-14",
    "lib/gcc",
    "lib/python3",
    "lib/go-1.19",
    "bin",
    "share",
)
CONTENT_BYTES = 5 * GIB // 2
RANDOM_BYTES = 256 * MIB
IMAGE_BYTES = 4 * GIB


class ImageDisk:
    """An image file as a disk; `changes` None means: all of it."""

    name = "vda"

    def __init__(self, path: Path, changes: Sequence[Extent] | None = None) -> None:
        self._fd = os.open(path, os.O_RDONLY)
        self.size_bytes = os.fstat(self._fd).st_size
        self.incremental = changes is not None
        self._changes = changes

    def extents(self) -> Iterator[Extent]:
        if self._changes is not None:
            yield from self._changes
            return
        position = 0
        while position < self.size_bytes:
            try:
                start = os.lseek(self._fd, position, os.SEEK_DATA)
            except OSError:  # no data after `position`
                return
            position = os.lseek(self._fd, start, os.SEEK_HOLE)
            yield Extent(start, position - start, ExtentKind.DATA)

    def read(self, offset: int, length: int) -> bytes:
        return os.pread(self._fd, length, offset)


class ImageTarget:
    """A new image file to restore to."""

    def __init__(self, path: Path, size_bytes: int) -> None:
        self.size_bytes = size_bytes
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        os.ftruncate(self._fd, size_bytes)

    def write(self, offset: int, data: bytes | memoryview) -> None:
        os.pwrite(self._fd, data, offset)

    def flush(self) -> None:
        os.fsync(self._fd)


def make_image(folder: Path) -> Path:
    """Make an ext4 image of system files and random bytes, once."""
    image, root = folder / "base.img", folder / "root"
    if image.exists():
        return image
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    chance = random.Random(1)
    with (root / "random").open("wb") as file:
        for _ in range(RANDOM_BYTES // MIB):  # randbytes() makes less than 256 MiB at a time
            file.write(chance.randbytes(MIB))
    for tree in TREES:
        source = Path("/usr", tree)
        used = int(subprocess.check_output(["du", "-s", "-B1", root], text=True).split()[0])
        if source.exists() and used < CONTENT_BYTES:
            subprocess.run(["cp", "-a", source, root / tree.replace("/", "-")], check=True)
    partial = folder / "base.partial"
    with partial.open("wb") as file:
        file.truncate(IMAGE_BYTES)
    subprocess.run(["mke2fs", "-q", "-F", "-t", "ext4", "-d", root, partial], check=True)
    shutil.rmtree(root)
    return partial.rename(image)


def change_image(base: Path, changed: Path, plan: Sequence[tuple[int, int]]) -> list[Extent]:
    """Copy the image and change `count` places of `length` bytes for each (count, length); return where."""
    subprocess.run(["cp", "--sparse=always", base, changed], check=True)
    chance = random.Random(2)
    places = {
        (chance.randrange(IMAGE_BYTES // MIB) * MIB, length) for count, length in plan for _ in range(count)
    }
    extents: list[Extent] = []
    with changed.open("r+b") as file:
        for offset, length in sorted(places):
            if extents and offset < extents[-1].end:
                continue
            file.seek(chance.randrange(IMAGE_BYTES // 2) | 13)  # real content, but at no chunk's boundary
            fresh = file.read(length - 16) + chance.randbytes(16)
            file.seek(offset)
            file.write(fresh)
            extents.append(Extent(offset, length, ExtentKind.DATA))
    return extents


@dataclass(frozen=True)
class Cost:
    """What a process took."""

    wall_s: float
    cpu_s: float
    peak_bytes: int


def measure(
    command: Sequence[str | Path], *, stdin: Path | None = None, cwd: Path | None = None, **environment: str
) -> Cost:
    """Run a command to its end; stop the whole measurement when it fails."""
    with (stdin or Path(os.devnull)).open("rb") as source:
        started = time.perf_counter()
        process = subprocess.Popen(
            command, stdin=source, stdout=subprocess.DEVNULL, cwd=cwd, env=os.environ | environment
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall_s = time.perf_counter() - started
    if status:
        sys.exit(f"failed: {' '.join(map(str, command))}")
    return Cost(wall_s, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * KIB)


def stored_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def vmkeep(folder: Path, verb: str, *arguments: str | Path) -> Cost:
    return measure([sys.executable, __file__, "step", verb, folder, *arguments])


def in_service(folder: Path) -> str:
    """Return how long each of vmkeep's steps took once Python had started, as it does in a running service."""
    taken = json.loads(folder.with_suffix(".taken").read_text())
    return ", ".join(f"{verb} {seconds:.2f} s" for verb, seconds in taken.items())


def step(verb: str, folder: Path, arguments: Sequence[str]) -> None:
    """Do one of vmkeep's steps in this process."""
    clock = SystemClock()
    if verb == "create":
        Repository.create(open_store(str(folder)), KEY, clock=clock, chunk_size=int(arguments[0]))
        return
    repository = Repository.open(open_store(str(folder)), KEY, clock=clock)
    image = Path(arguments[0])
    started = time.perf_counter()
    match verb:
        case "full":
            repository.ingest([ImageDisk(image)])
        case "incremental":
            changes = [
                Extent(*place, ExtentKind.DATA) for place in json.loads(Path(arguments[1]).read_text())
            ]
            parent = repository.list_manifests()[0].id
            repository.ingest([ImageDisk(image, changes)], parent=parent)
        case "restore":
            newest = repository.list_manifests()[-1]
            target = ImageTarget(image, newest.disk("vda").size_bytes)
            repository.restore_disk(newest.id, "vda", target)
        case _:
            sys.exit(f"unknown step {verb}")
    taken = folder.with_suffix(".taken")
    so_far = json.loads(taken.read_text()) if taken.exists() else {}
    taken.write_text(json.dumps(so_far | {verb: time.perf_counter() - started}))


Steps = dict[str, Callable[[], Cost]]


def vmkeep_steps(folder: Path, base: Path, changed: Path, changes: Path) -> Steps:
    repository = folder / "vmkeep"
    vmkeep(repository, "create", str(DEFAULT_CHUNK_SIZE))
    return {
        "full": lambda: vmkeep(repository, "full", base),
        "incremental": lambda: vmkeep(repository, "incremental", changed, changes),
        "restore": lambda: vmkeep(repository, "restore", folder / "restored.img"),
    }


def restic_steps(folder: Path, base: Path, changed: Path, _: Path) -> Steps:
    restic = ["restic", "-q", "--no-cache", "-r", folder / "restic"]
    environment = {"RESTIC_PASSWORD": "x", "RESTIC_COMPRESSION": "auto"}
    measure([*restic, "init", "--repository-version", "2"], **environment)

    def backup(image: Path) -> Cost:
        return measure([*restic, "backup", "--stdin", "--stdin-filename", "vda"], stdin=image, **environment)

    return {
        "full": lambda: backup(base),
        "incremental": lambda: backup(changed),
        "restore": lambda: measure(
            [*restic, "restore", "latest", "--target", folder / "restic-out"], **environment
        ),
    }


def borg_steps(folder: Path, base: Path, changed: Path, _: Path) -> Steps:
    repository = folder / "borg"
    environment = {"BORG_PASSPHRASE": "x", "BORG_BASE_DIR": str(folder / "borg-home")}
    subprocess.run(
        ["borg", "init", "-e", "repokey-blake2", repository],
        env=os.environ | environment,
        stderr=subprocess.DEVNULL,  # a page of advice
        check=True,
    )

    def backup(name: str, image: Path) -> Cost:
        create = [
            "borg",
            "create",
            "--compression",
            "zstd,1",
            "--chunker-params",
            "fixed,4194304",
            "--sparse",
        ]
        return measure([*create, f"{repository}::{name}", image], **environment)

    def restore() -> Cost:
        out = folder / "borg-out"
        out.mkdir()
        return measure(["borg", "extract", "--sparse", f"{repository}::second"], cwd=out, **environment)

    return {
        "full": lambda: backup("first", base),
        "incremental": lambda: backup("second", changed),
        "restore": restore,
    }


def rivals(folder: Path, rounds: int) -> None:
    base, changed, changes = make_image(folder), folder / "changed.img", folder / "changes.json"
    extents = change_image(base, changed, [(25, MIB), (400, 64 * KIB)])
    changes.write_text(json.dumps([(extent.offset, extent.length) for extent in extents]))
    print(
        f"image: {format_size(base.stat().st_blocks * 512)} of data in {format_size(IMAGE_BYTES)};", end=" "
    )
    print(f"{format_size(sum(extent.length for extent in extents))} changed in {len(extents)} places")
    makers = {"vmkeep": vmkeep_steps, "restic": restic_steps, "borg": borg_steps}
    costs: dict[tuple[str, str], list[Cost]] = {}
    stored: dict[str, int] = {}
    for turn in range(rounds):
        work = folder / "work"
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        steps = {name: make(work, base, changed, changes) for name, make in makers.items()}
        for verb in ("full", "incremental", "restore"):
            for name in sorted(steps, reverse=turn % 2 == 1):
                warm(base if verb == "full" else changed)
                costs.setdefault((name, verb), []).append(steps[name][verb]())
        stored = {name: stored_bytes(work / name) for name in makers}
        print(f"round {turn + 1}, vmkeep in a running service: {in_service(work / 'vmkeep')}", flush=True)
        if subprocess.run(["cmp", changed, work / "restored.img"], check=False).returncode:
            sys.exit("the restored image differs")
        shutil.rmtree(work)
    print_rivals(list(makers), costs, stored)


def print_rivals(
    names: Sequence[str], costs: dict[tuple[str, str], list[Cost]], stored: dict[str, int]
) -> None:
    print(f"{'':12}{'':>8}{'wall s':>10}{'CPU s':>10}{'peak':>12}{'wall ÷ vmkeep':>16}{'CPU ÷ vmkeep':>14}")
    for verb in ("full", "incremental", "restore"):
        own = costs["vmkeep", verb]
        for name in names:
            mine = costs[name, verb]
            wall, cpu = (statistics.median(getattr(cost, f) for cost in mine) for f in ("wall_s", "cpu_s"))
            own_wall, own_cpu = (
                statistics.median(getattr(cost, f) for cost in own) for f in ("wall_s", "cpu_s")
            )
            peak = format_size(max(cost.peak_bytes for cost in mine))
            print(
                f"{verb:12}{name:>8}{wall:10.2f}{cpu:10.2f}{peak:>12}{wall / own_wall:16.1f}{cpu / own_cpu:14.1f}"
            )
    print("stored:", ", ".join(f"{name} {format_size(size)}" for name, size in stored.items()))


def chunk_sizes(folder: Path, rounds: int) -> None:
    base, changed, changes = make_image(folder), folder / "changed.img", folder / "changes.json"
    extents = change_image(base, changed, [(1000, 4 * KIB)])
    changes.write_text(json.dumps([(extent.offset, extent.length) for extent in extents]))
    print(f"scattered: {len(extents)} writes of 4 KiB")
    print(
        f"{'chunk':>10}{'full s':>9}{'CPU s':>8}{'peak':>12}{'stored':>12}{'scattered s':>13}{'CPU s':>8}{'stored':>12}"
    )
    for _ in range(rounds):
        for size in (64 * KIB, 128 * KIB, 256 * KIB, 512 * KIB, MIB, 4 * MIB):
            repository = folder / "work"
            shutil.rmtree(repository, ignore_errors=True)
            vmkeep(repository, "create", str(size))
            warm(base)
            full = vmkeep(repository, "full", base)
            stored = stored_bytes(repository)
            warm(changed)
            scattered = vmkeep(repository, "incremental", changed, changes)
            added = stored_bytes(repository) - stored
            print(
                f"{format_size(size):>10}{full.wall_s:9.2f}{full.cpu_s:8.2f}{format_size(full.peak_bytes):>12}"
                f"{format_size(stored):>12}{scattered.wall_s:13.2f}{scattered.cpu_s:8.2f}{format_size(added):>12}",
                flush=True,
            )
    shutil.rmtree(folder / "work")


def warm(image: Path) -> None:
    """Bring the image into the page cache, so that nobody pays for the disk."""
    subprocess.run(["dd", f"if={image}", "of=/dev/null", "bs=4M", "status=none"], check=True)


def main() -> None:
    if sys.argv[1:2] == ["step"]:
        step(sys.argv[2], Path(sys.argv[3]), sys.argv[4:])
        return
    parser = argparse.ArgumentParser(description="Measure the repository.")
    parser.add_argument("what", choices=["rivals", "chunk-sizes"], nargs="?", default="rivals")
    parser.add_argument("--folder", type=Path, default=Path("/var/tmp/vmkeep-bench"))
    parser.add_argument("--rounds", type=int, default=2)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    (rivals if arguments.what == "rivals" else chunk_sizes)(arguments.folder, arguments.rounds)


if __name__ == "__main__":
    main()
