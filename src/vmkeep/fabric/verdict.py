"""What the numbers of the snapshot extension mean for a capture."""

from dataclasses import dataclass

from vmkeep.fabric.script_errors import (
    IncorrectJsonConfigFile,
    IncorrectPluginhostFile,
    PostScriptFailed,
    PostScriptNotFound,
    PostScriptPermission,
    PostScriptTimedOut,
    PreScriptFailed,
    PreScriptNotFound,
    PreScriptPermission,
    PreScriptTimedOut,
    ScriptFailed,
)
from vmkeep.fabric.wire.tasks import SnapshotOutcome
from vmkeep.model.machine import Consistency
from vmkeep.model.restore_point import Warned

APPLICATION_CONSISTENT = 0
FILE_SYSTEM_CONSISTENT = 1

_AZURE_CODES = {
    2: "ExtensionOperationFailedForManagedDisks",
    11: "ExtensionConfigParsingFailure",
    15: "ExtensionSnapshotFailedNoNetwork",
    16: "ExtensionConfigParsingFailure",
    17: "BackUpOperationFailedV2",
    76: "ExtensionSnapshotFailedNoNetwork",
    85: "ExtensionFailedSnapshotLimitReachedError",
    121: "UserErrorFsFreezeFailed",
    122: "UserErrorFsFreezeFailed",
    123: "UserErrorUnableToOpenMount",
    402: "GuestAgentSnapshotTaskStatusError",
}
_ANY_OTHER = "ExtensionOperationFailedForManagedDisks"

_SCRIPT_ERRORS: dict[int, type[ScriptFailed]] = {
    300: PreScriptFailed,
    301: PostScriptFailed,
    302: PreScriptNotFound,
    303: PostScriptNotFound,
    304: IncorrectPluginhostFile,
    305: IncorrectJsonConfigFile,
    306: PreScriptPermission,
    307: PostScriptPermission,
    308: PreScriptTimedOut,
    309: PostScriptTimedOut,
    310: PreScriptTimedOut,
    311: PostScriptTimedOut,
    313: IncorrectPluginhostFile,
    314: IncorrectPluginhostFile,
    315: IncorrectPluginhostFile,
    317: IncorrectJsonConfigFile,
    318: IncorrectJsonConfigFile,
}
"""Final codes of the script framework. The guest's owner asked that a failing script fail the backup
(`continueBackupOnFailure` is false), so none of these falls to a lower rung."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an outcome is good for: a consistency reached, or None and the reason in `warnings`."""

    consistency: Consistency | None
    warnings: tuple[Warned, ...] = ()


def judge(outcome: SnapshotOutcome, *, vm_name: str) -> Verdict:
    """Return what the extension reached. Raises ScriptFailed when a pre- or post-script failed the backup."""
    if outcome.code in _SCRIPT_ERRORS:
        raise _SCRIPT_ERRORS[outcome.code](vm_name, outcome.message)
    if outcome.void or outcome.code not in {APPLICATION_CONSISTENT, FILE_SYSTEM_CONSISTENT}:
        code = _AZURE_CODES.get(outcome.code, _ANY_OTHER)
        why = f"the snapshot extension ended with code {outcome.code}: {outcome.message or 'no message'}"
        return Verdict(None, (Warned(code, why),))
    if outcome.health_code == 0 and outcome.code == APPLICATION_CONSISTENT:
        return Verdict(Consistency.APPLICATION)
    return Verdict(Consistency.FILE_SYSTEM, _script_warning(outcome, vm_name))


def _script_warning(outcome: SnapshotOutcome, vm_name: str) -> tuple[Warned, ...]:
    """Return what went wrong in scripts that may fail without failing the backup."""
    kind = _SCRIPT_ERRORS.get(outcome.health_code)
    if kind is None:
        return ()
    return (Warned(kind.code, str(kind(vm_name, outcome.message))),)
