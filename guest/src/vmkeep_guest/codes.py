"""The result codes that the host understands, and the health colour each paints the VM in.

They are Azure's own numbers for this extension; `docs/formats/wire-extension.md` lists them with their meaning.
"""

APPLICATION_CONSISTENT = 0
SUCCESS = 1
ERROR = 2
RUNNING = 4
BAD_PARAMETER = 11
NO_SETTINGS = 16
NO_DISK_CHOSEN = 17
SNAPSHOT_FAILED = 76
FREEZE_FAILED = 121
FREEZE_TIMEOUT = 122
MOUNT_NOT_OPENED = 123
PRE_SCRIPT_FAILED = 300
POST_SCRIPT_FAILED = 301
OUTER_CONFIG_UNREADABLE = 304
CONFIG_UNREADABLE = 305
OUTER_CONFIG_PERMISSION = 314
OUTER_CONFIG_OWNERSHIP = 315
CONFIG_PERMISSION = 317
CONFIG_OWNERSHIP = 318
TOO_LATE = 402
RULES_UNREADABLE = 600
"""*Ours*, only ever a health code: `vmbackup.conf` could not be read, so it was not heeded."""
SOME_DISKS_FAILED = 761
"""Only ever a health code, beside result code 76."""

GREEN, YELLOW, RED = 0, 128, 256

_RED = {SNAPSHOT_FAILED, TOO_LATE, SOME_DISKS_FAILED}
_YELLOW = {BAD_PARAMETER, NO_SETTINGS, FREEZE_FAILED, FREEZE_TIMEOUT, MOUNT_NOT_OPENED, RULES_UNREADABLE}


def health_state(code: int) -> int:
    """Return the colour of `code`: green, yellow or red."""
    if code in _RED:
        return RED
    return YELLOW if code in _YELLOW or PRE_SCRIPT_FAILED <= code <= CONFIG_OWNERSHIP else GREEN
