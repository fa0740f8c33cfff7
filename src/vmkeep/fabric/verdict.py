"""What the numbers of the snapshot extension mean for a capture."""

from dataclasses import dataclass

from vmkeep.base.errors import VmkeepError
from vmkeep.fabric.errors import FreezeBroken
from vmkeep.fabric.extension_errors import (
    NO_NETWORK,
    ExtensionFailed,
    FreezeConfigEncoding,
    NothingFrozen,
    SnapshotWithoutNetwork,
    error_of,
)
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
from vmkeep.fabric.wire.tasks import CAPTURED_TOO_LATE, FROZEN, SnapshotOutcome
from vmkeep.model.machine import Consistency

APPLICATION_CONSISTENT = 0
FILE_SYSTEM_CONSISTENT = 1
_CONFIG_ENCODING = 600

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
    """What an outcome is good for: the consistency reached, None for none, and what kept it from a better one."""

    consistency: Consistency | None
    why: VmkeepError | None = None


def judge(outcome: SnapshotOutcome, *, vm_name: str) -> Verdict:
    """Return what the extension reached. Raises ScriptFailed when a pre- or post-script failed the backup."""
    if outcome.code in _SCRIPT_ERRORS:
        raise _SCRIPT_ERRORS[outcome.code](vm_name, outcome.message)
    if outcome.void or outcome.code not in {APPLICATION_CONSISTENT, FILE_SYSTEM_CONSISTENT}:
        return Verdict(None, _failure(outcome, vm_name))
    why = _flaw(outcome, vm_name)
    if outcome.code == APPLICATION_CONSISTENT and outcome.health_code in {0, _CONFIG_ENCODING}:
        return Verdict(Consistency.APPLICATION, why)
    if outcome.nothing_frozen:
        return Verdict(Consistency.CRASH, why or NothingFrozen(vm_name, outcome.code, outcome.message))
    return Verdict(Consistency.FILE_SYSTEM, why)


def _failure(outcome: SnapshotOutcome, vm_name: str) -> VmkeepError:
    """Return why there is no capture. Of the many causes of 76, the one that has to do with the network is told apart.

    It has when the call for the snapshot never came, or when it was answered and the answer did not arrive.
    """
    if outcome.message == CAPTURED_TOO_LATE:
        return FreezeBroken(vm_name)
    if outcome.code == NO_NETWORK and (outcome.taken or FROZEN not in outcome.events):
        return SnapshotWithoutNetwork(vm_name, outcome.code, outcome.message)
    return error_of(outcome.code, vm=vm_name, said=outcome.message, mount=outcome.failed_mount)


def _flaw(outcome: SnapshotOutcome, vm_name: str) -> ScriptFailed | ExtensionFailed | None:
    """Return what went wrong without failing the backup: in scripts that may fail, in what the owner configured."""
    if outcome.health_code == _CONFIG_ENCODING:
        return FreezeConfigEncoding(vm_name, outcome.health_code, outcome.message)
    kind = _SCRIPT_ERRORS.get(outcome.health_code)
    return kind(vm_name, outcome.message) if kind else None
