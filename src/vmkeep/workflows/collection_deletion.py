"""Delete a VM's restore points by hand, against a deadline; what is deleted stays deleted, the rest by the next try."""

from functools import partial

from vmkeep.model.job import JobOperation, TaskName
from vmkeep.model.protection import ProtectedItem
from vmkeep.workflows.errors import CollectionDeletionTimedOut, OnlyCopyInCollection
from vmkeep.workflows.job_run import JobRun, StepFailed
from vmkeep.workflows.journal import Arguments, Json
from vmkeep.workflows.pillars import Pillars
from vmkeep.workflows.removal import Removal, remove_data_first
from vmkeep.workflows.restore_point_limit import refuse_locked


class DeleteRestorePoints:
    """The workflow. `arguments["points"]` are recovery points, oldest first, `force` lets only copies go too."""

    operation = JobOperation.DELETE_RESTORE_POINTS
    tasks: tuple[TaskName, ...] = ()

    def __init__(self, pillars: Pillars) -> None:
        self._pillars = pillars
        self._catalog = pillars.catalog

    def conduct(self, run: JobRun, arguments: Arguments) -> None:
        """Do the job; raises StepFailed."""
        points = arguments["points"]
        for deleted, point_id in enumerate(points):
            left = len(points) - deleted
            work = partial(self._delete, run, point_id, deleted=deleted, left=left, force=arguments["force"])
            run.step(f"Delete restore point of {point_id}", work)

    def undo(self, run: JobRun, arguments: Arguments, failure: StepFailed) -> None:
        """Leave it: what is deleted stays deleted."""

    def after(self, run: JobRun) -> None:
        """Nothing is left to do."""

    def _delete(self, run: JobRun, point_id: str, *, deleted: int, left: int, force: bool) -> Json:
        run.stop_if_wanted()
        item = self._catalog.get_item(run.job.item_id)
        self._check_time(run, item, deleted, left)
        refuse_locked(self._pillars, item)
        point = self._catalog.find_recovery_point(item.id, point_id)
        if point is None or point.restore_point is None:
            return
        refuse_only_copies(self._pillars, item, [point_id], force=force)
        removal = Removal.of(item, point, dropped=not point.manifest_id)
        remove_data_first(
            self._pillars,
            removal,
            on_progress=lambda _done, _all: run.stop_if_wanted(),
            cancelled=run.cancel_wanted,
        )
        run.note(restore_points_deleted=deleted + 1)

    def _check_time(self, run: JobRun, item: ProtectedItem, deleted: int, left: int) -> None:
        """Stop between two restore points, never within a merge: each try gets on by one at least."""
        limit_s = self._pillars.limits.collection_delete_s
        passed = self._pillars.clock.now() - run.job.started
        if deleted and passed.total_seconds() >= limit_s:
            raise CollectionDeletionTimedOut(vm=item.vm_name, deleted=deleted, left=left, limit_s=limit_s)


def refuse_only_copies(pillars: Pillars, item: ProtectedItem, point_ids: list[str], *, force: bool) -> None:
    """Raise OnlyCopyInCollection when points that should lose their restore point are in no vault."""
    points = [pillars.catalog.get_recovery_point(item.id, point_id) for point_id in point_ids]
    only = [point.id for point in points if not point.manifest_id]
    if only and not force:
        raise OnlyCopyInCollection(vm=item.vm_name, recovery_points=", ".join(only))
