"""Codes, leaves, drills and the pages that explain them hold together."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import vmkeep
from tests.docs.error_pages import ERRORS, anchors, cause_pages, code_parts, command_lines, links
from tests.drills.faults import DRILLS
from vmkeep.base.errors import VmkeepError
from vmkeep.catalog import errors as catalog_errors
from vmkeep.cli.reference import commands
from vmkeep.diagnosis.cause import Answer, ByCodes, Cause
from vmkeep.diagnosis.evidence import Seen
from vmkeep.diagnosis.leaves import windows
from vmkeep.diagnosis.tree import TREE
from vmkeep.fabric import encryption_errors, extension_errors, script_errors
from vmkeep.fabric import errors as fabric_errors
from vmkeep.fabric.wire import errors as wire_errors
from vmkeep.keyvault import errors as keyvault_errors
from vmkeep.model.job import JobOperation
from vmkeep.repository import errors as repository_errors
from vmkeep.workflows import disk_key_errors
from vmkeep.workflows import errors as workflow_errors

THE_TEN = (
    "UserErrorGuestAgentStatusUnavailable",
    "GuestAgentSnapshotTaskStatusError",
    "UserErrorRpCollectionLimitReached",
    "UserErrorKeyvaultPermissionsNotConfigured",
    "ExtensionSnapshotFailedNoNetwork",
    "ExtensionOperationFailedForManagedDisks",
    "BackUpOperationFailed",
    "BackUpOperationFailedV2",
    "UserErrorUnsupportedDiskSize",
    "UserErrorBackupOperationInProgress",
)
OF_JOBS = (
    disk_key_errors,
    encryption_errors,
    extension_errors,
    fabric_errors,
    repository_errors,
    script_errors,
    wire_errors,
    workflow_errors,
)
ALSO_OF_JOBS = (
    catalog_errors.OperationInProgress,
    catalog_errors.JobNotInProgress,
    keyvault_errors.EncryptionKeyRefused,
    keyvault_errors.EncryptionKeyUnusable,
    keyvault_errors.KeyVaultUnreachable,
    keyvault_errors.WrappedKeyDamaged,
    keyvault_errors.WrongKey,
)
"""Of packages whose other errors answer requests or keep the service from starting."""
NOT_OF_JOBS = (wire_errors.RequestRefused, workflow_errors.InternalFailure)
"""The first answers guests; the second has the codes that `internal` yields."""
FINDINGS = {"check.py", "agreement.py"}
"""What `vmkeep fabric check` finds is no error of a job: docs/fabric.md."""
HEALTHY = ""
COMMANDS = dict(commands())


def kinds() -> Iterator[type[VmkeepError]]:
    yield from ALSO_OF_JOBS
    for module in OF_JOBS:
        for kind in vars(module).values():
            if (
                isinstance(kind, type)
                and issubclass(kind, VmkeepError)
                and kind.__module__ == module.__name__
            ):
                yield kind


@cache
def sentences() -> dict[str, set[str]]:
    """Sentences by code, of all errors that can end a job; what varies in them is an ellipsis."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for kind in kinds():
        if kind not in NOT_OF_JOBS:
            found[kind.code].add(re.sub("…+", "…", re.sub(r"\{[^}]*\}", "…", kind.text)))
    for operation in JobOperation:
        code, error = workflow_errors.InternalFailure.of(operation, RuntimeError())
        begun = "Backup" if operation is JobOperation.BACKUP else "…"
        found[code].add(f"{begun} failed{str(error).partition('failed')[2]}")
    return found


def warnings() -> set[str]:
    """Codes of warnings that are no errors: literals in the code."""
    found: set[object] = set()
    for path in Path(vmkeep.__file__).parent.rglob("*.py"):
        if path.name in FINDINGS:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in {"Warned", "self._warn"}:
                found |= {one.value for one in node.args[:1] if isinstance(one, ast.Constant)}
    return {code for code in found if isinstance(code, str)}


