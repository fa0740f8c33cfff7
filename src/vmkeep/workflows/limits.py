"""Numbers that bound the work."""

from dataclasses import dataclass
from datetime import timedelta

from vmkeep.base.units import GIB


@dataclass(frozen=True, slots=True)
class Limits:
    """How much at most, how often, how long."""

    transfers_at_once: int = 2
    """Transfers running at the same time on one host; the others wait."""
    scheduled_at_once: int = 4
    """Scheduled backups running at the same time on one host: two carry data, two freeze and wait behind them."""
    schedule_look: str = "* * * * *"
    """When schedules are looked at, as a cron line in UTC; with six fields the first is the second."""
    jobs_kept: timedelta = timedelta(days=183)
    """How long ended jobs stay in the list, as in Azure Backup."""
    journal_kept: timedelta = timedelta(days=7)
    """How long ended workflows stay in the journal."""
    disk_bytes: int = 4095 * GIB
    """Largest disk that is backed up; Azure Backup's own limit of the year that its error names."""
    disks: int = 33
    """Most disks of a VM that are backed up: an OS disk and 32 data disks, as in Azure Backup."""
    claim_s: float = 60.0
    """How long a job is believed to be about to begin although no workflow carries it."""
    instant_points: int = 18
    """Restore points a VM may have at any time, as in Azure Backup."""
    collection_delete_s: float = 600.0
    """How long one deletion of a restore point collection may take; what is left is for the next."""
    progress_interval_s: float = 0.5
    """Least time between two notes of a job's progress."""
    prune_grace: timedelta = timedelta(days=1)
    """How long data that nothing references stays in a repository."""
    upkeep_attempts: int = 8
    """How often a merge or a clean-up that failed is tried again."""
    upkeep_pause_s: float = 60.0
    """Pause before the first of these attempts; doubled for each one after."""
    upkeep_look_s: float = 1.0
    """How often the queue of merges and clean-ups is looked at."""
    remedy_look_s: float = 5.0
    """Pause before each look at whether an automatic remedy helped; the backup that proves it follows after 36 at most."""
    closing_s: float = 10.0
    """How long closing waits for running steps to reach a place where they can stop."""
