"""The pillars, and what keeps the transfers of one host out of each other's way."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Semaphore

from vmkeep.base.clock import Clock
from vmkeep.catalog import Catalog
from vmkeep.model.collection import CollectionPlace
from vmkeep.workflows.limits import Limits
from vmkeep.workflows.ports import FabricPort, KeyVaultPort, RepositoryPort

_LOOK_S = 0.2


class Slots:
    """A number of places; who finds none waits, and may give up waiting.

    Held in memory on purpose: a place that outlives its process would have to be recovered.
    """

    def __init__(self, places: int) -> None:
        self._places = Semaphore(places)

    @contextmanager
    def taken(self, keep_waiting: Callable[[], None]) -> Iterator[None]:
        """Hold a place. `keep_waiting` is called again and again until there is one; it raises to give up."""
        while not self._places.acquire(timeout=_LOOK_S):
            keep_waiting()
        try:
            yield
        finally:
            self._places.release()


@dataclass(frozen=True, slots=True)
class Pillars:
    """What every workflow works with."""

    catalog: Catalog
    fabric: FabricPort
    repositories: RepositoryPort
    key_vaults: KeyVaultPort
    clock: Clock
    limits: Limits
    restored_dir: Path
    """Folder in which the disks of restored VMs go, one folder per VM."""
    place: CollectionPlace
    """Where the restore points stand in ARM: what locks are compared with."""
    transfers: Slots = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "transfers", Slots(self.limits.transfers_at_once))
