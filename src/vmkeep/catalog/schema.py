"""The tables. A column is named as the field of the record it keeps: `Job(**row._mapping)` is a job.

A change here needs a migration (`migrations/versions`); a test compares the two.
"""

from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    func,
    text,
)

from vmkeep.catalog.columns import Structure, UtcTime, Word
from vmkeep.model.disk_key import CarriedKey
from vmkeep.model.disk_selection import DiskSelection
from vmkeep.model.job import JobError, JobOperation, JobStatus, JobTask, TaskName, TaskStatus
from vmkeep.model.lock import LockLevel
from vmkeep.model.machine import Consistency
from vmkeep.model.protection import ProtectionState
from vmkeep.model.restore_point import PointDisk, RestorePoint, Warned

metadata = MetaData(
    naming_convention={"pk": "pk_%(table_name)s", "fk": "fk_%(table_name)s_%(column_0_name)s"},
)


def _write_task(task: JobTask) -> dict[str, Any]:  # JSON values
    times = {
        name: value and value.isoformat()
        for name, value in (("started", task.started), ("ended", task.ended))
    }
    return {**asdict(task), **times}


def _read_task(data: dict[str, Any]) -> JobTask:  # JSON values
    times = {name: data[name] and datetime.fromisoformat(data[name]) for name in ("started", "ended")}
    return JobTask(**{**data, **times, "name": TaskName(data["name"]), "status": TaskStatus(data["status"])})


_TASKS = Structure[tuple[JobTask, ...]](
    lambda tasks: [_write_task(task) for task in tasks], lambda data: tuple(_read_task(task) for task in data)
)
_ERROR = Structure[JobError](asdict, lambda data: JobError(**data))
_ERRORS = Structure[tuple[JobError, ...]](
    lambda errors: [asdict(error) for error in errors],
    lambda data: tuple(JobError(**error) for error in data),
)
_WARNED = Structure[tuple[Warned, ...]](
    lambda warned: [asdict(one) for one in warned], lambda data: tuple(Warned(**one) for one in data)
)
_DISKS = Structure[tuple[PointDisk, ...]](
    lambda disks: [asdict(disk) for disk in disks], lambda data: tuple(PointDisk(**disk) for disk in data)
)
_SELECTION = Structure[DiskSelection](
    asdict, lambda data: DiskSelection(data["included"], tuple(data["luns"]), tuple(data["names"]))
)
_DISK_KEYS = Structure[tuple[CarriedKey, ...]](
    lambda keys: [key.to_json() for key in keys],
    lambda data: tuple(CarriedKey.from_json(key) for key in data),
)
_RESTORE_POINT = Structure[RestorePoint](RestorePoint.to_json, RestorePoint.from_json)

vaults = Table(
    "vaults",
    metadata,
    Column("id", String, primary_key=True),
    Column("name", String, nullable=False),
    Column("resource_group", String, nullable=False),
    Column("location", String, nullable=False),
    Column("repository_url", String, nullable=False),
    Column("wrapped_key", LargeBinary, nullable=False),
    Column("created", UtcTime, nullable=False),
    Column("properties", JSON, nullable=False),
    Column("tags", JSON, nullable=False),
)
Index("vaults_by_name", func.lower(vaults.c.resource_group), func.lower(vaults.c.name), unique=True)

policies = Table(
    "policies",
    metadata,
    Column("vault_id", ForeignKey(vaults.c.id, ondelete="CASCADE"), primary_key=True),
    Column("name", String, primary_key=True),
    Column("properties", JSON, nullable=False),
)
Index("policies_by_name", policies.c.vault_id, func.lower(policies.c.name), unique=True)

