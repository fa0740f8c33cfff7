"""Delete a VM's restore points by hand, against a deadline; what is deleted stays deleted, the rest by the next try."""

from collections.abc import Sequence
from functools import partial

from vmkeep.catalog import Catalog
from vmkeep.model.job import JobOperation, TaskName
from vmkeep.model.protection import RecoveryPoint
from vmkeep.workflows.errors import CollectionDeletionTimedOut, OnlyCopyInCollection
from vmkeep.workflows.job_run import JobRun, StepFailed
from vmkeep.workflows.journal import Arguments, Json
from vmkeep.workflows.pillars import Pillars
from vmkeep.workflows.removal import Removal, remove_data_first
from vmkeep.workflows.restore_point_locks import refuse_locked


class DeleteRestorePoints:
    """The workflow. `arguments["points"]` are ids of items and their recovery points; `force` lets only copies go too."""

    operation = JobOperation.DELETE_RESTORE_POINTS
    tasks: tuple[TaskName, ...] = ()

    def __init__(self, pillars: Pillars) -> None:
        self._pillars = pillars
        self._catalog = pillars.catalog

    def conduct(self, run: JobRun, arguments: Arguments) -> None:
        """Do the job; raises StepFailed."""
        points = arguments["points"]
        for deleted, (item_id, point_id) in enumerate(points):
            left = len(points) - deleted
            work = partial(self._delete, run, item_id, point_id, force=arguments["force"])
            run.step(f"Look at the clock before {point_id}", partial(self._check_time, run, deleted, left))
            run.step(f"Delete restore point of {point_id}", work)
            run.note(restore_points_deleted=deleted + 1)

    def undo(self, run: JobRun, arguments: Arguments, failure: StepFailed) -> None:
        """Leave it: what is deleted stays deleted."""

    def after(self, run: JobRun) -> None:
        """Nothing is left to do."""

    def _check_time(self, run: JobRun, deleted: int, left: int) -> Json:
        """Stop between two restore points, never within a merge: each try gets on by one at least."""
        limit_s, job = self._pillars.limits.collection_delete_s, run.job
        passed = self._pillars.clock.now() - job.started
        if deleted and passed.total_seconds() >= limit_s:
            raise CollectionDeletionTimedOut(vm=job.item_name, deleted=deleted, left=left, limit_s=limit_s)

    def _delete(self, run: JobRun, item_id: str, point_id: str, *, force: bool) -> Json:
        run.stop_if_wanted()
        item = self._catalog.get_item(item_id)
        refuse_locked(self._pillars, item)
        point = self._catalog.find_recovery_point(item.id, point_id)
        if point is None or point.restore_point is None:
            return
        refuse_only_copies(item.vm_name, [point], force=force)
        remove_data_first(
            self._pillars,
            Removal.of(item, point, dropped=not point.manifest_id),
            on_progress=lambda _done, _all: run.stop_if_wanted(),
            cancelled=run.cancel_wanted,
        )


def points_of_machine(catalog: Catalog, vm_uuid: str) -> list[RecoveryPoint]:
    """Return the recovery points of a VM over all vaults, oldest first."""
    items = catalog.list_items_for_vm(vm_uuid)
    points = [point for item in items for point in catalog.list_recovery_points(item.id)]
    return sorted(points, key=lambda point: (point.time, point.id))


def refuse_only_copies(vm: str, points: Sequence[RecoveryPoint], *, force: bool) -> None:
    """Raise OnlyCopyInCollection when points that should lose their restore point are in no vault."""
    only = [point.id for point in points if not point.manifest_id]
    if only and not force:
        raise OnlyCopyInCollection(vm=vm, recovery_points=", ".join(only))
