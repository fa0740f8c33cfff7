"""Moments in a capture or a merge at which something is struck down, in this process."""

from collections.abc import Callable
from typing import Any

import pytest

from vmkeep.fabric import fold
from vmkeep.fabric.layer_switch import LayerSwitch
from vmkeep.fabric.points import PointJournal

CAPTURE_MOMENTS = ("before layers", "after layers")
MERGE_MOMENTS = ("in job", "after job", "after pivot", "before forgetting")
Strike = Callable[[], None]


def strike_at(moment: str, strike: Strike, patch: pytest.MonkeyPatch) -> None:
    """Have `strike` called once, when the product comes to `moment`."""
    owner, name, before = {
        "before layers": (LayerSwitch, "make", True),
        "after layers": (LayerSwitch, "make", False),
        "in job": (fold, "_await_job", True),
        "after job": (fold, "_await_job", False),
        "after pivot": (fold, "leave_out", True),
        "before forgetting": (PointJournal, "delete", True),
    }[moment]
    original: Callable[..., Any] = getattr(owner, name)  # any signature
    left = [strike]

    def struck(*arguments: Any, **named: Any) -> Any:  # any signature
        if before and left:
            left.pop()()
        result = original(*arguments, **named)
        if not before and left:
            left.pop()()
        return result

    patch.setattr(owner, name, struck)
