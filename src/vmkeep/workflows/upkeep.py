"""What follows jobs and makes none wait: expire recovery points, prune repositories.

It gives way to jobs, is tried again when it fails, and is seen in the log only.
"""

from collections.abc import Callable

import structlog

from vmkeep.base.errors import Retry, VmkeepError
from vmkeep.model.protection import Policy, ProtectedItem
from vmkeep.model.retention import plan_expiry
from vmkeep.workflows.errors import Closing, ScopeLocked, name_locks
from vmkeep.workflows.journal import Arguments, Journal, Json
from vmkeep.workflows.pillars import Pillars
from vmkeep.workflows.removal import Removal, remove
from vmkeep.workflows.restore_point_limit import locks_on_restore_points

log = structlog.get_logger()

EXPIRE, REMOVE, PRUNE = "expire", "remove", "prune"
_GAVE_WAY = "WorkCancelled"


class Upkeep:
    """The workflows that follow jobs; they run one at a time."""

    def __init__(self, pillars: Pillars, journal: Journal) -> None:
        self._pillars = pillars
        self._catalog = pillars.catalog
        self._journal = journal
        for name, workflow in ((EXPIRE, self.expire), (REMOVE, self.remove), (PRUNE, self.prune)):
            journal.register(name, workflow)

    def expire(self, workflow_id: str, arguments: Arguments) -> None:
        """Take away what an item's policy no longer wants."""
        make_room = arguments.get("make_room", False)
        removals = self._journal.step("Plan", lambda: self._plan(arguments["item"], make_room=make_room))
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

    def _remove_all(self, workflow_id: str, removals: list[Json], *, attempt: int) -> None:
        left = [data for data in removals if not self._step(Removal.from_json(data))]
        for vault_id in sorted({data["vault_id"] for data in removals if data["manifest_id"]}):
            self._journal.enqueue(f"{workflow_id}-prune-{vault_id}", PRUNE, {"vault": vault_id, "attempt": 1})
        if left:
            self._again(workflow_id, REMOVE, {"removals": left, "attempt": attempt + 1}, attempt)

    def _step(self, removal: Removal) -> Json:
        name = f"Remove {removal.point_id}"
        return self._journal.step(name, lambda: self._try(name, lambda: self._remove(removal)))

    def _plan(self, item_id: str, *, make_room: bool) -> Json:
        items = [item for item in self._catalog.list_items() if item.id == item_id and item.policy_name]
        return [removal.to_json() for item in items for removal in self._plan_item(item, make_room=make_room)]

    def _plan_item(self, item: ProtectedItem, *, make_room: bool) -> list[Removal]:
        """Return what has expired; `make_room` also takes the oldest restore points of a VM at its limit.

        Those must be in the vault: what is young and the only copy stays.
        """
        policy = self._catalog.get_policy(item.vault_id, item.policy_name)
        points, now = self._catalog.list_recovery_points(item.id), self._pillars.clock.now()
        expired = plan_expiry(points, policy, now=now, most_instant=len(points))
        if make_room or _runs_several_times_a_day(policy):
            most = self._pillars.limits.instant_points - 1
            crowded_out = plan_expiry(points, policy, now=now, most_instant=most)
            expired = tuple(one for one in crowded_out if one in expired or one.point.manifest_id)
        removals = [Removal.of(item, expiry.point, dropped=expiry.dropped) for expiry in expired]
        locks = locks_on_restore_points(self._pillars, item)
        kept = [removal for removal in removals if locks and removal.restore_point]
        if kept:
            log.warning(
                "upkeep.expire.locked", vm=item.vm_name, restore_points=len(kept), locks=name_locks(locks)
            )
        return [removal for removal in removals if removal not in kept]

    def _remove(self, removal: Removal) -> bool:
        def job_runs() -> bool:
            return self._catalog.find_running_job(removal.item_id) is not None

        if job_runs():
            return False
        try:
            remove(self._pillars, removal, on_progress=self._go_on, cancelled=job_runs)
        except ScopeLocked as error:  # it is planned anew after each backup
            log.warning("upkeep.remove.locked", point=removal.point_id, locks=error.locks)
        return True

    def _prune(self, vault_id: str) -> bool:
        vault = self._catalog.get_vault_by_id(vault_id)
        self._pillars.repositories.open(vault).prune(grace=self._pillars.limits.prune_grace)
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


def _runs_several_times_a_day(policy: Policy) -> bool:
    """Whether the policy itself asks for several backups a day: its clean-up keeps a place free for the next one."""
    schedule = policy.properties.get("schedulePolicy") or {}
    return str(schedule.get("scheduleRunFrequency", "")).lower() == "hourly"
