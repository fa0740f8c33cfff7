"""Causes on our own side, and causes that the host alone can see. They are looked at first."""

from vmkeep.diagnosis.cause import ByCodes, Cause, Mend, Reading, by, holds, refuted, unknown
from vmkeep.diagnosis.evidence import HostFact, JobFact, Seen

_LIMIT_REACHED = "UserErrorRpCollectionLimitReached"
_REFUSED_FOR_LIMIT = ByCodes.recorded(_LIMIT_REACHED)
_LATE = ByCodes.recorded("UserErrorGuestAgentStatusUnavailable", "GuestAgentSnapshotTaskStatusError")
PRESSURE_SPAN_S = 300
"""How long after a backup's end a figure still tells of it: the span of the kernel's figures of pressure."""
_STARVED = {HostFact.CPU_WAIT: 80, HostFact.MEMORY_PRESSURE: 20}
"""Percent from which a VM counts as starved. That its host's CPUs are busy (CPU_PRESSURE) starves nobody yet."""


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


def is_starved(seen: Seen) -> bool:
    """Whether the VM has had too little CPU time or memory to be judged by what it does late or slowly."""
    return any(_is_starving(seen, fact) for fact in _STARVED)


def _is_starving(seen: Seen, fact: HostFact) -> bool:
    return int(seen.value(fact) or 0) >= _STARVED[fact]


def _starved(seen: Seen) -> Reading:
    """Return whether a late answer met a starved VM; one that has enough now may have had too little then."""
    late = _LATE(seen)
    if not late.holds:
        return late
    ended = seen.find(JobFact.CODES)
    for fact in _STARVED:
        found = seen.find(fact)
        is_of_then = found and ended and (found.at - ended.at).total_seconds() <= PRESSURE_SPAN_S
        if is_of_then and _is_starving(seen, fact):
            return holds(fact, *late.facts)
    return unknown("what the VM had of the host's CPUs and memory while the job ran")


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
