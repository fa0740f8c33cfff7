"""The documentation says what the code does."""

from pathlib import Path

import pytest

from vmkeep.arm.app import routes_app
from vmkeep.base.config import describe
from vmkeep.cli.reference import commands, render
from vmkeep.server.settings import Settings

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.mark.parametrize(("name", "command"), [pytest.param(*one, id=one[0]) for one in commands()])
def test_every_command_explains_itself_with_an_example(name: str, command: object) -> None:
    assert getattr(command, "help", "")
    assert name in str(getattr(command, "epilog", ""))


def test_the_command_reference_is_up_to_date() -> None:
    assert (DOCS / "cli.md").read_text() == render(), "run: python -m vmkeep.cli.reference > docs/cli.md"


def test_every_setting_is_documented() -> None:
    page = (DOCS / "configuration.md").read_text()
    for name, default, text in describe(Settings):
        assert f"| `{name}` | `{default}` | {text} |" in page


def test_every_route_of_our_own_is_documented() -> None:
    page = (DOCS / "formats/arm-extensions.md").read_text()
    ours = {path for path in routes_app().openapi()["paths"] if "vmkeep" in path.lower()}
    assert ours
    for path in ours:
        tail = path.rpartition("providers/")[2]
        assert (tail.partition("{vault_name}/")[2] or tail) in page
