"""Column types that hand the model's own values in and out."""

from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Generic, TypeVar

from sqlalchemy import JSON, DateTime, Dialect, String
from sqlalchemy.types import TypeDecorator, TypeEngine

T = TypeVar("T")
E = TypeVar("E", bound=StrEnum)
Kind = TypeEngine[Any] | type[TypeEngine[Any]]  # a column of any type


class UtcTime(TypeDecorator[datetime]):
    """An aware datetime, kept in UTC (SQLite has no time zones: there it is kept naive)."""

    impl: Kind = DateTime(timezone=True)
    cache_ok: bool | None = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Turn an aware time into what the database keeps."""
        if value is None:
            return None
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Turn what the database kept into an aware time."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if dialect.name == "sqlite" else value.astimezone(UTC)


class Word(TypeDecorator[E], Generic[E]):
    """A member of a `StrEnum`, kept as its text."""

    impl: Kind = String
    cache_ok: bool | None = True

    def __init__(self, kind: type[E]) -> None:
        super().__init__()
        self.kind = kind

    def process_bind_param(self, value: E | str | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """Turn a member into its text."""
        return None if value is None else str(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> E | None:  # noqa: ARG002
        """Turn a text into the member."""
        return None if value is None else self.kind(value)


class Structure(TypeDecorator[T], Generic[T]):
    """A record kept as JSON; None is SQL's NULL."""

    impl: Kind = JSON(none_as_null=True)
    cache_ok: bool | None = True

    def __init__(self, write: Callable[[T], Any], read: Callable[[Any], T]) -> None:  # JSON values
        super().__init__()
        self.write = write
        self.read = read

    def process_bind_param(self, value: T | None, dialect: Dialect) -> Any:  # noqa: ARG002 # JSON values
        """Turn a record into JSON values."""
        return None if value is None else self.write(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> T | None:  # noqa: ARG002 # JSON values
        """Turn JSON values into the record."""
        return None if value is None else self.read(value)
