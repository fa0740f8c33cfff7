"""JSON files that are replaced whole or not at all."""

import json
from pathlib import Path
from typing import Any


def write_json(path: Path, data: Any) -> None:  # JSON values
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".fresh")
    fresh.write_text(json.dumps(data))
    fresh.rename(path)


def read_json(path: Path) -> Any:  # JSON values
    return json.loads(path.read_text())
