"""The pillars, and what keeps jobs on one host out of each other's way."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock, Semaphore

from vmkeep.base.clock import Clock
from vmkeep.catalog import Catalog
from vmkeep.workflows.limits import Limits
from vmkeep.workflows.ports import FabricPort, RepositoryPort

_LOOK_S = 0.2


class Turns:
    """Per VM, one at a time: a capture waits for a merge that is giving way.

    Held in memory on purpose: a turn that outlives its process would have to be recovered.
    """

    def __init__(self) -> None:
        self._guard = Lock()
        self._locks: defaultdict[str, Lock] = defaultdict(Lock)

    @contextmanager
    def of(self, vm_uuid: str) -> Iterator[None]:
        """Hold the VM's turn."""
        with self._guard:
            lock = self._locks[vm_uuid]
        with lock:
            yield


class Slots:
    """A number of places; who finds none waits, and may give up waiting."""

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
    clock: Clock
    limits: Limits
    restored_dir: Path
    """Folder in which the disks of restored VMs go, one folder per VM."""
    turns: Turns = field(default_factory=Turns)
    transfers: Slots = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "transfers", Slots(self.limits.transfers_at_once))
