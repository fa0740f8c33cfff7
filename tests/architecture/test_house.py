"""The house rules that no linter knows."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted([*ROOT.glob("src/**/*.py"), *ROOT.glob("guest/src/**/*.py")])
MARKS = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b|NotImplementedError")
BANNED_MODULES = {"utils", "helpers", "common", "manager", "core", "misc"}


def test_modules_stay_under_600_lines() -> None:
    too_long = {str(path.relative_to(ROOT)) for path in SOURCES if len(path.read_text().splitlines()) > 600}
    assert not too_long


def test_no_unfinished_marks_in_product_code() -> None:
    marked = {str(path.relative_to(ROOT)) for path in SOURCES if MARKS.search(path.read_text())}
    assert not marked


def test_no_module_is_named_for_nothing() -> None:
    assert not {path.stem for path in SOURCES} & BANNED_MODULES
