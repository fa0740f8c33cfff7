"""What the doctor found out about jobs."""

from alembic import op
from sqlalchemy import JSON, Column, DateTime, ForeignKeyConstraint, PrimaryKeyConstraint, String

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table of diagnoses."""
    op.create_table(
        "diagnoses",
        Column("job_id", String, nullable=False),
        Column("time", DateTime(timezone=True), nullable=False),
        Column("content", JSON, nullable=False),
        PrimaryKeyConstraint("job_id", "time", name="pk_diagnoses"),
        ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_diagnoses_job_id_jobs", ondelete="CASCADE"),
    )
