"""The pages below docs/errors, taken apart."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.docs.test_docs import DOCS

ERRORS = DOCS / "errors"
_LINK = re.compile(r"\[([^\]]+)\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^## (.+)$", re.MULTILINE)
_INDEXES = {"codes.md", "causes.md", "windows.md"}


@dataclass(frozen=True)
class CodePart:
    """What is said of one code, on a page of its own or in a family's."""

    code: str
    text: str

    @property
    def sentences(self) -> list[str]:
        """The error's messages; what varies in them is an ellipsis."""
        return re.findall(r"^> (.+)$", self.text, re.MULTILINE)

    @property
    def causes(self) -> list[str]:
        """The causes listed, in order."""
        return re.findall(r"\[([A-Z]\d)\]\(causes/", self.text.partition("Causes")[2].partition("\n## ")[0])


@dataclass(frozen=True)
class CausePage:
    """The page of one cause."""

    id: str
    title: str
    text: str

    @property
    def codes(self) -> list[str]:
        """The codes by which it shows."""
        return [name for name, _ in _LINK.findall(self._line("Codes: "))]

    @property
    def drills(self) -> list[str]:
        """The drills that it names."""
        return re.findall(r"`([^`]+)`", self._line("Drills: "))

    def _line(self, start: str) -> str:
        return next((line for line in self.text.splitlines() if line.startswith(start)), "")


@cache
def code_parts() -> dict[str, CodePart]:
    """Return what is said of each code; a code is explained once."""
    parts: dict[str, CodePart] = {}
    for page in sorted(ERRORS.glob("*.md")):
        for code, text in _parts(page):
            assert code not in parts, f"{code} is explained twice"
            parts[code] = CodePart(code, text)
    return parts


def _parts(page: Path) -> Iterator[tuple[str, str]]:
    """Yield codes and texts: a page named for a code is about that code, others have a heading for each."""
    text = page.read_text()
    if page.stem[0].isupper():
        yield page.stem, text
    elif page.name not in _INDEXES:
        _, *pieces = _HEADING.split(text)
        yield from zip(pieces[::2], pieces[1::2], strict=True)


@cache
def cause_pages() -> dict[str, CausePage]:
    """Return the pages of causes by id."""
    pages = {}
    for page in sorted((ERRORS / "causes").glob("*.md")):
        head, _, text = page.read_text().partition("\n")
        cause, _, title = head.removeprefix("# ").partition(" ")
        assert cause == page.stem
        pages[cause] = CausePage(cause, title, text)
    return pages


def links(page: Path) -> list[str]:
    """Return where a page points to, the web left out."""
    return [target for _, target in _LINK.findall(page.read_text()) if "://" not in target]


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def command_lines(page: Path) -> list[str]:
    """Return the command lines of vmkeep that a page tells its reader to type."""
    found = re.findall(r"`(vmkeep [^`]+)`|^ {4,}(vmkeep [^\n#]+)", page.read_text(), re.MULTILINE)
    return [(inline or block).replace("\n", " ").strip() for inline, block in found]
