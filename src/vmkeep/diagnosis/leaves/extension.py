"""Causes in the snapshot extension and in the freeze."""

from vmkeep.diagnosis.cause import Cause, Reading, by, not_observable
from vmkeep.diagnosis.evidence import GuestFact, Seen


def _wrong_encoding(seen: Seen) -> Reading:
    missing = "the encoding of /etc/azure/vmbackup.conf in the guest"
    return by(seen, GuestFact.BACKUP_CONF, lambda value: value == "utf-16", missing)


LEAVES = (
    Cause(
        "X3",
        "the extension's settings file is not plain text",
        "Convert it: iconv -f UTF-16 -t ASCII /etc/azure/vmbackup.conf.",
        _wrong_encoding,
    ),
)

LATE_LEAVES = (
    Cause(
        "X1",
        "the extension failed or is stuck",
        "Remove its folder under /var/lib/waagent and restart the agent; the next backup installs it again.",
        not_observable("the extension's HandlerState and HandlerStatus files"),
    ),
    Cause(
        "X2",
        "something in the guest kills the extension or denies it",
        "Exempt /var/lib/waagent from anti-virus, SELinux or AppArmor denial, and from noexec.",
        not_observable("denials in the guest's audit and kernel log"),
    ),
    Cause(
        "F1",
        "a file system cannot be frozen",
        "Unmount, fsck and mount it again, or name it in MountsToSkip of /etc/azure/vmbackup.conf.",
        not_observable("the extension's log of the freeze"),
    ),
    Cause(
        "F2",
        "the freeze timed out: too much unwritten data or slow disks",
        "Back up when fewer writes wait, or give the disks more IOPS.",
        not_observable("the extension's log of the freeze"),
    ),
    Cause(
        "F3",
        "a pre- or post-script failed or timed out",
        "Mend the script named in the job's error; it must be mode 700 and end in time.",
        not_observable("the script's own exit code"),
    ),
)
