"""What follows jobs and makes none wait: expire recovery points, prune repositories, finish clean-ups.

It gives way to jobs, is tried again when it fails, and is seen in the log only.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import structlog

from vmkeep.base.errors import Retry, VmkeepError
from vmkeep.model.protection import Policy, ProtectedItem, ProtectionState
from vmkeep.model.retention import Expiry, plan_expiry
from vmkeep.workflows.agreement import find_lost, find_strays
from vmkeep.workflows.errors import Closing, ScopeLocked, name_locks
from vmkeep.workflows.journal import Arguments, Journal, Json
from vmkeep.workflows.pillars import Pillars
from vmkeep.workflows.preflight import count_held, count_restore_points
from vmkeep.workflows.removal import Removal, remove
from vmkeep.workflows.restore_point_locks import locks_on_restore_points

log = structlog.get_logger()

EXPIRE, REMOVE, PRUNE, DISCARD, CLEAN = "expire", "remove", "prune", "discard", "clean"
_GAVE_WAY = "WorkCancelled"


class Upkeep:
    """The workflows that follow jobs; they run one at a time."""

    def __init__(self, pillars: Pillars, journal: Journal) -> None:
        self._pillars = pillars
        self._catalog = pillars.catalog
        self._journal = journal
        workflows = {
            EXPIRE: self.expire,
            REMOVE: self.remove,
            PRUNE: self.prune,
            DISCARD: self.discard,
            CLEAN: self.clean,
        }
        for name, workflow in workflows.items():
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

    def discard(self, workflow_id: str, arguments: Arguments) -> None:
        """Undo the capture of a backup that could not do so when it failed."""
        attempt = arguments["attempt"]
        if not self._journal.step(
            "Discard", lambda: self._try("discard", lambda: self._discard(**arguments["capture"]))
        ):
            self._again(workflow_id, DISCARD, {**arguments, "attempt": attempt + 1}, attempt)

    def clean(self, _workflow_id: str, _arguments: Arguments) -> None:
        """Forget jobs and workflows that ended long ago."""
        self._journal.step("Clean", lambda: self._try("clean", self._clean))

    def _clean(self) -> bool:
        limits, now = self._pillars.limits, self._pillars.clock.now()
        jobs = self._catalog.delete_jobs_before(now - limits.jobs_kept)
        workflows = self._journal.delete_ended(before=now - limits.journal_kept)
        log.info("upkeep.cleaned", jobs=jobs, workflows=workflows)
        return True

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
        return [removal.to_json() for item in items for removal in self._removals(item, make_room=make_room)]

    def _removals(self, item: ProtectedItem, *, make_room: bool) -> list[Removal]:
        """Return what goes now; locked restore points stay."""
        expiries = self._expiries(item, make_room=make_room)
        removals = [Removal.of(item, expiry.point, dropped=expiry.dropped) for expiry in expiries]
        disagreements = [*find_lost(self._pillars, item), *find_strays(self._pillars, item)]
        removals += [one.mending for one in disagreements if one.mending]
        locks = locks_on_restore_points(self._pillars, item)
        kept = [removal for removal in removals if locks and removal.restore_point]
        if kept:
            log.warning(
                "upkeep.expire.locked", vm=item.vm_name, restore_points=len(kept), locks=name_locks(locks)
            )
        return [removal for removal in removals if removal not in kept]

    def _expiries(self, item: ProtectedItem, *, make_room: bool) -> Iterable[Expiry]:
        """Return what is too old, and with `make_room` what keeps the next backup from having a place.

        A place is always kept under a policy of several backups a day, and beside old vaults, whose points may never
        go. What is young and the only copy stays.
        """
        points, now = self._catalog.list_recovery_points(item.id), self._pillars.clock.now()
        policy = self._catalog.get_policy(item.vault_id, item.policy_name)
        plan = plan_expiry(points, policy, now=now, most_instant=len(points))
        in_old_vaults = count_restore_points(self._pillars, item.vm_uuid) - count_held(points)
        if make_room or in_old_vaults or _runs_several_times_a_day(policy):
            room = self._pillars.limits.instant_points - in_old_vaults - 1  # the next backup needs one
            crowded_out = plan_expiry(points, policy, now=now, most_instant=max(room, 1))
            plan = tuple(expiry for expiry in crowded_out if expiry in plan or expiry.point.manifest_id)
        return _kept_for_ever(plan) if item.state is ProtectionState.PROTECTION_STOPPED else plan

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


def _runs_several_times_a_day(policy: Policy) -> bool:
    """Whether the policy itself asks for several backups a day: its clean-up keeps a place free for the next one."""
    schedule = policy.properties.get("schedulePolicy") or {}
    return str(schedule.get("scheduleRunFrequency", "")).lower() == "hourly"


def _kept_for_ever(plan: Iterable[Expiry]) -> Iterator[Expiry]:
    """Return what a stopped item loses: the instant tier of points that the vault has, never a point."""
    for expiry in plan:
        if expiry.point.restore_point and expiry.point.manifest_id:
            yield replace(expiry, dropped=False)