@cache
def shown_by() -> dict[str, set[str]]:
    """Codes by cause, as drills expect them and leaves read them."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for drill in DRILLS:
        found[drill.cause] |= {code for code in drill.codes if code}
    for cause in TREE:
        if isinstance(cause.read, ByCodes):
            found[cause.id] |= cause.read.codes
    del found[HEALTHY]
    return found


@pytest.mark.parametrize("code", THE_TEN)
def test_each_of_the_ten_has_a_page_of_its_own(code: str) -> None:
    page = (ERRORS / f"{code}.md").read_text()
    assert page.startswith(f"# {code}\n")
    for heading in ("When", "Causes", "Which one", "What to do", "Unlike Azure"):
        assert f"\n## {heading}" in page


@pytest.mark.parametrize("code", sorted(sentences()))
def test_code_of_a_job_is_explained_with_its_exact_sentence(code: str) -> None:
    said = code_parts()[code].sentences
    assert sentences()[code] & set(said)
    assert set(said) <= sentences()[code]


def test_every_warning_is_explained() -> None:
    assert warnings() <= set(code_parts())


def test_no_page_explains_a_code_that_nothing_raises() -> None:
    assert set(code_parts()) == set(sentences()) | warnings()


def test_every_leaf_has_a_page_with_its_title_and_every_page_a_leaf() -> None:
    assert {page.id: page.title for page in cause_pages().values()} == {one.id: one.title for one in TREE}


def test_causes_in_windows_are_written_down_and_never_judged() -> None:
    headings = re.findall(r"^## (W\d+) (.+)$", (ERRORS / "windows.md").read_text(), re.MULTILINE)
    assert headings == [(one.id, one.title) for one in windows.LEAVES]
    assert not {one.id for one in TREE} & {one.id for one in windows.LEAVES}
    assert all(one.read(Seen([])).answer is Answer.UNKNOWN for one in windows.LEAVES)


def test_index_of_causes_is_the_tree() -> None:
    rows = re.findall(
        r"^\| \[(\w+)\]\(causes/(\w+)\.md\) \| (.+) \|$", (ERRORS / "causes.md").read_text(), re.MULTILINE
    )
    assert rows == [(one.id, one.id, one.title) for one in TREE]


def test_index_of_codes_has_them_all() -> None:
    found = re.findall(r"\[([\w-]+)\]\([\w.#-]+\)", (ERRORS / "codes.md").read_text())
    assert set(code_parts()) <= set(found)


@pytest.mark.parametrize("cause", [one.id for one in TREE])
def test_cause_and_its_codes_name_each_other(cause: str) -> None:
    named = set(cause_pages()[cause].codes)
    assert shown_by()[cause] <= named
    assert named == {part.code for part in code_parts().values() if cause in part.causes}


@pytest.mark.parametrize("code", THE_TEN)
def test_page_lists_causes_in_the_order_of_the_tree(code: str) -> None:
    listed = code_parts()[code].causes
    assert listed == [one.id for one in TREE if one.id in listed]


@pytest.mark.parametrize("cause", [one.id for one in TREE])
def test_cause_is_drilled_or_its_page_says_why_not(cause: str) -> None:
    drills = {drill.name for drill in DRILLS if cause in {drill.cause, *drill.name.split()}}
    page = cause_pages()[cause]
    assert set(page.drills) <= drills
    assert bool(page.drills) == bool(drills)
    assert bool(drills) != ("\nNot drilled: " in page.text)


@pytest.mark.parametrize("cause", TREE, ids=[one.id for one in TREE])
def test_page_of_a_cause_says_whether_vmkeep_mends_it_and_asks_before(cause: Cause) -> None:
    page = cause_pages()[cause.id].text
    assert ("`vmkeep doctor --vm NAME --apply` does it" in page) == (cause.mend is not None)
    assert ("`--yes`" in page) == (cause.mend is not None and not cause.mend.is_safe)
    for part in ("- **Proven**", "- **Refuted**", "## By hand", "## What to do"):
        assert part in page


@pytest.mark.parametrize("page", sorted(ERRORS.rglob("*.md")), ids=lambda page: page.name)
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    for target in links(page):
        name, _, anchor = target.partition("#")
        there = (page.parent / name).resolve() if name else page
        assert there.is_file(), target
        assert not anchor or anchor in anchors(there), target


@pytest.mark.parametrize("page", sorted(ERRORS.rglob("*.md")), ids=lambda page: page.name)
def test_commands_of_a_page_can_be_typed(page: Path) -> None:
    for line in command_lines(page):
        words = line.split()
        name = max((one for one in COMMANDS if words[: len(one.split())] == one.split()), key=len)
        options = [option for option in COMMANDS[name].params if option.param_type_name == "option"]
        given = {word for word in words if word.startswith("-")}
        assert given <= {"--help", *(way for option in options for way in option.opts)}, line
        assert all(given & set(option.opts) for option in options if option.required), line
