"""Management locks. Scopes and names differ by more than case, as everywhere in ARM."""

from sqlalchemy import func, select
from sqlalchemy.sql import ColumnElement

from vmkeep.catalog.rows import Records, delete_rows, put_row, values_of
from vmkeep.catalog.schema import locks
from vmkeep.model.lock import Lock


class LockRecords(Records):
    """The locks of the subscription, its resource groups and their resources."""

    def put_lock(self, lock: Lock) -> bool:
        """Keep a lock, new or changed; returns whether it is new."""
        with self._database.writing() as connection:
            is_new = not delete_rows(connection, locks, *_is_lock(lock.scope, lock.name))
            put_row(connection, locks, values_of(lock))
        return is_new

    def find_lock(self, scope: str, name: str) -> Lock | None:
        """Return the lock of that name on exactly that scope, or None."""
        with self._database.reading() as connection:
            row = connection.execute(select(locks).where(*_is_lock(scope, name))).mappings().first()
        return Lock(**row) if row else None

    def list_locks(self) -> list[Lock]:
        """Return all locks, by scope and name."""
        query = select(locks).order_by(locks.c.scope, locks.c.name)
        with self._database.reading() as connection:
            return [Lock(**row) for row in connection.execute(query).mappings()]

    def delete_lock(self, scope: str, name: str) -> bool:
        """Take a lock away; returns whether there was one."""
        with self._database.writing() as connection:
            return delete_rows(connection, locks, *_is_lock(scope, name))


def _is_lock(scope: str, name: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return func.lower(locks.c.scope) == scope.lower(), func.lower(locks.c.name) == name.lower()
