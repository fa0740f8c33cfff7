"""The extension's numbers, in the words of Azure Backup."""

from dataclasses import replace

import pytest

from vmkeep.fabric.errors import FreezeBroken
from vmkeep.fabric.extension_errors import (
    ExtensionFailed,
    FreezeConfigEncoding,
    NothingFrozen,
    SnapshotWithoutNetwork,
)
from vmkeep.fabric.script_errors import PostScriptFailed, PreScriptFailed, ScriptFailed
from vmkeep.fabric.verdict import judge
from vmkeep.fabric.wire.tasks import CAPTURED_TOO_LATE, FROZEN, SnapshotOutcome
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
    assert (verdict.consistency, verdict.why) == (consistency, None)


def test_tolerated_script_failure_is_a_warning_on_a_file_system_consistent_point() -> None:
    verdict = judge(outcome(code=1, health_code=300, message="rc 7"), vm_name="vm")
    assert verdict.consistency is Consistency.FILE_SYSTEM
    assert isinstance(verdict.why, PreScriptFailed)


@pytest.mark.parametrize(
    ("code", "azure_code"),
    [
        (2, "ExtensionOperationFailedForManagedDisks"),
        (11, "ExtensionConfigParsingFailure"),
        (16, "GuestAgentCertificateNotFound"),
        (17, "BackUpOperationFailedV2"),
        (76, "ExtensionSnapshotFailedNoNetwork"),
        (85, "ExtensionFailedSnapshotLimitReachedError"),
        (121, "UserErrorFsFreezeFailed"),
        (122, "UserErrorFsFreezeTimeout"),
        (123, "UserErrorUnableToOpenMount"),
        (173, "ExtensionFailedSnapshotRateExceededError"),
        (402, "GuestAgentSnapshotTaskStatusError"),
        (1002, "ExtensionOperationFailedForManagedDisks"),
        (1007, "ExtensionInstallationFailure"),
        (-1, "ExtensionOperationFailedForManagedDisks"),
    ],
)
def test_failure_leaves_the_rung_and_is_named_as_azure_names_it(code: int, azure_code: str) -> None:
    verdict = judge(outcome(code=code, taken=False, message="why"), vm_name="vm")
    assert verdict.consistency is None
    assert verdict.why is not None
    assert verdict.why.code == azure_code
    assert f"why (code {code})" in verdict.why.advice


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        (2, "VMSnapshot extension operation failed"),
        (17, "Backup failed with an internal error - Please retry the operation in a few minutes"),
        (76, "Snapshot operation failed due to no network connectivity on the virtual machine"),
        (402, "Could not communicate with the VM agent for snapshot status"),
    ],
)
def test_failure_is_told_in_azures_own_sentence(code: int, sentence: str) -> None:
    assert str(judge(outcome(code=code, taken=False), vm_name="vm").why) == sentence


def test_snapshot_of_moving_file_systems_is_not_called_consistent() -> None:
    verdict = judge(outcome(nothing_frozen=True), vm_name="vm")
    assert verdict.consistency is Consistency.CRASH
    assert isinstance(verdict.why, NothingFrozen)


def test_mount_that_would_not_freeze_is_among_the_facts() -> None:
    verdict = judge(outcome(code=121, taken=False, message="/data …", failed_mount="/data"), vm_name="vm")
    assert verdict.why is not None
    assert verdict.why.facts()["mount"] == "/data"


def test_host_that_took_no_snapshot_is_not_blamed_on_the_guests_network() -> None:
    reached = outcome(code=76, taken=False, events={FROZEN: 1.0})
    assert isinstance(judge(reached, vm_name="vm").why, ExtensionFailed)
    assert not isinstance(judge(reached, vm_name="vm").why, SnapshotWithoutNetwork)


def test_answer_that_never_arrived_is_blamed_on_the_network() -> None:
    lost = outcome(code=76, void=True, events={FROZEN: 1.0})
    assert isinstance(judge(lost, vm_name="vm").why, SnapshotWithoutNetwork)


def test_capture_after_the_thaw_is_a_broken_freeze() -> None:
    late = outcome(code=76, void=True, message=CAPTURED_TOO_LATE, events={FROZEN: 1.0})
    assert isinstance(judge(late, vm_name="vm").why, FreezeBroken)


@pytest.mark.parametrize(
    ("exit_code", "advice"),
    [
        (72, "Python 3.6"),
        (74, "Free space"),
        (120, "Free space"),
        (126, "noexec"),
        (137, "killed"),
        (5, "damaged"),
    ],
)
def test_extension_that_cannot_run_is_advised_upon_by_its_exit_code(exit_code: int, advice: str) -> None:
    said = f"Non-zero exit code: {exit_code}, handle.sh enable"
    why = judge(outcome(code=1009, taken=False, message=said), vm_name="vm").why
    assert why is not None
    assert advice in why.advice


@pytest.mark.parametrize(("code", "rung"), [(0, Consistency.APPLICATION), (1, Consistency.FILE_SYSTEM)])
def test_unreadable_freeze_rules_are_told_and_cost_no_rung(code: int, rung: Consistency) -> None:
    verdict = judge(outcome(code=code, health_code=600), vm_name="vm")
    assert verdict.consistency is rung
    assert isinstance(verdict.why, FreezeConfigEncoding)


def test_void_capture_reaches_nothing_even_with_a_good_code() -> None:
    assert judge(outcome(void=True), vm_name="vm").consistency is None


@pytest.mark.parametrize(("code", "error"), [(300, PreScriptFailed), (301, PostScriptFailed)])
def test_script_that_must_not_fail_fails_the_backup(code: int, error: type[ScriptFailed]) -> None:
    with pytest.raises(error, match="rc 7"):
        judge(outcome(code=code, message="rc 7"), vm_name="vm")
