"""Recovery points."""

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from vmkeep.catalog.errors import ItemNotFound, RecoveryPointNotFound
from vmkeep.catalog.rows import Records, delete_rows, put_row, values_of
from vmkeep.catalog.schema import recovery_points, settings
from vmkeep.model.protection import RecoveryPoint

_LAST_ID = "last recovery point id"


class RecoveryPointRecords(Records):
    """The recovery points of all items."""

    def new_recovery_point_id(self) -> str:
        """Return decimal digits that no point has had, higher than all before: microseconds since 1970."""
        now = int(self._clock.now().timestamp() * 1_000_000)
        with self._database.writing() as connection:
            query = select(settings.c.value).where(settings.c.key == _LAST_ID).with_for_update()
            last = int(connection.execute(query).scalar() or 0)
            new = str(max(now, last + 1))
            put_row(connection, settings, {"key": _LAST_ID, "value": new})
        return new

    def put_recovery_point(self, point: RecoveryPoint) -> None:
        """Keep a point, new or changed; raises ItemNotFound."""
        try:
            with self._database.writing() as connection:
                put_row(connection, recovery_points, values_of(point))
        except IntegrityError as error:
            raise ItemNotFound(item=point.item_id) from error

    def find_recovery_point(self, item_id: str, point_id: str) -> RecoveryPoint | None:
        """Return a point of an item, or None."""
        query = select(recovery_points).where(
            recovery_points.c.item_id == item_id, recovery_points.c.id == point_id
        )
        with self._database.reading() as connection:
            row = connection.execute(query).mappings().first()
        return RecoveryPoint(**row) if row else None

    def get_recovery_point(self, item_id: str, point_id: str) -> RecoveryPoint:
        """Return a point of an item; raises RecoveryPointNotFound."""
        point = self.find_recovery_point(item_id, point_id)
        if point is None:
            raise RecoveryPointNotFound(recovery_point=point_id)
        return point

    def list_recovery_points(self, item_id: str) -> list[RecoveryPoint]:
        """Return an item's points, newest first."""
        query = (
            select(recovery_points)
            .where(recovery_points.c.item_id == item_id)
            .order_by(recovery_points.c.time.desc(), recovery_points.c.id.desc())
        )
        with self._database.reading() as connection:
            return [RecoveryPoint(**row) for row in connection.execute(query).mappings()]

    def delete_recovery_point(self, item_id: str, point_id: str) -> None:
        """Forget a point; a point that is not there is no error."""
        with self._database.writing() as connection:
            delete_rows(
                connection,
                recovery_points,
                recovery_points.c.item_id == item_id,
                recovery_points.c.id == point_id,
            )
