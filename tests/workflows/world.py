"""A small world for jobs: a catalog, fakes on disk, an engine; all of it in one folder, so it can be opened again."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from tests.fakes.fabric import BLOCK, FakeFabric
from tests.fakes.key_vaults import FakeKeyVaults
from tests.fakes.repository import FakeRepositories, FakeRepository
from vmkeep.base.clock import Clock
from vmkeep.base.ids import new_guid
from vmkeep.catalog import Catalog
from vmkeep.model.collection import CollectionPlace
from vmkeep.model.job import Job
from vmkeep.model.protection import Policy, ProtectedItem, ProtectionState, RecoveryPoint, Vault
from vmkeep.workflows import Engine, Limits

PATIENCE_S = 45
PLACE = CollectionPlace(subscription="s", location="local")
LIMITS = Limits(
    transfers_at_once=2,
    disk_bytes=1024 * BLOCK,
    progress_interval_s=0,
    prune_grace=timedelta(0),
    upkeep_pause_s=0.1,
    upkeep_look_s=0.05,
    schedule_look="* * * * * *",
    remedy_look_s=0.05,
)


def block(letter: str) -> bytes:
    """Return one block of a letter."""
    return letter.encode() * BLOCK


class Hook:
    """What happens at the named phases of the fakes and at the engine's steps."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self._actions: dict[str, Callable[[], object]] = {}

    def __call__(self, phase: str) -> None:
        self.seen.append(phase)
        action = self._actions.get(phase)
        if action:
            action()

    def at(self, phase: str, action: Callable[[], object]) -> None:
        self._actions[phase] = action

    def raising(self, phase: str, error: Exception) -> None:
        def fail() -> None:
            raise error

        self.at(phase, fail)

    def clear(self) -> None:
        self.seen.clear()
        self._actions.clear()


@dataclass
class World:
    """Everything below one folder."""

    root: Path
    clock: Clock
    hook: Hook
    catalog: Catalog
    fabric: FakeFabric
    repositories: FakeRepositories
    key_vaults: FakeKeyVaults
    engine: Engine

    @classmethod
    def open(cls, root: Path, clock: Clock) -> "World":
        hook = Hook()
        catalog = Catalog(f"sqlite:///{root}/catalog.db", clock)
        fabric = FakeFabric(root / "host", clock, hook)
        repositories = FakeRepositories(root / "vaults", hook)
        key_vaults = FakeKeyVaults()
        engine = Engine(
            catalog,
            fabric,
            repositories,
            key_vaults,
            clock,
            dbos_url=f"sqlite:///{root}/work.db",
            limits=LIMITS,
            restored_dir=root / "restored",
            place=PLACE,
            on_step=hook,
        )
        return cls(root, clock, hook, catalog, fabric, repositories, key_vaults, engine)

    def close(self) -> None:
        self.engine.close()
        self.catalog.close()

    def protect(self, name: str = "", *, disks: dict[str, int] | None = None) -> ProtectedItem:
        """Make a VM with one block written, in a vault of its own, under a policy of 2 and 30 days."""
        name = name or f"vm-{new_guid()[:8]}"
        uuid = self.fabric.add_machine(name, disks or {"vda": 16 * BLOCK})
        self.fabric.guest_writes(uuid, "vda", 0, block("a"))
        vault = Vault(
            id=new_guid(),
            name=name,
            resource_group="local",
            location="local",
            repository_url="",
            wrapped_key=b"",
            created=self.clock.now(),
        )
        policy = Policy(vault_id=vault.id, name="DefaultPolicy", properties={})
        item = ProtectedItem(
            id=new_guid(),
            vault_id=vault.id,
            vm_uuid=uuid,
            vm_name=name,
            resource_group="local",
            policy_name=policy.name,
            state=ProtectionState.IR_PENDING,
            created=self.clock.now(),
        )
        self.catalog.create_vault(vault)
        self.catalog.put_policy(policy)
        self.catalog.put_item(item)
        return item

    def write(self, item: ProtectedItem, number: int, letter: str) -> None:
        """Have the guest write one block of a letter."""
        self.fabric.guest_writes(item.vm_uuid, "vda", number * BLOCK, block(letter))

    def back_up(self, item: ProtectedItem) -> Job:
        """Run a backup to its end."""
        return self.ended(self.engine.start_backup(item, reason="test"))

    def ended(self, job: Job) -> Job:
        """Wait until a job has ended and is followed up."""
        self.wait_until(lambda: not self.catalog.get_job(job.id).status.running)
        self.wait_until(lambda: self.is_done(job.id))
        return self.catalog.get_job(job.id)

    def is_done(self, workflow_id: str) -> bool:
        state = self.engine.find_state(workflow_id)
        return state is not None and not state.alive

    def expired(self, job: Job) -> None:
        """Wait until the clean-up that follows a job is done."""
        self.wait_until(lambda: self.is_done(f"{job.id}-expire"))

    def wait_until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline, "it never came true"
            time.sleep(0.005)

    def points(self, item: ProtectedItem) -> list[RecoveryPoint]:
        return self.catalog.list_recovery_points(item.id)

    def repository(self, item: ProtectedItem) -> FakeRepository:
        return self.repositories.open(self.catalog.get_vault_by_id(item.vault_id))
