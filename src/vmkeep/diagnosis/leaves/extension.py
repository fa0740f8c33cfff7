"""Causes in the snapshot extension and in the freeze: what the extension said stands in the backup's record."""

from vmkeep.diagnosis.cause import Answer, ByCodes, Cause, Mend, Reading, by, holds, unknown
from vmkeep.diagnosis.evidence import GuestFact, JobFact, Seen
from vmkeep.diagnosis.leaves.host import is_starved

_WRONG_ENCODING = ByCodes.recorded("VMBackupLinuxExtensionConfFileWrongEncodingFormat")
_NO_STATUS = ByCodes.recorded("GuestAgentSnapshotTaskStatusError")
_FAILED = ByCodes.recorded(
    "ExtensionOperationFailedForManagedDisks",
    "ExtensionStuckInDeletionState",
    "ExtensionInstallationFailure",
    "ExtensionConfigParsingFailure",
    "GuestAgentCertificateNotFound",
)
_KILLED = {"137", "-9"}
"""Exit codes of a shell whose command was killed, and of a command that was."""
_FORBIDDEN = "126"


def _wrong_encoding(seen: Seen) -> Reading:
    if seen.value(GuestFact.BACKUP_CONF) == "utf-16":
        return holds(GuestFact.BACKUP_CONF)
    return _WRONG_ENCODING(seen)


def _denied(seen: Seen) -> Reading:
    said = _FAILED(seen)
    if not said.holds:
        return said
    if seen.value(JobFact.EXIT_CODE) in _KILLED:
        return holds(*said.facts, JobFact.EXIT_CODE)
    missing = "how /var/lib/waagent is mounted, and denials in the guest's kernel log"
    folder = by(seen, GuestFact.AGENT_FOLDER, lambda value: value == "noexec", missing)
    if folder.answer is Answer.REFUTED and seen.value(JobFact.EXIT_CODE) == _FORBIDDEN:
        return unknown("what forbids to run the extension: AppArmor or SELinux in the guest's kernel log")
    return folder


def _failed_or_stuck(seen: Seen) -> Reading:
    """Return whether the extension said so, or stands still: waiting for a disk counts only after a task without an end."""
    states = set(seen.value(GuestFact.EXTENSION_PROCESS) or "")
    is_late = _NO_STATUS(seen).holds
    if states & set("Tt") or ("D" in states and is_late and not is_starved(seen)):
        return holds(GuestFact.EXTENSION_PROCESS, JobFact.CODES)
    return _FAILED(seen)


LEAVES = (
    Cause(
        "X3",
        "the extension's settings file is not plain text",
        "Convert it: iconv -f UTF-16 -t ASCII /etc/azure/vmbackup.conf.",
        _wrong_encoding,
        Mend.REPAIR_SETTINGS,
    ),
    Cause(
        "F1",
        "a file system cannot be frozen",
        "Unmount, fsck and mount the one that the job names again, or name it in MountsToSkip of /etc/azure/vmbackup.conf.",
        ByCodes.recorded("UserErrorFsFreezeFailed", "UserErrorUnableToOpenMount"),
        Mend.THAW,
    ),
    Cause(
        "F2",
        "the freeze timed out: too much unwritten data or slow disks",
        "Back up when fewer writes wait, or give the disks more IOPS.",
        ByCodes.recorded("UserErrorFsFreezeTimeout", "FreezeBroken"),
    ),
    Cause(
        "F3",
        "a pre- or post-script failed or timed out",
        "Mend the script named in the job's error: root's own, mode 700, ending in time.",
        ByCodes.recorded(
            "Pre-ScriptExecutionFailed",
            "Post-ScriptExecutionFailed",
            "Pre-ScriptNotFound",
            "Post-ScriptNotFound",
            "InsufficientPermissionforPre-Script",
            "InsufficientPermissionforPost-Script",
            "Pre-ScriptTimeout",
            "Post-ScriptTimeout",
            "IncorrectPluginhostFile",
            "IncorrectJSONConfigFile",
        ),
    ),
    Cause(
        "N4",
        "the extension cannot reach the snapshot endpoint, though the agent reaches the wire server",
        "vmkeep's extension talks to 168.63.129.16 only, TCP 80 and 32526: allow both, and exempt it from proxies.",
        ByCodes.recorded("ExtensionSnapshotFailedNoNetwork"),
    ),
    Cause(
        "X2",
        "something in the guest kills the extension or denies it",
        "Exempt /var/lib/waagent from anti-virus, SELinux or AppArmor denial, and from noexec.",
        _denied,
    ),
    Cause(
        "X1",
        "the extension failed or is stuck",
        "Remove its folder under /var/lib/waagent and restart the agent; the next backup installs it again.",
        _failed_or_stuck,
        Mend.REMOVE_EXTENSION,
    ),
)
