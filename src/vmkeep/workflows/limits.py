"""Numbers that bound the work."""

from dataclasses import dataclass
from datetime import timedelta

from vmkeep.base.units import TIB


@dataclass(frozen=True, slots=True)
class Limits:
    """How much at most, how often, how long."""

    transfers_at_once: int = 2
    """Transfers running at the same time on one host; the others wait."""
    disk_bytes: int = 64 * TIB
    """Largest disk that is backed up."""
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
    closing_s: float = 10.0
    """How long closing waits for running steps to reach a place where they can stop."""
