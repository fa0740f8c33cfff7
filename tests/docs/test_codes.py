"""The page of codes says what the code raises."""

import re
from collections.abc import Iterator

import pytest

from tests.docs.test_docs import DOCS
from vmkeep.base.errors import VmkeepError
from vmkeep.catalog import errors as catalog_errors
from vmkeep.fabric import extension_errors
from vmkeep.fabric.wire import errors as wire_errors
from vmkeep.model.job import JobOperation
from vmkeep.workflows import disk_key_errors
from vmkeep.workflows import errors as workflow_errors

_ROW = re.compile(r"^\| (\w+) \| ([^|]+) \| ", re.MULTILINE)
_MODULES = (catalog_errors, disk_key_errors, extension_errors, wire_errors, workflow_errors)


def rows() -> list[tuple[str, str]]:
    found = _ROW.findall((DOCS / "errors" / "codes.md").read_text())
    return [(code, message) for code, message in found if code != "Code"]


def raised() -> Iterator[tuple[str, str]]:
    """Code and sentence of every error whose sentence does not depend on what was found."""
    code, internal = workflow_errors.InternalFailure.of(JobOperation.BACKUP, RuntimeError())
    yield code, str(internal)
    for module in _MODULES:
        for kind in vars(module).values():
            if isinstance(kind, type) and issubclass(kind, VmkeepError):
                yield kind.code, kind.text


@pytest.mark.parametrize(("code", "message"), rows())
def test_code_has_the_documented_sentence(code: str, message: str) -> None:
    assert (code, message) in set(raised())
