"""One engine for all tests of the folder: DBOS is one per process, and a VM and a vault per test keep them apart."""

from collections.abc import Iterator

import pytest

from tests.workflows.world import World
from vmkeep.base.clock import FakeClock


@pytest.fixture(scope="module")
def shared_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    world = World.open(tmp_path_factory.mktemp("world"), FakeClock())
    world.engine.launch()
    yield world
    world.close()


@pytest.fixture
def world(shared_world: World) -> Iterator[World]:
    yield shared_world
    shared_world.hook.clear()
