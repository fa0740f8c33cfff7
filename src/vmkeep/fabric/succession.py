"""A VM that was undefined and defined again with another UUID: its restore points follow its disks."""

from collections.abc import Collection
from dataclasses import dataclass

import structlog

from vmkeep.fabric.chain import is_layer
from vmkeep.fabric.host import Host
from vmkeep.fabric.layer_use import find_user
from vmkeep.fabric.points import PointJournal

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Succession:
    """Finds the VM that has the disks now. What only looks alike does not count: its disks must be on our layers."""

    host: Host
    journal: PointJournal

    def find_successor(self, vm_uuid: str, point_ids: Collection[str]) -> str | None:
        """Return the VM that has the layers of `vm_uuid`, or its restore points already; None unless it is certain.

        Raises HypervisorUnreachable, JournalUnreadable.
        """
        records = self.journal.read(vm_uuid).values()
        if not records:
            having = (vm for vm in self.journal.list_vms() if self.journal.read(vm).keys() & set(point_ids))
            return next(having, None)
        layers = {
            path for one in records for disk in one.point.disks for path in (disk.active_path, disk.path)
        }
        users = [find_user(self.host, path) for path in sorted(layers) if is_layer(path)]
        uuids = {user.domain.UUIDString() for user in users if user}
        return uuids.pop() if len(uuids) == 1 else None

    def take_over(self, vm_uuid: str, successor: str) -> None:
        """Give the restore points of a VM to its successor. Idempotent."""
        self.journal.move(vm_uuid, successor)
        log.info("fabric.points.taken_over", vm_uuid=vm_uuid, successor=successor)
