"""The extension's numbers, in the words of Azure Backup."""

from dataclasses import replace

import pytest

from vmkeep.fabric.script_errors import PostScriptFailed, PreScriptFailed, ScriptFailed
from vmkeep.fabric.verdict import judge
from vmkeep.fabric.wire.tasks import SnapshotOutcome
from vmkeep.model.machine import Consistency

DONE = SnapshotOutcome(
    code=1,
    health_code=1,
    message="",
    taken=True,
    void=False,
    frozen_s=1.0,
    frozen_mounts=("/",),
    thaw_seen=True,
)


def outcome(**changes: object) -> SnapshotOutcome:
    return replace(DONE, **changes)  # type: ignore[arg-type] # a test names only what it changes


@pytest.mark.parametrize(
    ("code", "health_code", "consistency"),
    [(0, 0, Consistency.APPLICATION), (1, 1, Consistency.FILE_SYSTEM), (1, 0, Consistency.FILE_SYSTEM)],
)
def test_success_reaches_a_rung_without_warnings(
    code: int, health_code: int, consistency: Consistency
) -> None:
    verdict = judge(outcome(code=code, health_code=health_code), vm_name="vm")
    assert (verdict.consistency, verdict.warnings) == (consistency, ())


def test_tolerated_script_failure_is_a_warning_on_a_file_system_consistent_point() -> None:
    verdict = judge(outcome(code=1, health_code=300, message="rc 7"), vm_name="vm")
    assert verdict.consistency is Consistency.FILE_SYSTEM
    assert [warned.code for warned in verdict.warnings] == ["Pre-ScriptExecutionFailed"]


@pytest.mark.parametrize(
    ("code", "azure_code"),
    [
        (2, "ExtensionOperationFailedForManagedDisks"),
        (76, "ExtensionSnapshotFailedNoNetwork"),
        (85, "ExtensionFailedSnapshotLimitReachedError"),
        (121, "UserErrorFsFreezeFailed"),
        (122, "UserErrorFsFreezeFailed"),
        (123, "UserErrorUnableToOpenMount"),
        (1007, "ExtensionOperationFailedForManagedDisks"),
    ],
)
def test_failure_leaves_the_rung_and_is_named_as_azure_names_it(code: int, azure_code: str) -> None:
    verdict = judge(outcome(code=code, taken=False, message="why"), vm_name="vm")
    assert verdict.consistency is None
    assert [warned.code for warned in verdict.warnings] == [azure_code]
    assert f"code {code}: why" in verdict.warnings[0].message


def test_void_capture_reaches_nothing_even_with_a_good_code() -> None:
    assert judge(outcome(void=True), vm_name="vm").consistency is None


@pytest.mark.parametrize(("code", "error"), [(300, PreScriptFailed), (301, PostScriptFailed)])
def test_script_that_must_not_fail_fails_the_backup(code: int, error: type[ScriptFailed]) -> None:
    with pytest.raises(error, match="rc 7"):
        judge(outcome(code=code, message="rc 7"), vm_name="vm")
