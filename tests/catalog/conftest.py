"""Catalogs to test against: each test runs on SQLite, and on PostgreSQL as a slow one."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.catalog.postgresql import ACCOUNT, run_server
from vmkeep.base.clock import FakeClock
from vmkeep.catalog import Catalog

_database_numbers = itertools.count()


@pytest.fixture(scope="session")
def postgresql_socket() -> Iterator[Path]:
    with run_server() as folder:
        yield folder


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/catalog.db"
    socket, name = request.getfixturevalue("postgresql_socket"), f"test{next(_database_numbers)}"
    with psycopg.connect(f"host={socket} user={ACCOUNT} dbname=postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return f"postgresql://{ACCOUNT}@/{name}?host={socket}"


@pytest.fixture
def catalog(database_url: str, clock: FakeClock) -> Iterator[Catalog]:
    opened = Catalog(database_url, clock)
    yield opened
    opened.close()
