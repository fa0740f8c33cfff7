"""Reads JSON that a guest sent: bounded, of any shape, never trusted."""

import json
import math
import re

from vmkeep.fabric.wire.errors import RequestRefused

TEXT_LIMIT = 200
MESSAGE_LIMIT = 1000
ONE_DAY_S = 86_400

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")


def parse(body: bytes | str) -> object:
    """Return the JSON value in `body`, whose size the caller has bounded. Raises RequestRefused (400)."""
    try:
        value: object = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RequestRefused(status=400, why="the body is not JSON") from error
    return value


def find(value: object, *path: str | int) -> object:
    """Return what lies at `path` below `value`; None when the shape is another."""
    for step in path:
        if isinstance(step, str) and isinstance(value, dict):
            value = value.get(step)
        elif isinstance(step, int) and isinstance(value, list) and step < len(value):
            value = value[step]
        else:
            return None
    return value


def items(value: object, limit: int = 256) -> list[object]:
    """Return the first `limit` elements of a list; none when it is no list."""
    return value[:limit] if isinstance(value, list) else []


def text(value: object, limit: int = TEXT_LIMIT) -> str:
    """Return a string or number as printable text of at most `limit` characters; empty for anything else."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    return _CONTROL.sub(" ", str(value)[:limit])


def integer(value: object) -> int | None:
    """Return a number, or a decimal string, as an int of sane size; else None."""
    shown = text(value, 20)
    return int(shown) if re.fullmatch(r"-?[0-9]{1,10}", shown) else None


def seconds(value: object) -> float | None:
    """Return a duration between 0 and one day; None for anything else."""
    if isinstance(value, str):
        try:
            value = float(value[:32])
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value) if 0 <= value <= ONE_DAY_S else None
