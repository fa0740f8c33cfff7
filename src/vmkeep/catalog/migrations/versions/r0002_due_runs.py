"""Backups that are due and have not begun."""

from alembic import op
from sqlalchemy import Column, DateTime, ForeignKeyConstraint, PrimaryKeyConstraint, String

revision = "0002"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "due_runs",
        Column("item_id", String, nullable=False),
        Column("due", DateTime(timezone=True), nullable=False),
        PrimaryKeyConstraint("item_id", name="pk_due_runs"),
        ForeignKeyConstraint(["item_id"], ["items.id"], name="fk_due_runs_item_id", ondelete="CASCADE"),
    )
