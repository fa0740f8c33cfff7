"""The first schema: vaults, policies, items, recovery points, jobs, settings."""

from alembic import op
from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    LargeBinary,
    PrimaryKeyConstraint,
    String,
    Text,
    UniqueConstraint,
    text,
)

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TIME = DateTime(timezone=True)


def upgrade() -> None:
    """Make all tables."""
    _vaults_and_policies()
    _items_and_points()
    _jobs_and_settings()


def _vaults_and_policies() -> None:
    op.create_table(
        "vaults",
        Column("id", String, nullable=False),
        Column("name", String, nullable=False),
        Column("resource_group", String, nullable=False),
        Column("location", String, nullable=False),
        Column("repository_url", String, nullable=False),
        Column("wrapped_key", LargeBinary, nullable=False),
        Column("created", TIME, nullable=False),
        Column("properties", JSON, nullable=False),
        Column("tags", JSON, nullable=False),
        PrimaryKeyConstraint("id", name="pk_vaults"),
    )
    op.create_index(
        "vaults_by_name", "vaults", [text("lower(resource_group)"), text("lower(name)")], unique=True
    )
    op.create_table(
        "policies",
        Column("vault_id", String, nullable=False),
        Column("name", String, nullable=False),
        Column("properties", JSON, nullable=False),
        PrimaryKeyConstraint("vault_id", "name", name="pk_policies"),
        ForeignKeyConstraint(["vault_id"], ["vaults.id"], name="fk_policies_vault_id", ondelete="CASCADE"),
    )
    op.create_index("policies_by_name", "policies", ["vault_id", text("lower(name)")], unique=True)


def _items_and_points() -> None:
    op.create_table(
        "items",
        Column("id", String, nullable=False),
        Column("vault_id", String, ForeignKey("vaults.id", name="fk_items_vault_id"), nullable=False),
        Column("vm_uuid", String, nullable=False),
        Column("vm_name", String, nullable=False),
        Column("resource_group", String, nullable=False),
        Column("policy_name", String),
        Column("state", String, nullable=False),
        Column("created", TIME, nullable=False),
        Column("last_backup", TIME),
        Column("last_backup_status", String, nullable=False),
        Column("last_recovery_point", TIME),
        PrimaryKeyConstraint("id", name="pk_items"),
        UniqueConstraint("vm_uuid", name="uq_items_vm_uuid"),
        ForeignKeyConstraint(
            ["vault_id", "policy_name"], ["policies.vault_id", "policies.name"], name="fk_items_policy"
        ),
    )
    op.create_index(
        "items_by_vm_name", "items", ["vault_id", text("lower(resource_group)"), text("lower(vm_name)")]
    )
    op.create_table(
        "recovery_points",
        Column("id", String, nullable=False),
        Column("item_id", String, ForeignKey("items.id", name="fk_recovery_points_item_id"), nullable=False),
        Column("time", TIME, nullable=False),
        Column("consistency", String, nullable=False),
        Column("restore_point", JSON),
        Column("manifest_id", String, nullable=False),
        Column("retain_until", TIME),
        Column("size_bytes", BigInteger, nullable=False),
        Column("stored_bytes", BigInteger, nullable=False),
        Column("machine_xml", Text, nullable=False),
        Column("warnings", JSON, nullable=False),
        PrimaryKeyConstraint("id", name="pk_recovery_points"),
    )
    op.create_index("recovery_points_by_item", "recovery_points", ["item_id", "time"])


def _jobs_and_settings() -> None:
    op.create_table(
        "jobs",
        Column("id", String, nullable=False),
        Column("vault_id", String, nullable=False),
        Column("item_id", String, nullable=False),
        Column("item_name", String, nullable=False),
        Column("operation", String, nullable=False),
        Column("status", String, nullable=False),
        Column("reason", String, nullable=False),
        Column("started", TIME, nullable=False),
        Column("ended", TIME),
        Column("tasks", JSON, nullable=False),
        Column("error", JSON),
        Column("warnings", JSON, nullable=False),
        Column("properties", JSON, nullable=False),
        PrimaryKeyConstraint("id", name="pk_jobs"),
        ForeignKeyConstraint(["vault_id"], ["vaults.id"], name="fk_jobs_vault_id", ondelete="CASCADE"),
    )
    op.create_index("jobs_by_start", "jobs", ["started"])
    op.create_index("jobs_by_item", "jobs", ["item_id", "started"])
    running = text("status IN ('InProgress', 'Cancelling') AND item_id <> ''")
    op.create_index(
        "jobs_one_running_per_item",
        "jobs",
        ["item_id"],
        unique=True,
        sqlite_where=running,
        postgresql_where=running,
    )
    op.create_table(
        "settings",
        Column("key", String, nullable=False),
        Column("value", String, nullable=False),
        PrimaryKeyConstraint("key", name="pk_settings"),
    )
