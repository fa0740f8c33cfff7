"""Management locks."""

from alembic import op
from sqlalchemy import Column, DateTime, PrimaryKeyConstraint, String, Text, text

revision = "0003"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table of locks."""
    op.create_table(
        "locks",
        Column("scope", String, nullable=False),
        Column("name", String, nullable=False),
        Column("level", String, nullable=False),
        Column("created", DateTime(timezone=True), nullable=False),
        Column("notes", Text, nullable=False),
        PrimaryKeyConstraint("scope", "name", name="pk_locks"),
    )
    op.create_index("locks_by_scope", "locks", [text("lower(scope)"), text("lower(name)")], unique=True)
