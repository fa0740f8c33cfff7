"""One snapshot task of one VM: a conversation between the guest's extension and a thread of the fabric.

The extension's calls arrive on the wire server's threads and are only noted here; everything that follows from
them, `take` and `on_event` included, happens in order on the one thread that runs the task.
"""

import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import structlog

from vmkeep.base.clock import Clock
from vmkeep.fabric.wire.errors import AgentUnavailable, SnapshotCancelled, SnapshotStatusMissing
from vmkeep.fabric.wire.status import AgentStatus, ExtensionStatus

log = structlog.get_logger()

ASKED: Final = "asked"
GOAL_STATE_SEEN: Final = "goal-state-seen"
TAKEN_UP: Final = "taken-up"
PRESNAPSHOT: Final = "presnapshot"
FREEZING: Final = "freezing"
"""From here on the guest may stand still."""
FROZEN: Final = "frozen"
SNAPSHOT_TAKEN: Final = "snapshot-taken"
THAWED: Final = "thawed"
FORCED: Final = "thawed-by-host"
STATUS: Final = "status"

SUCCESS_CODES = frozenset({0, 1})
INCONSISTENT = 2
CAPTURE_FAILED = 76
POLL_S = 0.1
"""How often a waiting task looks at its deadlines and at `cancelled`."""


@dataclass(frozen=True, slots=True)
class DiskSnapshot:
    """One disk as the fabric captured it; a non-empty `error` says that it could not."""

    lun: int
    id: str
    error: str = ""


@dataclass(frozen=True, slots=True)
class SnapshotRequest:
    """What the fabric wants. The callables are called on the thread that calls `take_snapshot`.

    `take` is called at most once, when the guest is frozen. `on_event` hears `goal-state-seen`, `taken-up`,
    `presnapshot`, `freezing`, `frozen`, `snapshot-taken`, `thawed`, `status`, in this order, each at most once.
    """

    task_id: str
    luns: tuple[int, ...]
    take: Callable[[], Sequence[DiskSnapshot]]
    on_event: Callable[[str], None]
    cancelled: Callable[[], bool]
    seen_timeout_s: float = 30
    """Until the agent fetches the goal state; it polls every 6 s."""
    pickup_timeout_s: float = 90
    """Until the extension's first call; it may have to be installed."""
    finish_timeout_s: float = 120
    """From the extension's first call to its final status."""
    thawed_by_host: Callable[[], bool] = lambda: False
    """Whether the host has ended the freeze itself: who should have done so is dead or hangs."""
    forced_timeout_s: float = 20
    """From then on to the final status: three polls of an agent that may know of the death."""


@dataclass(frozen=True, slots=True)
class SnapshotOutcome:
    """How a task ended. `code` is the extension's, or the agent's own when the extension could not run.

    `taken`: `take` returned without an error. `void`: it did, but the guest was not held frozen until then, or
    ended the task as failed: the capture must be discarded. `health_code` is a second code that tells more, 0 when
    there is no more to tell: 300 beside 1 is a file-system-consistent capture after a failed pre-script.
    """

    code: int
    health_code: int
    message: str
    taken: bool
    void: bool
    frozen_s: float | None
    frozen_mounts: tuple[str, ...]
    thaw_seen: bool
    events: Mapping[str, float] = field(default_factory=dict)
    """Seconds since the request."""


@dataclass(frozen=True, slots=True)
class Thaw:
    """What the extension says of the freeze when it is over."""

    frozen_s: float | None = None
    frozen_mounts: tuple[str, ...] = ()


CaptureAnswer = Future[Sequence[DiskSnapshot]]
"""Resolved by the task's thread; cancelled by the wire server when the guest is not held any longer."""


@dataclass(frozen=True, slots=True)
class _End:
    code: int
    health_code: int
    message: str
    thaw: Thaw = Thaw()


