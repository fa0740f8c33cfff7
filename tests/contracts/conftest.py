"""The implementations. One more is one more parameter here."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol, cast

import pytest

from tests.fakes.fabric import FakeFabric
from tests.fakes.repository import FakeRepository
from vmkeep.base.clock import SystemClock
from vmkeep.repository.repository import Repository as RealRepository
from vmkeep.repository.sealing import RepositoryKey
from vmkeep.repository.store.memory import MemoryStore
from vmkeep.workflows.ports import FabricPort, Repository


class Host(Protocol):
    """A fabric and what a test does to its VMs."""

    @property
    def fabric(self) -> FabricPort: ...

    def add_machine(self, name: str, sizes: Mapping[str, int]) -> str:
        """Make a VM with empty disks; returns its UUID."""
        ...

    def guest_writes(self, uuid: str, disk: str, offset: int, data: bytes) -> None:
        """Have the guest write to one of its disks."""
        ...

    def is_frozen(self, uuid: str) -> bool:
        """Whether the guest's file systems stand still."""
        ...


class FakeHost(FakeFabric):
    """The fake is a fabric and a host in one."""

    @property
    def fabric(self) -> FabricPort:
        return self


@pytest.fixture(params=["fake"])
def host(tmp_path: Path) -> Host:
    return FakeHost(tmp_path, SystemClock())


def fake_repository(folder: Path) -> Repository:
    return FakeRepository(folder)


def real_repository(_folder: Path) -> Repository:
    real = RealRepository.create(MemoryStore(), RepositoryKey(bytes(32)), clock=SystemClock())
    return cast("Repository", real)  # it has all that this suite calls


@pytest.fixture(params=[fake_repository, real_repository])
def repository(request: pytest.FixtureRequest, tmp_path: Path) -> Repository:
    make: Callable[[Path], Repository] = request.param
    return make(tmp_path)
