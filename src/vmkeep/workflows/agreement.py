"""Catalog and host agree on restore points: where they do not, what is said of it, and what is safe to do."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from vmkeep.base.errors import VmkeepError
from vmkeep.model.protection import ProtectedItem
from vmkeep.model.restore_point import RestorePoint, Warned
from vmkeep.workflows.pillars import Pillars
from vmkeep.workflows.removal import Removal, remove


@dataclass(frozen=True, slots=True)
class Disagreement:
    """Something that only one of the two knows; `mending` makes them agree and is None where data would be given up."""

    found: Warned
    mending: Removal | None


@dataclass(frozen=True, slots=True)
class HostReport:
    """Where the host differs from what backups need, and what was done about it."""

    found: Sequence[Warned]
    repaired: Sequence[Warned] = ()


def check_host(pillars: Pillars) -> HostReport:
    """Compare chains, journal and catalog; changes nothing."""
    disagreements = [*find_strays(pillars), *find_all_lost(pillars)]
    return HostReport([*pillars.fabric.check(), *(one.found for one in disagreements)])


def repair_host(pillars: Pillars) -> HostReport:
    """Make catalog and host agree where that is safe, then look again. What fails is found again, with its reason."""
    repaired: list[Warned] = []
    failed: list[Warned] = []
    for find in (find_all_lost, find_strays):  # a point that is given up becomes a stray
        for one in list(find(pillars)):
            if one.mending is None:
                continue
            try:
                remove(pillars, one.mending, on_progress=lambda _done, _all: None, cancelled=lambda: False)
            except VmkeepError as error:
                failed.append(Warned(error.code, str(error)))
            else:
                repaired.append(one.found)
    return HostReport([*failed, *check_host(pillars).found], repaired)


def find_strays(pillars: Pillars, item: ProtectedItem | None = None) -> Iterator[Disagreement]:
    """Yield the restore points, of one VM or all, that no recovery point has and no running job makes."""
    held = pillars.fabric.list_points(item.vm_uuid if item else None)
    items = pillars.catalog.list_items()  # all: a VM may have points in old vaults too
    points = [point for one in items for point in pillars.catalog.list_recovery_points(one.id)]
    wanted = {point.restore_point.id for point in points if point.restore_point}
    wanted |= {job.id for job in pillars.catalog.list_jobs() if job.status.running}
    for point in held:
        if point.id not in wanted:
            yield Disagreement(_stray(point), Removal.of_stray(point, item))


def find_all_lost(pillars: Pillars) -> Iterator[Disagreement]:
    """Yield what `find_lost` finds for each protected item."""
    for item in pillars.catalog.list_items():
        yield from find_lost(pillars, item)


def find_lost(pillars: Pillars, item: ProtectedItem) -> Iterator[Disagreement]:
    """Yield the recovery points of an item whose restore point this host no longer holds."""
    if pillars.catalog.find_running_job(item.id) is not None:
        return
    for point in pillars.catalog.list_recovery_points(item.id):
        held = point.restore_point
        if held is None or pillars.fabric.find_point(held.vm_uuid, held.id) is not None:
            continue
        what = f"recovery point {point.id} of VM '{item.vm_name}'"
        if point.manifest_id:
            found = Warned(
                "RestorePointLost", f"{what} is in the vault only: this host has lost its restore point"
            )
            yield Disagreement(found, Removal.of(item, point, dropped=False))
        else:
            why = "it never reached the vault, and this host has lost its restore point"
            yield Disagreement(Warned("RecoveryPointLost", f"{what} cannot be restored: {why}"), None)


def _stray(point: RestorePoint) -> Warned:
    what = f"restore point {point.id} of VM '{point.vm_name}'"
    return Warned("StrayRestorePoint", f"{what} belongs to no recovery point; its layers can be merged")
