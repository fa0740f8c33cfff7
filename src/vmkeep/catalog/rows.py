"""Between records and rows: a column is named as the field it keeps."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from sqlalchemy import Connection, Table, delete, insert, update
from sqlalchemy.sql import ColumnElement

from vmkeep.base.clock import Clock
from vmkeep.catalog.database import Database


class Records:
    """One kind of record in the catalog; `Catalog` joins them all."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock


def values_of(record: Any) -> dict[str, Any]:  # any of the model's dataclasses
    """Return a record's fields by name, not deep."""
    return {field.name: getattr(record, field.name) for field in fields(record)}


def put_row(connection: Connection, table: Table, values: Mapping[str, Any]) -> None:  # values of any column
    """Write a row over the one with the same primary key, or as a new one."""
    same = [column == values[column.name] for column in table.primary_key]
    if connection.execute(update(table).where(*same).values(**values)).rowcount == 0:
        connection.execute(insert(table).values(**values))


def delete_rows(connection: Connection, table: Table, *where: ColumnElement[bool]) -> bool:
    """Delete rows; returns whether there were any."""
    return connection.execute(delete(table).where(*where)).rowcount > 0
