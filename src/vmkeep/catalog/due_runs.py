"""Scheduled backups that are due and have not begun: at most one per item."""

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import select

from vmkeep.catalog.rows import Records, delete_rows, put_row
from vmkeep.catalog.schema import due_runs, items, settings

_LOOKED_UNTIL = "schedules looked at until"


class DueRunRecords(Records):
    """The due runs of all items, and until when schedules were looked at."""

    def find_looked_until(self) -> datetime | None:
        """Return the instant up to which all due runs were noted; None before the first look."""
        query = select(settings.c.value).where(settings.c.key == _LOOKED_UNTIL)
        with self._database.reading() as connection:
            value = connection.execute(query).scalar()
        return datetime.fromisoformat(value) if value else None

    def note_due_runs(self, due: Mapping[str, datetime], *, looked_until: datetime) -> None:
        """Note due runs by item id, over the ones that wait, and until when was looked: both or neither.

        An item that is gone has no run.
        """
        with self._database.writing() as connection:
            there = set(connection.execute(select(items.c.id).where(items.c.id.in_(due))).scalars())
            for item_id in there:
                put_row(connection, due_runs, {"item_id": item_id, "due": due[item_id]})
            put_row(connection, settings, {"key": _LOOKED_UNTIL, "value": looked_until.isoformat()})

    def list_due_runs(self) -> dict[str, datetime]:
        """Return when which item was due, the longest waiting first."""
        query = select(due_runs).order_by(due_runs.c.due, due_runs.c.item_id)
        with self._database.reading() as connection:
            return {row["item_id"]: row["due"] for row in connection.execute(query).mappings()}

    def find_due_run(self, item_id: str) -> datetime | None:
        """Return when an item was due whose run has not begun, or None."""
        query = select(due_runs.c.due).where(due_runs.c.item_id == item_id)
        with self._database.reading() as connection:
            return connection.execute(query).scalar()

    def delete_due_run(self, item_id: str, due: datetime) -> None:
        """Forget a due run; a later one of the item stays, and one that is not there is no error."""
        with self._database.writing() as connection:
            delete_rows(connection, due_runs, due_runs.c.item_id == item_id, due_runs.c.due == due)
