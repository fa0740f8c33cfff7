"""Files that are either whole or absent, whatever happens while they are written."""

import json
import os


def write_json(path: str, value: object) -> None:
    """Put `value` as JSON at `path`, on stable storage, replacing what was there in one go. Raises OSError."""
    fresh = "{}.{}.new".format(path, os.getpid())
    with open(fresh, "w", encoding="utf-8") as file:
        json.dump(value, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(fresh, path)


def read_json(path: str) -> object:
    """Return the JSON value at `path`. Raises OSError, or ValueError when it is not JSON."""
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def members(value: object) -> "dict[str, object]":
    """Return `value` when it is a JSON object, else an empty one: for reading what others wrote."""
    return value if isinstance(value, dict) else {}


def items(value: object) -> "list[object]":
    """Return `value` when it is a JSON array, else an empty one."""
    return value if isinstance(value, list) else []
