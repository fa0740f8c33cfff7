"""What the doctor found out about jobs, each time it looked."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import select

from vmkeep.catalog.rows import Records, put_row
from vmkeep.catalog.schema import diagnoses


class DiagnosisRecords(Records):
    """The diagnoses of all jobs; they go with their jobs."""

    def put_diagnosis(self, job_id: str, time: datetime, content: Mapping[str, Any]) -> None:  # JSON values
        """Keep what was found out about a job at a time."""
        with self._database.writing() as connection:
            put_row(connection, diagnoses, {"job_id": job_id, "time": time, "content": dict(content)})

    def list_diagnoses(self, job_id: str) -> list[tuple[datetime, dict[str, Any]]]:  # JSON values
        """Return when what was found out about a job, the newest first."""
        query = select(diagnoses).where(diagnoses.c.job_id == job_id).order_by(diagnoses.c.time.desc())
        with self._database.reading() as connection:
            return [(row["time"], row["content"]) for row in connection.execute(query).mappings()]
