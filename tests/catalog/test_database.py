"""What the catalog's database promises."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text

from vmkeep.base.clock import FakeClock
from vmkeep.catalog import Catalog
from vmkeep.catalog.database import Database
from vmkeep.catalog.errors import CatalogTooNew, CatalogUnavailable
from vmkeep.catalog.schema import metadata


@pytest.mark.filterwarnings("ignore:.*expression-based index")  # SQLite cannot show them, PostgreSQL can
def test_migrations_lead_to_the_schema(database_url: str) -> None:
    database = Database(database_url)
    with database.reading() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    database.close()


def test_several_may_open_a_new_database_at_once(database_url: str) -> None:
    with ThreadPoolExecutor(4) as threads:
        for database in threads.map(lambda _: Database(database_url), range(4)):
            database.close()


def test_database_of_a_newer_vmkeep_is_left_alone(database_url: str) -> None:
    database = Database(database_url)
    with database.writing() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    database.close()
    with pytest.raises(CatalogTooNew, match="9999"):
        Database(database_url)


def test_sqlite_forgets_nothing_it_has_acknowledged(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/catalog.db")
    with database.reading() as connection:
        settings = [
            connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "synchronous")
        ]
        assert settings == ["wal", 2]
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
    database.close()


def test_readers_are_not_held_up_by_a_writer(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/catalog.db")
    with database.writing() as writer:
        writer.execute(text("INSERT INTO settings VALUES ('a', 'b')"))
        with database.reading() as reader:
            assert reader.execute(text("SELECT count(*) FROM settings")).scalar() == 0
    database.close()


def test_unusable_database_is_said_in_words(tmp_path: Path) -> None:
    with pytest.raises(CatalogUnavailable, match="unable to open"):
        Catalog(f"sqlite:///{tmp_path}/no/such/folder/catalog.db", FakeClock())


def test_damaged_database_is_said_in_words(tmp_path: Path) -> None:
    (tmp_path / "catalog.db").write_bytes(b"not a database" * 1000)
    with pytest.raises(CatalogUnavailable, match="not a database"):
        Catalog(f"sqlite:///{tmp_path}/catalog.db", FakeClock())
