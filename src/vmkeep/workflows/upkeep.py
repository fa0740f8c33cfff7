"""What follows jobs and makes none wait: expire recovery points, prune repositories, finish clean-ups.

It gives way to jobs, is tried again when it fails, and is seen in the log only.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import structlog

from vmkeep.base.errors import Retry, VmkeepError
from vmkeep.model.protection import ProtectedItem, ProtectionState
from vmkeep.model.retention import Expiry, plan_expiry
from vmkeep.workflows.errors import Closing
from vmkeep.workflows.journal import Arguments, Journal, Json
from vmkeep.workflows.pillars import Pillars
from vmkeep.workflows.preflight import count_held, count_restore_points
from vmkeep.workflows.removal import Removal, remove

log = structlog.get_logger()

EXPIRE, REMOVE, PRUNE, DISCARD = "expire", "remove", "prune", "discard"
_GAVE_WAY = "WorkCancelled"


class Upkeep:
    """The workflows that follow jobs; they run one at a time."""

    def __init__(self, pillars: Pillars, journal: Journal) -> None:
        self._pillars = pillars
        self._catalog = pillars.catalog
        self._journal = journal
        workflows = {EXPIRE: self.expire, REMOVE: self.remove, PRUNE: self.prune, DISCARD: self.discard}
        for name, workflow in workflows.items():
            journal.register(name, workflow)

    def expire(self, workflow_id: str, arguments: Arguments) -> None:
        """Take away what an item's policy no longer wants."""
        removals = self._journal.step("Plan", lambda: self._plan(arguments["item"]))
        self._remove_all(workflow_id, removals, attempt=1)

    def remove(self, workflow_id: str, arguments: Arguments) -> None:
        """Take away what an earlier attempt could not."""
        self._remove_all(workflow_id, arguments["removals"], attempt=arguments["attempt"])

    def prune(self, workflow_id: str, arguments: Arguments) -> None:
        """Free what no manifest of a vault needs."""
        attempt = arguments["attempt"]
        if not self._journal.step(
            "Prune", lambda: self._try("prune", lambda: self._prune(arguments["vault"]))
        ):
            self._again(workflow_id, PRUNE, {**arguments, "attempt": attempt + 1}, attempt)

    def discard(self, workflow_id: str, arguments: Arguments) -> None:
        """Undo the capture of a backup that could not do so when it failed."""
        attempt = arguments["attempt"]
        if not self._journal.step(
            "Discard", lambda: self._try("discard", lambda: self._discard(**arguments["capture"]))
        ):
            self._again(workflow_id, DISCARD, {**arguments, "attempt": attempt + 1}, attempt)

    def _remove_all(self, workflow_id: str, removals: list[Json], *, attempt: int) -> None:
        left = [data for data in removals if not self._step(Removal.from_json(data))]
        for vault_id in sorted({data["vault_id"] for data in removals if data["manifest_id"]}):
            self._journal.enqueue(f"{workflow_id}-prune-{vault_id}", PRUNE, {"vault": vault_id, "attempt": 1})
        if left:
            self._again(workflow_id, REMOVE, {"removals": left, "attempt": attempt + 1}, attempt)

    def _step(self, removal: Removal) -> Json:
        name = f"Remove {removal.point_id}"
        return self._journal.step(name, lambda: self._try(name, lambda: self._remove(removal)))

    def _plan(self, item_id: str) -> Json:
        items = [item for item in self._catalog.list_items() if item.id == item_id and item.policy_name]
        return [
            Removal.of(item, expiry.point, dropped=expiry.dropped).to_json()
            for item in items
            for expiry in self._expiries(item)
        ]

    def _expiries(self, item: ProtectedItem) -> Iterable[Expiry]:
        points = self._catalog.list_recovery_points(item.id)
        in_old_vaults = count_restore_points(self._pillars, item.vm_uuid) - count_held(points)
        room = self._pillars.limits.instant_points - in_old_vaults - 1  # the next backup needs one
        plan = plan_expiry(
            points,
            self._catalog.get_policy(item.vault_id, item.policy_name),
            now=self._pillars.clock.now(),
            most_instant=max(room, 1),
        )
        return _kept_for_ever(plan) if item.state is ProtectionState.PROTECTION_STOPPED else plan

    def _remove(self, removal: Removal) -> bool:
        def job_runs() -> bool:
            return self._catalog.find_running_job(removal.item_id) is not None

        if job_runs():
            return False
        remove(self._pillars, removal, on_progress=self._go_on, cancelled=job_runs)
        return True

    def _prune(self, vault_id: str) -> bool:
        vault = self._catalog.get_vault_by_id(vault_id)
        self._pillars.repositories.open(vault).prune(grace=self._pillars.limits.prune_grace)
        return True

    def _discard(self, item_id: str, vm_uuid: str, point_id: str) -> bool:
        if self._catalog.find_running_job(item_id) is not None:
            return False
        discard_unreferenced(self._pillars, item_id=item_id, vm_uuid=vm_uuid, point_id=point_id)
        return True

    def _go_on(self, _done_bytes: int, _all_bytes: int) -> None:
        if self._journal.closing:
            raise Closing

    def _try(self, what: str, work: Callable[[], bool]) -> bool:
        """Return whether it need not be tried again."""
        try:
            return work()
        except VmkeepError as error:
            log.warning("upkeep.failed", what=what, code=error.code, message=str(error))
            return error.retry is Retry.NEVER and error.code != _GAVE_WAY
        except Exception:
            log.exception("upkeep.broke", what=what)
            return False

    def _again(self, workflow_id: str, name: str, arguments: Arguments, attempt: int) -> None:
        limits = self._pillars.limits
        if attempt >= limits.upkeep_attempts:
            log.error("upkeep.gave_up", workflow=name, attempts=attempt)
            return
        delay_s = limits.upkeep_pause_s * 2 ** (attempt - 1)
        self._journal.enqueue(f"{workflow_id}-again", name, arguments, delay_s=delay_s)


def discard_unreferenced(pillars: Pillars, *, item_id: str, vm_uuid: str, point_id: str) -> None:
    """Undo a capture, unless a recovery point is made of it; raises what the fabric raises."""
    points = pillars.catalog.list_recovery_points(item_id)
    if point_id not in {point.restore_point.id for point in points if point.restore_point}:
        pillars.fabric.discard_capture(vm_uuid, point_id)


def _kept_for_ever(plan: Iterable[Expiry]) -> Iterator[Expiry]:
    """Return what a stopped item loses: the instant tier of points that the vault has, never a point."""
    for expiry in plan:
        if expiry.point.restore_point and expiry.point.manifest_id:
            yield replace(expiry, dropped=False)
