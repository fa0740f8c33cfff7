"""Causes on our own side, and causes that the host alone can see. They are looked at first."""

from vmkeep.diagnosis.cause import Cause, Reading, by, holds, not_observable, refuted, unknown
from vmkeep.diagnosis.evidence import HostFact, Seen

_LIMIT_REACHED = "UserErrorRpCollectionLimitReached"
_READY_STATES = {"running", "off"}


def _refused_with(*codes: str) -> "_ByObstacle":
    return _ByObstacle(frozenset(codes))


class _ByObstacle:
    """Holds exactly when a backup would be refused with one of some codes now."""

    def __init__(self, codes: frozenset[str]) -> None:
        self._codes = codes

    def __call__(self, seen: Seen) -> Reading:
        missing = "what a backup would be refused for now"
        return by(seen, HostFact.OBSTACLES, lambda value: bool(self._codes & set(value.split())), missing)


def _limit_with_locks(seen: Seen, *, locked: bool) -> Reading:
    obstacles, locks = seen.value(HostFact.OBSTACLES), seen.value(HostFact.LOCKS)
    if obstacles is None:
        return unknown("the number of restore points on this host")
    if _LIMIT_REACHED not in obstacles.split():
        return refuted(HostFact.OBSTACLES)
    if locks is None:
        return unknown("the locks on the restore points")
    facts = (HostFact.OBSTACLES, HostFact.LOCKS)
    return holds(*facts) if (locks != "0") is locked else refuted(*facts)


def _wire_server(seen: Seen) -> Reading:
    missing = "whether our own wire server serves"
    return by(seen, HostFact.WIRE_SERVER, lambda value: value != "serving", missing)


def _state(seen: Seen) -> Reading:
    missing = "the VM's state from libvirt"
    return by(seen, HostFact.VM_STATE, lambda value: value not in _READY_STATES, missing)


LEAVES = (
    Cause(
        "N5",
        "vmkeep's own wire server does not serve the VM's network",
        "This is our side: see the service's log for wire.*, then restart vmkeep. The guest is not to blame.",
        _wire_server,
    ),
    Cause(
        "V1",
        "the VM is in a state that allows no backup",
        "Let the VM run, or shut it down: resume a paused one, reset a crashed one (virsh resume, virsh reset).",
        _state,
    ),
    Cause(
        "D1",
        "a disk is too large, or there are too many disks",
        "Split the disk, leave it out (vmkeep protection update-for-vm --disk-list-setting exclude), or raise the limit.",
        _refused_with("UserErrorUnsupportedDiskSize", "UserErrorBcmUnsupportedDiskCount"),
    ),
    Cause(
        "R1",
        "a lock keeps restore points from being cleaned up, and their limit is reached",
        "Remove the lock (vmkeep lock list, vmkeep lock delete), then back up once more to start the clean-up.",
        lambda seen: _limit_with_locks(seen, locked=True),
    ),
    Cause(
        "R2",
        "too many backups in a few days: the limit of restore points is reached without any lock",
        "Keep instant restore points fewer days or back up less often; the next backup starts the clean-up.",
        lambda seen: _limit_with_locks(seen, locked=False),
    ),
    Cause(
        "V3",
        "the host's storage has no room for new layers",
        "Make room in the folder of the VM's disks, then back up again.",
        _refused_with("HostStorageFull"),
    ),
    Cause(
        "J1",
        "another job of the VM is in progress",
        "Wait for it, or stop it: vmkeep job list --status InProgress, vmkeep job stop.",
        _refused_with("UserErrorBackupOperationInProgress"),
    ),
    Cause(
        "K1",
        "the key vault does not let the service use the vault's key",
        "Grant the service get, wrap and unwrap on the key, wait a few minutes, back up again.",
        _refused_with("UserErrorKeyvaultPermissionsNotConfigured"),
    ),
)

LATE_LEAVES = (
    Cause(
        "V2",
        "the host or the VM is starved of CPU or memory",
        "Back up off-peak, or give the VM more.",
        not_observable("CPU and memory pressure while the job ran"),
    ),
)
