"""The database behind the catalog: SQLite in one file, or PostgreSQL."""

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry

from vmkeep.catalog.errors import CatalogTooNew, CatalogUnavailable

_MIGRATIONS = Path(__file__).with_name("migrations")
_MIGRATION_LOCK = 0x766D6B65  # "vmke": one number, known to every vmkeep on the same PostgreSQL
_SQLITE_PRAGMAS = ("busy_timeout=30000", "synchronous=FULL", "foreign_keys=ON")  # patience first
_WAL_ATTEMPTS, _WAL_PAUSE_S = 300, 0.1


class Database:
    """Transactions on one database, whose schema is up to date."""

    def __init__(self, url: str) -> None:
        self._engine = _connect(make_url(url))
        self._writer = self._engine.execution_options(vmkeep_writes=True)
        try:
            self._migrate()
        except BaseException:
            self.close()
            raise

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Open a transaction that only reads; raises CatalogUnavailable."""
        with _translated(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Open a transaction that writes, alone on SQLite; raises CatalogUnavailable.

        IntegrityError passes through: the caller knows which promise was broken.
        """
        with _translated(), self._writer.begin() as connection:
            yield connection

    def close(self) -> None:
        """Let go of all connections."""
        self._engine.dispose()

    def _migrate(self) -> None:
        config = Config()
        config.set_main_option("script_location", str(_MIGRATIONS))
        script = ScriptDirectory.from_config(config)
        with self._migrating() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
            found = MigrationContext.configure(connection).get_current_revision()
            if found and found not in {revision.revision for revision in script.walk_revisions()}:
                raise CatalogTooNew(found=found, known=script.get_current_head() or "none")
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    @contextmanager
    def _migrating(self) -> Iterator[Connection]:
        """Open a transaction in which tables may be made anew: SQLite then looks at foreign keys at its end only."""
        if self._engine.dialect.name != "sqlite":
            with self.writing() as connection:
                yield connection
            return
        with _translated(), self._writer.connect() as connection:
            _sqlite(connection, "PRAGMA foreign_keys=OFF")
            try:
                with connection.begin():
                    yield connection
                    _raise_if_torn(connection)
            finally:
                _sqlite(connection, "PRAGMA foreign_keys=ON")


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except IntegrityError:
        raise
    except DBAPIError as error:
        raise CatalogUnavailable(why=str(error.orig)) from error
    except SQLAlchemyError as error:
        raise CatalogUnavailable(why=str(error)) from error


def _connect(url: URL) -> Engine:
    if url.drivername == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
    engine = create_engine(url, json_serializer=partial(json.dumps, default=str), pool_pre_ping=True)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _entry: ConnectionPoolEntry) -> None:  # a DBAPI connection has no type
    connection.isolation_level = None  # the driver must not begin transactions by itself: we do
    for pragma in _SQLITE_PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")
    _switch_to_wal(connection)


def _switch_to_wal(connection: Any) -> None:  # see above
    """Have readers and writers not wait for each other; when several open a new file at once, one of them switches.

    SQLite's own patience does not cover this one statement.
    """
    for _ in range(_WAL_ATTEMPTS):
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                raise
            time.sleep(_WAL_PAUSE_S)
        else:
            return
    connection.execute("PRAGMA journal_mode=WAL")


def _sqlite(connection: Connection, statement: str) -> None:
    """Run a statement outside of any transaction, where alone SQLite obeys this kind."""
    driver: Any = connection.connection.driver_connection  # a DBAPI connection has no type
    driver.execute(statement)


def _raise_if_torn(connection: Connection) -> None:
    torn = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
    if torn is not None:
        raise CatalogUnavailable(why=f"a migration would leave table {torn[0]} with rows that belong to none")


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("vmkeep_writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
