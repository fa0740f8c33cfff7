from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.keyvault.scenes import Scene
from vmkeep.base.clock import FakeClock
from vmkeep.keyvault import LocalKeyring
from vmkeep.keyvault.database import Database
from vmkeep.keyvault.key_vaults import KeyVaults


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """One key vault in which ME may do everything."""
    clock, needed = FakeClock(), dict[tuple[str, str | None], list[str]]()
    database = Database(tmp_path / "keyvault.db")
    key_vaults = KeyVaults(
        database,
        LocalKeyring(tmp_path / "master.key"),
        clock,
        needed_by=lambda key_vault, key: needed.get((key_vault, key), []),
    )
    yield Scene(tmp_path, clock, key_vaults, needed).begun()
    database.close()
