"""One backup inside the guest: age check, pre-script, freeze, the host's snapshot, thaw, post-script."""

import time

from vmkeep_guest import clock, codes
from vmkeep_guest.errors import BackupFailed
from vmkeep_guest.freezer import Freezer, Thaw
from vmkeep_guest.host import (
    DOSNAPSHOT_S,
    NO_ANSWER,
    POSTSNAPSHOT_S,
    PRESNAPSHOT_S,
    Answer,
    Call,
    NoAnswer,
    disk_results,
    host_time,
)
from vmkeep_guest.log import Log
from vmkeep_guest.mounts import Mount
from vmkeep_guest.report import Outcome
from vmkeep_guest.rules import FreezeRules
from vmkeep_guest.scripts import POST, PRE, Scripts, Stage
from vmkeep_guest.settings import Task

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    MakeFreezer = Callable[[list[Mount], float, float], Freezer]

MAX_AGE_S = 140 * 60.0
_FREEZE_CODES = (codes.FREEZE_FAILED, codes.FREEZE_TIMEOUT, codes.MOUNT_NOT_OPENED)


class Backup:
    """One task to run. `mounts` come in freezing order; `scripts` is None when the user has none."""

    def __init__(
        self,
        task: Task,
        mounts: "list[Mount]",
        rules: FreezeRules,
        scripts: "Scripts | None",
        *,
        log: Log,
        freezer: "MakeFreezer" = Freezer,
    ) -> None:
        self._task = task
        self._mounts = mounts
        self._rules = rules
        self._scripts = scripts
        self._log = log
        self._freezer = freezer
        self._outcome = Outcome()
        self._telemetry = self._outcome.telemetry

    def run(self) -> Outcome:
        """Do it, and return how it went. A backup that fails is an outcome, not an exception."""
        self._telemetry["isPrePostEnabled"] = str(self._scripts is not None).lower()
        self._measure()
        try:
            self._check_age()
            if self._scripts is None:
                warning = self._capture(freeze=True)
                self._conclude(codes.SUCCESS, warning)
            else:
                self._run_scripted(self._scripts)
        except BackupFailed as failure:
            self._fail(failure)
        return self._outcome

    def _fail(self, failure: BackupFailed) -> None:
        self._log.event("backup.failed", code=failure.code, message=failure.message)
        self._outcome.consistency = "none"
        if failure.mount:
            self._telemetry["FailedMount"] = failure.mount
        self._outcome.conclude(failure.code, failure.message, failure.health_code)

    def _measure(self) -> None:
        for mount in self._mounts:
            try:
                self._outcome.used_bytes += mount.used_bytes()
                self._outcome.partitions += 1
            except OSError as error:
                self._log.event("backup.mount.unmeasured", mount=mount.printable, error=str(error))

    def _check_age(self) -> None:
        """Refuse a command that has waited too long, by the host's clock if it tells. Raises BackupFailed 402."""
        now, status = clock.now(), NO_ANSWER
        try:
            answer = Call("presnapshot").post(self._names_of_task(), PRESNAPSHOT_S)
            status = answer.status
            now = host_time(answer) or now
        except NoAnswer as error:
            self._log.event("host.presnapshot.unanswered", error=str(error))
        self._telemetry["hostStatusCodePreSnapshot"] = str(status)
        started = self._task.started
        if started is not None and now - started > MAX_AGE_S:
            text = "the command is {:.0f} minutes old, older than {:.0f}".format(
                (now - started) / 60, MAX_AGE_S / 60
            )
            raise BackupFailed(codes.TOO_LATE, text)

    def _run_scripted(self, scripts: Scripts) -> None:
        """Capture between the scripts. A failing one lowers the consistency or, if so configured, fails the backup.

        The post-script runs whenever the pre-script has started, even when the capture fails.
        """
        warning = after = None
        before = self._run_script(scripts, PRE)
        try:
            if before and not scripts.goes_on:
                raise before
            warning = self._capture(freeze=scripts.freezes or before is not None)
        finally:
            if scripts.started:
                after = self._run_script(scripts, POST)
        if after and not scripts.goes_on:
            raise after
        warning = before or after or warning
        if warning is None:
            self._outcome.consistency = "application"
        self._conclude(codes.SUCCESS if warning else codes.APPLICATION_CONSISTENT, warning)

    def _conclude(self, code: int, warning: "BackupFailed | None") -> None:
        """Set a good result, with what lowered it, if anything, as message and health."""
        if warning is None:
            self._outcome.conclude(code, "Enable Succeeded.")
        else:
            self._outcome.conclude(code, warning.message, warning.health_code)

    def _run_script(self, scripts: Scripts, stage: Stage) -> "BackupFailed | None":
        self._log.event("script.start", stage=stage.name)
        self._log.flush()
        try:
            scripts.run(stage)
        except BackupFailed as failure:
            self._log.event("script.failed", stage=stage.name, code=failure.code, message=failure.message)
            return failure
        self._log.event("script.done", stage=stage.name)
        return None

    def _capture(self, *, freeze: bool) -> "BackupFailed | None":
        """Have the host take its snapshot, of frozen file systems if told; return what prevented freezing."""
        if not freeze or not self._mounts:
            self._capture_moving()
            return None
        try:
            self._capture_frozen()
        except BackupFailed as failure:
            if failure.code not in _FREEZE_CODES or not self._task.crash_allowed:
                raise
            self._log.event("backup.freeze.given_up", code=failure.code, message=failure.message)
            self._capture_moving()
            return failure
        return None

    def _capture_moving(self) -> None:
        reply = self._ask(Call("dosnapshot"))
        self._tell_thawed(Thaw(0.0), [])
        self._judge(reply)
        self._outcome.consistency = "crash"

    def _capture_frozen(self) -> None:
        """Freeze, let the host take its snapshot, thaw.

        All that takes time or may fail and can be done before the freeze, is. While frozen we write nothing.
        """
        call = Call("dosnapshot")
        self._log.flush()
        with self._freezer(self._mounts, self._rules.hold_s, self._rules.wait_s) as freezer, call:
            self._connect(call)
            self._announce_freeze()
            freezer.freeze()
            reply = self._ask(call)
            thaw = freezer.thaw()
        names = [mount.printable for mount in self._mounts]
        self._telemetry.update(FreezeSeconds="{:.3f}".format(thaw.seconds), FrozenMounts=",".join(names))
        self._log.event("backup.thawed", seconds=thaw.seconds, mounts=names, flaw=thaw.flaw)
        self._tell_thawed(thaw, names)
        self._judge(reply)
        if thaw.flaw:
            text = "the file systems did not stand still during the snapshot: " + thaw.flaw
            raise BackupFailed(codes.ERROR, text)
        self._outcome.consistency = "fileSystem"

    def _connect(self, call: Call) -> None:
        try:
            call.connect(PRESNAPSHOT_S)
        except NoAnswer as error:
            raise BackupFailed(codes.SNAPSHOT_FAILED, str(error)) from error

    def _announce_freeze(self) -> None:
        """Start the host's watch over the freeze: without it, one whose every process is killed would never end."""
        try:
            Call("presnapshot").post(self._names_of_task(), PRESNAPSHOT_S)
        except NoAnswer as error:
            raise BackupFailed(codes.SNAPSHOT_FAILED, str(error)) from error

    def _ask(self, call: Call) -> "Answer | NoAnswer":
        """Send dosnapshot, and return what came of it. Writes nothing: the file systems may be frozen."""
        task = self._task
        body = self._names_of_task()
        body.update(diskIds=task.disk_ids, settings=task.host_settings, snapshotMetadata=task.metadata)
        if task.instant_minutes is not None:
            body["instantAccessDurationMinutes"] = task.instant_minutes
        start = time.monotonic()
        try:
            answer = call.post(body, DOSNAPSHOT_S)
        except NoAnswer as error:
            return error
        finally:
            self._telemetry["snapshotTimeTaken"] = "{:.3f}".format(time.monotonic() - start)
        return answer

    def _judge(self, reply: "Answer | NoAnswer") -> None:
        """Take over what the host says of each disk. Raises BackupFailed 76 unless all were captured."""
        status = NO_ANSWER if isinstance(reply, NoAnswer) else reply.status
        self._telemetry["hostStatusCodeDoSnapshot"] = str(status)
        self._log.event("host.dosnapshot.done", status=status)
        if isinstance(reply, NoAnswer):
            raise BackupFailed(codes.SNAPSHOT_FAILED, str(reply))
        disks = self._outcome.disks = disk_results(reply)
        failed = [disk for disk in disks if not disk.done]
        if failed:
            text = "{} of {} disks failed: {}".format(len(failed), len(disks), failed[0].error)
            health = codes.SOME_DISKS_FAILED if len(failed) < len(disks) else codes.SNAPSHOT_FAILED
            raise BackupFailed(codes.SNAPSHOT_FAILED, text, health)

    def _tell_thawed(self, thaw: Thaw, names: "list[str]") -> None:
        """Let the host know at once that nothing is frozen any more; it may not care to listen."""
        body = self._names_of_task()
        body.update(frozenSeconds=thaw.seconds, frozenMounts=names, thawed=True)
        try:
            Call("postsnapshot").post(body, POSTSNAPSHOT_S)
        except NoAnswer as error:
            self._log.event("host.postsnapshot.unanswered", error=str(error))

    def _names_of_task(self) -> "dict[str, object]":
        return {"taskId": self._task.host_id, "snapshotTaskToken": self._task.token}
