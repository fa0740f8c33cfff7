"""The least consistency that an item's recovery points must have; until now any was taken."""

from alembic import op
from sqlalchemy import Column, String

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column."""
    op.add_column("items", Column("least_consistency", String, nullable=False, server_default="crash"))
