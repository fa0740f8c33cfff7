"""Recovery points carry the keys of their encrypted disks."""

from alembic import op
from sqlalchemy import JSON, Column

revision = "0008"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column."""
    op.add_column("recovery_points", Column("disk_keys", JSON, nullable=False, server_default="[]"))
