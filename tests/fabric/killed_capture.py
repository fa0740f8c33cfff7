"""Run as a program: captures the idle VM and dies, as by kill -9, at the step that is named.

python -m tests.fabric.killed_capture STATE_DIR VM_UUID STEP
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.fabric.on_guests import capture, merge, new_fabric
from vmkeep.fabric import fold, layer_switch, points, qemu_img
from vmkeep.fabric.points import PointState

STEPS = ("before intent", "after intent", "after layers", "after completion")
MERGE_STEPS = ("after dropping", "in fold", "after first fold", "before forgetting")


def die() -> None:
    os._exit(9)


def patched(
    owner: object,
    name: str,
    *,
    before: Callable[..., Any] | None = None,
    after: Callable[..., Any] | None = None,
) -> None:  # any signature
    original = getattr(owner, name)

    def replacement(*arguments: Any, **named: Any) -> Any:  # any signature
        if before:
            before(*arguments, **named)
        result = original(*arguments, **named)
        if after:
            after(*arguments, **named)
        return result

    setattr(owner, name, replacement)


def die_at_state(state: PointState) -> Callable[..., None]:
    def look(_journal: object, record: points.PointRecord) -> None:
        if record.state is state:
            die()

    return look


def arm(step: str) -> None:
    journal = points.PointJournal
    match step:
        case "before intent":
            patched(journal, "put", before=die_at_state(PointState.INTENT))
        case "after intent":
            patched(journal, "put", after=die_at_state(PointState.INTENT))
        case "after layers":
            patched(layer_switch.LayerSwitch, "make", after=lambda _switch: die())
        case "after completion":
            patched(journal, "put", after=die_at_state(PointState.COMPLETE))
        case "after dropping":
            patched(journal, "put", after=die_at_state(PointState.DROPPING))
        case "in fold":
            patched(fold, "_await_job", before=lambda *_, **__: die())
            patched(qemu_img, "commit", after=lambda *_, **__: die())
        case "after first fold":
            patched(journal, "neighbours_merged", before=lambda *_: die())
        case "before forgetting":
            patched(journal, "delete", before=lambda *_: die())
        case _:
            raise ValueError(step)


def main(state_dir: str, vm_uuid: str, step: str) -> None:
    fabric = new_fabric(Path(state_dir))
    arm(step)
    if step in STEPS:
        capture(fabric, vm_uuid, "p1")
    else:
        point = fabric.find_point(vm_uuid, "p1")
        assert point is not None
        merge(fabric, point)


if __name__ == "__main__":
    main(*sys.argv[1:])
