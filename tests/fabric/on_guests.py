"""What the fabric's tests on real guests share."""

import json
import subprocess
from pathlib import Path

from tests.lab.guest import Guest
from vmkeep.base.clock import SystemClock
from vmkeep.fabric.fabric import Fabric
from vmkeep.model.disk_io import DiskSource, ExtentKind
from vmkeep.model.restore_point import CapturedDisk, RestorePoint

STEP = 1 << 20


def new_fabric(state_dir: Path, *, freeze_limit_s: float = 10) -> Fabric:
    return Fabric(state_dir=state_dir, clock=SystemClock(), wire=None, freeze_limit_s=freeze_limit_s)


def capture(fabric: Fabric, vm_uuid: str, point_id: str) -> RestorePoint:
    return fabric.capture(vm_uuid, point_id=point_id, on_phase=lambda _phase: None, cancelled=lambda: False)


def merge(fabric: Fabric, point: RestorePoint) -> None:
    fabric.merge(point, on_progress=lambda _done, _all: None, cancelled=lambda: False)


def boot(guest: Guest) -> None:
    """Start a guest that is off; a busy host may make it give up waiting for its data disk."""
    guest.boot()
    guest.run("mount", "-a")


def copy_by_qemu(disk: CapturedDisk, copy: Path) -> Path:
    """What QEMU itself reads from a frozen chain, as a sparse raw file."""
    qemu_img("convert", "-U", "-f", disk.format, "-O", "raw", disk.path, copy)
    return copy


def reads_as(disk: CapturedDisk, copy: Path) -> bool:
    """Whether QEMU reads from a frozen chain what is in a raw file."""
    qemu_img("compare", "-U", "-f", disk.format, "-F", "raw", disk.path, copy)
    return True


def apply(source: DiskSource, disk: Path) -> int:
    """Bring a raw copy of the previous point up to this one; return how many bytes were read."""
    if not source.incremental:
        disk.unlink(missing_ok=True)
    read = 0
    with disk.open("r+b" if disk.exists() else "w+b") as file:
        file.truncate(source.size_bytes)
        for extent in source.extents():
            for at in range(extent.offset, extent.end, STEP):
                length = min(STEP, extent.end - at)
                data = source.read(at, length) if extent.kind is ExtentKind.DATA else bytes(length)
                read += length if extent.kind is ExtentKind.DATA else 0
                file.seek(at)
                file.write(data)
    return read


def qemu_img(*arguments: str | Path) -> str:
    done = subprocess.run(["qemu-img", *map(str, arguments)], check=True, capture_output=True, text=True)
    return done.stdout


def chain_of(path: Path | str, image_format: str = "qcow2") -> list[str]:
    described = json.loads(
        qemu_img("info", "-U", "--backing-chain", "--output=json", "-f", image_format, path)
    )
    return [image["filename"] for image in reversed(described)]


def layers_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.vmkeep-*"))
