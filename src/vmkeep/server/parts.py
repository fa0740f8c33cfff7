"""The parts below the API, however they are made."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from vmkeep.arm.ports import EnginePort, FabricPort, RepositoriesPort
from vmkeep.base.clock import Clock
from vmkeep.catalog import Catalog
from vmkeep.keyvault.key_vaults import KeyVaults
from vmkeep.server.settings import Settings


@dataclass(frozen=True, slots=True)
class Parts:
    """What `vmkeep up` serves."""

    catalog: Catalog
    engine: EnginePort
    fabric: FabricPort
    repositories: RepositoriesPort
    key_vaults: KeyVaults


Assemble = Callable[[Settings, Path, Clock], AbstractContextManager[Parts]]
"""Makes the parts in a state folder and closes them at the end."""
