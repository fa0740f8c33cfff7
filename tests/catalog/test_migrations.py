"""A catalog of an older vmkeep keeps what it holds."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, text

from tests.catalog.records import ITEM, POINT
from vmkeep.base.clock import FakeClock
from vmkeep.catalog import Catalog
from vmkeep.catalog import database as module

FIRST_ROWS = (
    "INSERT INTO vaults VALUES ('v-1', 'main', 'local', 'local', '', x'00', '2026-01-01 00:00:00', '{}', '{}')",
    "INSERT INTO policies VALUES ('v-1', 'DefaultPolicy', '{}')",
    (
        "INSERT INTO items VALUES ('i-1', 'v-1', 'u-1', 'web01', 'local', 'DefaultPolicy', 'IRPending',"
        " '2026-01-01 00:00:00', NULL, '', NULL)"
    ),
    (
        "INSERT INTO recovery_points VALUES ('1000', 'i-1', '2026-01-01 00:00:00', 'crash', NULL, 'm-1', NULL,"
        " 17592186044416, 0, '<domain/>', '[]')"
    ),
)


def first_catalog(path: Path) -> None:
    """Make a catalog as the first vmkeep did."""
    config = Config()
    config.set_main_option("script_location", str(Path(module.__file__).with_name("migrations")))
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        for row in FIRST_ROWS:
            connection.execute(text(row))
    engine.dispose()


def test_items_and_points_of_the_first_schema_are_kept(tmp_path: Path) -> None:
    first_catalog(tmp_path / "catalog.db")
    for _ in range(2):
        catalog = Catalog(f"sqlite:///{tmp_path}/catalog.db", FakeClock())
        assert catalog.list_items() == [ITEM]
        assert catalog.list_items_for_vm(ITEM.vm_uuid) == [ITEM]
        (point,) = catalog.list_recovery_points(ITEM.id)
        assert (point.id, point.disks, point.size_bytes) == (POINT.id, (), POINT.size_bytes)
        catalog.close()
