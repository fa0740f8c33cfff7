"""Which disks an item selects and a recovery point has; an old vault may keep the points of a VM protected anew."""

from alembic import op
from sqlalchemy import JSON, Column, text

revision = "0004"
down_revision = "0001"
branch_labels = None
depends_on = None

BY_VM_NAME = ("vault_id", text("lower(resource_group)"), text("lower(vm_name)"))


def upgrade() -> None:
    """Add the columns; a VM has one active item, and stopped ones in other vaults."""
    op.drop_index("items_by_vm_name", "items")  # SQLite makes the table anew and would lose it
    with op.batch_alter_table("items", reflect_kwargs={"resolve_fks": False}) as items:
        items.add_column(Column("disk_selection", JSON))
        items.drop_constraint("uq_items_vm_uuid", type_="unique")
    op.create_index("items_by_vm_name", "items", [*BY_VM_NAME])
    active = text("state NOT IN ('ProtectionStopped', 'BackupsSuspended')")
    op.create_index(
        "items_one_active_per_vm",
        "items",
        ["vm_uuid"],
        unique=True,
        sqlite_where=active,
        postgresql_where=active,
    )
    op.create_index("items_one_per_vault_and_vm", "items", ["vault_id", "vm_uuid"], unique=True)
    op.add_column("recovery_points", Column("disks", JSON, nullable=False, server_default="[]"))