class SnapshotTask:
    """A running task: `run` on the caller's thread, everything else from the wire server."""

    def __init__(
        self,
        request: SnapshotRequest,
        *,
        vm_name: str,
        token: str,
        incarnation: int,
        seq_no: int,
        clock: Clock,
    ) -> None:
        self.request = request
        self.incarnation = incarnation
        self._token = token
        self._seq_no = seq_no
        self._vm_name = vm_name
        self._clock = clock
        self._asked = clock.monotonic()
        self._lock = threading.RLock()
        self._times: dict[str, float] = {}
        self._signs: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._closed = False
        self._answer: CaptureAnswer | None = None
        self._thaw: Thaw | None = None
        self._end: _End | None = None
        self._taken = False
        self._void = False
        self._trouble = ""
        self._done = False

    # what the guest does: any thread

    def owns(self, task_id: str, token: str) -> bool:
        """Whether a guest's call belongs to this task, which must still be running."""
        return not self._closed and (task_id, token) == (self.request.task_id, self._token)

    def goal_state_fetched(self) -> None:
        """Note that the agent saw the new incarnation."""
        self._note(GOAL_STATE_SEEN)

    def settings_fetched(self) -> None:
        """Note that the agent fetched the settings: from here on the extension may run."""
        self._note(TAKEN_UP)

    def presnapshot(self) -> None:
        """Note the extension's first call, and with the next that it freezes now; more of them change nothing."""
        if not self._note(PRESNAPSHOT):
            self._note(FREEZING)

    def dosnapshot(self) -> CaptureAnswer | None:
        """Start the capture; None when it was asked for before or the task is over."""
        answer: CaptureAnswer = Future()
        if not self._note(FROZEN, answer=answer):
            return None
        return answer

    def postsnapshot(self, thaw: Thaw) -> bool:
        """Note the thaw; False when no capture was asked for or the thaw is known."""
        return self._answer is not None and self._note(THAWED, thaw=thaw)

    def status(self, status: AgentStatus) -> None:
        """Note the end, if this status tells it."""
        end = self._find_end(status)
        if end is None:
            return
        if self._answer is not None:
            self._note(THAWED)  # no extension ends a task with the guest still frozen
        self._note(STATUS, end=end)

    def _find_end(self, status: AgentStatus) -> _End | None:
        handler = status.handler
        if handler is None:
            return None
        extension = handler.extension
        if extension is not None and handler.seq_no == self._seq_no and extension.final:
            named = extension.task_id == self.request.task_id
            if named or (not extension.task_id and extension.code not in SUCCESS_CODES):
                return _end_of(extension)
        not_run = status.incarnation == str(self.incarnation) and handler.status.lower() == "notready"
        return _End(handler.code, 0, handler.message) if not_run and handler.code else None

    def _note(
        self,
        sign: str,
        *,
        answer: CaptureAnswer | None = None,
        thaw: Thaw | None = None,
        end: _End | None = None,
    ) -> bool:
        with self._lock:
            if self._closed or not self._mark(sign):
                return False
            self._answer = answer or self._answer
            self._thaw = thaw or self._thaw
            self._end = end or self._end
            self._signs.put(sign)
            return True

    def _mark(self, sign: str) -> bool:
        """Keep the time of a sign's first occurrence; False for later ones."""
        with self._lock:
            if sign in self._times:
                return False
            self._times[sign] = self._elapsed()
            return True

    # what follows from it: the caller's thread

    def run(self) -> SnapshotOutcome:
        """Wait for the guest, capture, wait for its final status.

        Raises AgentUnavailable, SnapshotStatusMissing, SnapshotCancelled, and whatever `on_event` raises.
        """
        try:
            while not self._done:
                self._check_patience()
                with suppress(queue.Empty):
                    self._follow(self._signs.get(timeout=POLL_S))
            return self._outcome()
        finally:
            self._close()

    @property
    def taken_up(self) -> bool:
        """Whether the guest may act on this task, now or later."""
        return TAKEN_UP in self._times

    def _check_patience(self) -> None:
        request, times, elapsed = self.request, self._times, self._elapsed()
        if request.cancelled():
            raise SnapshotCancelled(vm=self._vm_name, task_id=request.task_id, taken=self._taken)
        first_call = min((times[sign] for sign in (PRESNAPSHOT, FROZEN) if sign in times), default=None)
        if not times and elapsed > request.seen_timeout_s:
            why = f"The agent did not fetch the goal state within {request.seen_timeout_s:.0f} s."
            raise AgentUnavailable(vm=self._vm_name, why=why)
        patience = request.pickup_timeout_s if first_call is None else first_call + request.finish_timeout_s
        if request.thawed_by_host():
            self._mark(FORCED)
            patience = min(patience, times[FORCED] + request.forced_timeout_s)
        if elapsed > patience and STATUS not in times:
            raise SnapshotStatusMissing(
                vm=self._vm_name,
                task_id=request.task_id,
                last_event=max(times, key=times.__getitem__, default=ASKED),
                waited_s=elapsed,
                taken=self._taken,
            )

    def _follow(self, sign: str) -> None:
        self.request.on_event(sign)
        if sign == FROZEN:
            self._capture()
        self._done = sign == STATUS

    def _capture(self) -> None:
        answer = self._answer
        assert answer is not None  # noqa: S101 - noted together with the sign
        disks: Sequence[DiskSnapshot] = ()
        try:
            if not answer.cancelled():
                disks = self.request.take()
        except Exception as error:  # noqa: BLE001 - the fabric's own errors end as failed disks, the guest thaws
            log.warning("wire.snapshot.take_failed", vm=self._vm_name, error=repr(error))
            self._trouble = str(error)
        self._taken = bool(disks) and not any(disk.error for disk in disks)
        if self._taken:
            self._mark(SNAPSHOT_TAKEN)  # before the answer: the guest may tell of its thaw at once
        try:
            answer.set_result(disks)
        except InvalidStateError:
            self._void = True
        if self._taken:
            self.request.on_event(SNAPSHOT_TAKEN)

    def _outcome(self) -> SnapshotOutcome:
        end = self._end
        assert end is not None  # noqa: S101 - noted together with the sign
        code, message = self._verdict(end)
        thaw = self._thaw or end.thaw
        return SnapshotOutcome(
            code=code,
            health_code=end.health_code,
            message=message,
            taken=self._taken,
            void=self._taken and code not in SUCCESS_CODES,
            frozen_s=thaw.frozen_s,
            frozen_mounts=thaw.frozen_mounts,
            thaw_seen=THAWED in self._times,
            events=dict(self._times),
        )

    def _verdict(self, end: _End) -> tuple[int, str]:
        """Judge the guest's claim: without a good capture there is no success."""
        if end.code in SUCCESS_CODES and self._void:
            return (
                CAPTURE_FAILED,
                "the disks were captured too late: the guest was not held frozen until then",
            )
        if end.code in SUCCESS_CODES and not self._taken:
            return INCONSISTENT, "the extension reports success, but no capture was made"
        return end.code, " ".join(filter(None, (end.message, self._trouble)))

    def _close(self) -> None:
        with self._lock:
            self._closed = True
        if self._answer is not None:
            with suppress(InvalidStateError):
                self._answer.set_result(())

    def _elapsed(self) -> float:
        return self._clock.monotonic() - self._asked


def _end_of(extension: ExtensionStatus) -> _End:
    code, health_code = extension.code or 0, extension.health_code
    warning = 0 if health_code in {code, *SUCCESS_CODES} else health_code
    return _End(code, warning, extension.message, Thaw(extension.frozen_s, extension.frozen_mounts))
