"""Jobs: what the user sees of long work."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class JobOperation(StrEnum):
    """What a job does; the wire spelling of Azure Backup."""

    BACKUP = "Backup"
    RESTORE = "Restore"
    CONFIGURE_BACKUP = "ConfigureBackup"
    DISABLE_BACKUP = "DisableBackup"
    DELETE_BACKUP_DATA = "DeleteBackupData"
    DELETE_RESTORE_POINTS = "DeleteRestorePoints"
    """Ours: Azure deletes restore point collections without a backup job."""


class JobStatus(StrEnum):
    """Where a job stands; the wire spelling of Azure Backup."""

    IN_PROGRESS = "InProgress"
    CANCELLING = "Cancelling"
    COMPLETED = "Completed"
    COMPLETED_WITH_WARNINGS = "CompletedWithWarnings"
    FAILED = "Failed"
    CANCELLED = "Cancelled"

    @property
    def running(self) -> bool:
        """Whether the job may still change."""
        return self in {JobStatus.IN_PROGRESS, JobStatus.CANCELLING}


class TaskName(StrEnum):
    """The tasks of VM jobs, named as Azure Backup names them."""

    TAKE_SNAPSHOT = "Take Snapshot"
    TRANSFER = "Transfer data to vault"
    TRANSFER_BACK = "Transfer data from vault"
    CREATE_VM = "Create the restored virtual machine"


class TaskStatus(StrEnum):
    """Where a task stands."""

    NOT_STARTED = "NotStarted"
    IN_PROGRESS = "InProgress"
    COMPLETED = "Completed"
    FAILED = "Failed"
    CANCELLED = "Cancelled"


@dataclass(frozen=True, slots=True)
class JobTask:
    """One line of a job's task list. `details` is one sentence on the phase it is in."""

    name: TaskName
    status: TaskStatus = TaskStatus.NOT_STARTED
    started: datetime | None = None
    ended: datetime | None = None
    done_bytes: int = 0
    total_bytes: int = 0
    details: str = ""


@dataclass(frozen=True, slots=True)
class JobError:
    """Why a job failed. `facts` are the error's own fields."""

    code: str
    message: str
    advice: str = ""
    facts: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Job:
    """A job as it stands now."""

    id: str
    vault_id: str
    operation: JobOperation
    status: JobStatus
    reason: str
    """Who or what asked, and why: `user: backup-now`, `policy DefaultPolicy`."""
    started: datetime
    item_id: str = ""
    item_name: str = ""
    """Name of the VM, as people know it."""
    ended: datetime | None = None
    tasks: tuple[JobTask, ...] = ()
    error: JobError | None = None
    warnings: tuple[JobError, ...] = ()
    properties: dict[str, str] = field(default_factory=dict)
    """What the job measured or made: `Frozen Seconds`, `Recovery Point`, `Bytes Read`, `Bytes Stored`."""
