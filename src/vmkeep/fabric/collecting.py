"""Collects what is known of a VM as one archive: the guest's files by the best way there is, and our side's logs."""

import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

from vmkeep.base.errors import VmkeepError
from vmkeep.base.recent_log import recent_log
from vmkeep.base.units import KIB
from vmkeep.fabric.offline.collection import collect, collect_nothing, pack, without_secrets
from vmkeep.fabric.offline.files import GuestFiles
from vmkeep.model.machine import VirtualMachine
from vmkeep.model.restore_point import RestorePoint

QEMU_LOGS = Path("/var/log/libvirt/qemu")
"""Where libvirt keeps what each VM's QEMU says."""
_QEMU_LOG_LIMIT = 256 * KIB
Way = Callable[[], AbstractContextManager[GuestFiles]]
"""Opens a guest's files; raises VmkeepError when it cannot."""


def collect_machine(
    vm: VirtualMachine, points: Sequence[RestorePoint], ways: Sequence[Way], *, now: datetime
) -> bytes:
    """Return a tar.gz of what is known of a VM; the guest's files are read by the first of the ways that works.

    Its manifest says which one that was, and why those before it failed. Secrets are taken out.
    """
    unreached: list[str] = []
    content = collect_nothing(vm.name)
    for way in ways:
        try:
            with way() as files:
                content = collect(files)
                break
        except VmkeepError as error:
            unreached.append(f"{error} {error.advice}".strip())
    return pack(content | _our_side(vm, points), unreached=unreached, at=now.timestamp())


def _our_side(vm: VirtualMachine, points: Sequence[RestorePoint]) -> dict[str, bytes]:
    facts = {"vm": asdict(vm), "restore_points": [asdict(point) for point in points]}
    return {
        "host/vm.json": without_secrets(json.dumps(facts, indent=1, default=str)),
        "host/vmkeep.log": without_secrets(recent_log()),
        "host/qemu.log": without_secrets(_end_of(QEMU_LOGS / f"{vm.name}.log")),
    }


def _end_of(path: Path) -> str:
    try:
        with path.open("rb") as file:
            file.seek(max(path.stat().st_size - _QEMU_LOG_LIMIT, 0))
            return file.read(_QEMU_LOG_LIMIT).decode(errors="replace")
    except OSError as error:
        return f"not read: {error.strerror}\n"
