"""Names of modules, classes and functions keep to the glossary."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SPEAKS_FOREIGN = ("vmkeep/arm/", "vmkeep/fabric/wire/", "vmkeep_guest/")
ROW = re.compile(r"^\| [^|]+ \| [^|]+ \| (?P<never>[^|]*) \|$", re.MULTILINE)


def never_words() -> set[str]:
    rows = ROW.findall((ROOT / "docs/glossary.md").read_text())
    return {
        word.strip() for row in rows for word in row.split(",") if word.strip() and word.strip() != "Never"
    }


def words(name: str) -> str:
    return "_" + re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower().strip("_") + "_"


def names(path: Path) -> Iterator[str]:
    yield path.stem
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name


def test_glossary_bans_words() -> None:
    assert {"waagent", "datastore", "quiesce"} <= never_words()


def test_names_never_use_a_second_word_for_a_thing_that_has_one() -> None:
    never = never_words()
    found = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in ROOT.glob("src/**/*.py")
        if not any(place in str(path) for place in SPEAKS_FOREIGN)
        for name in names(path)
        if any(f"_{word}_" in words(name) for word in never)
    ]
    assert not found
