"""Causes on our own side, and causes that the host alone can see. They are looked at first."""

from vmkeep.diagnosis.cause import ByCodes, Cause, Mend, Reading, by, holds, refuted, unknown
from vmkeep.diagnosis.evidence import HostFact, JobFact, Seen

_LIMIT_REACHED = "UserErrorRpCollectionLimitReached"
_REFUSED_FOR_LIMIT = ByCodes.recorded(_LIMIT_REACHED)
_LATE = ByCodes.recorded("UserErrorGuestAgentStatusUnavailable", "GuestAgentSnapshotTaskStatusError")
PRESSURE_SPAN_S = 300
"""What a figure of pressure is about."""
_STARVED = {HostFact.CPU_PRESSURE: 80, HostFact.MEMORY_PRESSURE: 20}
"""Percent from which a host counts as starved."""


def _limit_with_locks(seen: Seen, *, locked: bool) -> Reading:
    """Read the limit of now or of the last backup: one that was refused has begun to make room."""
    obstacles, locks = seen.value(HostFact.OBSTACLES), seen.value(HostFact.LOCKS)
    if obstacles is None:
        return unknown("the number of restore points on this host")
    if _LIMIT_REACHED not in obstacles.split():
        if not _REFUSED_FOR_LIMIT(seen).holds:
            return refuted(HostFact.OBSTACLES)
        by_record = (JobFact.CODES, JobFact.LIMIT_LOCKS)
        was_locked = seen.value(JobFact.LIMIT_LOCKS) != "none"
        return holds(*by_record) if was_locked is locked else refuted(*by_record)
    if locks is None:
        return unknown("the locks on the restore points")
    facts = (HostFact.OBSTACLES, HostFact.LOCKS)
    return holds(*facts) if (locks != "0") is locked else refuted(*facts)


def _wire_server(seen: Seen) -> Reading:
    missing = "whether our own wire server serves"
    return by(seen, HostFact.WIRE_SERVER, lambda value: value != "serving", missing)


def _job_in_the_way(seen: Seen) -> Reading:
    """Return whether a backup is refused for a job now; a last backup that came to grief did so of something else."""
    if seen.value(JobFact.CODES) not in {None, "none"}:
        return refuted(JobFact.CODES)
    return by(seen, HostFact.RUNNING_JOB, lambda value: value != "none", "whether a job of the VM runs")


def _starved(seen: Seen) -> Reading:
    """Return whether a late answer met a starved host; one that is not starved may have been, or starve this VM alone."""
    late = _LATE(seen)
    if not late.holds:
        return late
    ended = seen.find(JobFact.CODES)
    for fact, least in _STARVED.items():
        found = seen.find(fact)
        is_of_then = found and ended and (found.at - ended.at).total_seconds() <= PRESSURE_SPAN_S
        if found and is_of_then and int(found.value) >= least:
            return holds(fact, *late.facts)
    return unknown("CPU and memory pressure in the VM while the job ran")


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
        ByCodes.now("UserErrorVmNotInDesirableState"),
    ),
    Cause(
        "D1",
        "a disk is too large, or there are too many disks",
        "Split the disk, leave it out (vmkeep protection update-for-vm --disk-list-setting exclude), or raise the limit.",
        ByCodes.now("UserErrorUnsupportedDiskSize", "UserErrorBcmUnsupportedDiskCount"),
    ),
    Cause(
        "R1",
        "a lock keeps restore points from being cleaned up, and their limit is reached",
        "Remove the lock (vmkeep lock list, vmkeep lock delete), then back up once more to start the clean-up.",
        lambda seen: _limit_with_locks(seen, locked=True),
        Mend.REMOVE_LOCKS,
    ),
    Cause(
        "R2",
        "too many backups in a few days: the limit of restore points is reached without any lock",
        "Keep instant restore points fewer days or back up less often; the next backup starts the clean-up.",
        lambda seen: _limit_with_locks(seen, locked=False),
        Mend.CLEAN_COLLECTION,
    ),
    Cause(
        "V3",
        "the host's storage has no room for new layers",
        "Make room in the folder of the VM's disks, then back up again.",
        ByCodes.recorded("HostStorageFull"),
    ),
    Cause(
        "K1",
        "the key vault does not let the backups use a key",
        "Give the backup service its rights on the key vault (vmkeep keyvault set-policy --backup-service), make sure that the "
        "key is enabled, and back up again.",
        ByCodes.now(
            "UserErrorKeyvaultPermissionsNotConfigured",
            "UserErrorCMKMissingMangedIdentityPermissionOnKeyVault",
            "EncryptionKeyUnusable",
        ),
        Mend.GRANT_RIGHTS,
    ),
)

LATE_LEAVES = (
    Cause(
        "V2",
        "the host or the VM is starved of CPU or memory",
        "Back up off-peak, or give the VM more.",
        _starved,
    ),
    Cause(
        "J1",
        "another job of the VM is in progress",
        "Wait for it, or stop it: vmkeep job list --status InProgress, vmkeep job stop.",
        _job_in_the_way,
        Mend.STOP_JOB,
    ),
)