items = Table(
    "items",
    metadata,
    Column("id", String, primary_key=True),
    Column("vault_id", ForeignKey(vaults.c.id), nullable=False),
    Column("vm_uuid", String, nullable=False),
    Column("vm_name", String, nullable=False),
    Column("resource_group", String, nullable=False),
    Column("policy_name", String),  # NULL: no policy, when protection is stopped
    Column("state", Word(ProtectionState), nullable=False),
    Column("created", UtcTime, nullable=False),
    Column("last_backup", UtcTime),
    Column("last_backup_status", String, nullable=False),
    Column("last_recovery_point", UtcTime),
    Column("disk_selection", _SELECTION),
    Column("least_consistency", Word(Consistency), nullable=False),
    ForeignKeyConstraint(
        ["vault_id", "policy_name"], [policies.c.vault_id, policies.c.name], name="fk_items_policy"
    ),
)
_ACTIVE = text("state NOT IN ('ProtectionStopped', 'BackupsSuspended')")
Index("items_one_active_per_vm", items.c.vm_uuid, unique=True, sqlite_where=_ACTIVE, postgresql_where=_ACTIVE)
Index("items_one_per_vault_and_vm", items.c.vault_id, items.c.vm_uuid, unique=True)
Index("items_by_vm_name", items.c.vault_id, func.lower(items.c.resource_group), func.lower(items.c.vm_name))

recovery_points = Table(
    "recovery_points",
    metadata,
    Column("id", String, primary_key=True),
    Column("item_id", ForeignKey(items.c.id), nullable=False),
    Column("time", UtcTime, nullable=False),
    Column("consistency", Word(Consistency), nullable=False),
    Column("restore_point", _RESTORE_POINT),
    Column("manifest_id", String, nullable=False),
    Column("retain_until", UtcTime),
    Column("size_bytes", BigInteger, nullable=False),
    Column("stored_bytes", BigInteger, nullable=False),
    Column("machine_xml", Text, nullable=False),
    Column("warnings", _WARNED, nullable=False),
    Column("disks", _DISKS, nullable=False),
    Column("disk_keys", _DISK_KEYS, nullable=False),
    Index("recovery_points_by_item", "item_id", "time"),
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", String, primary_key=True),
    Column("vault_id", ForeignKey(vaults.c.id, ondelete="CASCADE"), nullable=False),
    Column("item_id", String, nullable=False),  # the job outlives its item
    Column("item_name", String, nullable=False),
    Column("operation", Word(JobOperation), nullable=False),
    Column("status", Word(JobStatus), nullable=False),
    Column("reason", String, nullable=False),
    Column("started", UtcTime, nullable=False),
    Column("ended", UtcTime),
    Column("tasks", _TASKS, nullable=False),
    Column("error", _ERROR),
    Column("warnings", _ERRORS, nullable=False),
    Column("properties", JSON, nullable=False),
    Index("jobs_by_start", "started"),
    Index("jobs_by_item", "item_id", "started"),
)

diagnoses = Table(
    "diagnoses",
    metadata,
    Column("job_id", ForeignKey(jobs.c.id, ondelete="CASCADE"), primary_key=True),
    Column("time", UtcTime, primary_key=True),
    Column("content", JSON, nullable=False),
)

_RUNNING = text("status IN ('InProgress', 'Cancelling') AND item_id <> ''")
Index(
    "jobs_one_running_per_item", jobs.c.item_id, unique=True, sqlite_where=_RUNNING, postgresql_where=_RUNNING
)

due_runs = Table(
    "due_runs",
    metadata,
    Column("item_id", ForeignKey(items.c.id, ondelete="CASCADE"), primary_key=True),
    Column("due", UtcTime, nullable=False),
)

settings = Table(
    "settings",
    metadata,
    Column("key", String, primary_key=True),
    Column("value", String, nullable=False),
)

locks = Table(
    "locks",
    metadata,
    Column("scope", String, primary_key=True),
    Column("name", String, primary_key=True),
    Column("level", Word(LockLevel), nullable=False),
    Column("created", UtcTime, nullable=False),
    Column("notes", Text, nullable=False),
)
Index("locks_by_scope", func.lower(locks.c.scope), func.lower(locks.c.name), unique=True)
