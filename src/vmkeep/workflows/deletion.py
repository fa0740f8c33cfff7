"""Delete an item's backup data, and the item."""

from functools import partial

from vmkeep.model.job import JobOperation, TaskName
from vmkeep.workflows.job_run import JobRun, StepFailed
from vmkeep.workflows.journal import Arguments, Json
from vmkeep.workflows.pillars import Pillars
from vmkeep.workflows.removal import Removal, remove
from vmkeep.workflows.restore_point_locks import refuse_locked


class DeleteItemData:
    """The workflow. It runs to its end: half-deleted data is of no use to anybody."""

    operation = JobOperation.DELETE_BACKUP_DATA
    tasks: tuple[TaskName, ...] = ()

    def __init__(self, pillars: Pillars) -> None:
        self._pillars = pillars
        self._catalog = pillars.catalog

    def conduct(self, run: JobRun, arguments: Arguments) -> None:  # noqa: ARG002 - the job says all there is to say
        """Do the job; raises StepFailed."""
        item_id = run.job.item_id
        for data in run.step("Plan", lambda: self._plan(item_id)):
            removal = Removal.from_json(data)
            run.step(f"Delete recovery point {removal.point_id}", partial(self._remove, removal))
        run.step("Delete item", lambda: self._delete_item(item_id))

    def undo(self, run: JobRun, arguments: Arguments, failure: StepFailed) -> None:
        """Leave it: what is deleted stays deleted, the rest can be deleted by the next job."""

    def after(self, run: JobRun) -> None:
        """Nothing is left to do."""

    def _plan(self, item_id: str) -> Json:
        item = self._catalog.get_item(item_id)
        points = self._catalog.list_recovery_points(item_id)
        if any(point.restore_point for point in points):
            refuse_locked(self._pillars, item)
        oldest_first = reversed(points)
        return [Removal.of(item, point, dropped=True).to_json() for point in oldest_first]

    def _remove(self, removal: Removal) -> Json:
        remove(self._pillars, removal, on_progress=lambda _done, _all: None, cancelled=lambda: False)

    def _delete_item(self, item_id: str) -> Json:
        if any(item.id == item_id for item in self._catalog.list_items()):
            self._catalog.delete_item(item_id)
