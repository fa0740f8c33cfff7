"""Many small tasks on a few threads, and telling how far they are."""

import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from vmkeep.base.clock import Clock
from vmkeep.model.disk_io import OnProgress, TransferProgress

WORKERS: Final = min(8, (os.cpu_count() or 1) + 1)
_AHEAD: Final = 2 * WORKERS
_PROGRESS_EVERY_S: Final = 0.25

Task = Callable[[], None]


def run_all(tasks: Iterable[Task], tick: Callable[[], None]) -> None:
    """Run every task; `tasks` is drawn a little ahead of the threads, and `tick` called at each draw and wait.

    The first error, of a task, of `tasks` or of `tick`, stops the rest and is raised once all threads are idle.
    """
    room = threading.Semaphore(_AHEAD)
    failures: list[BaseException] = []

    def work(task: Task) -> None:
        try:
            if not failures:
                task()
        except BaseException as error:  # noqa: BLE001 - raised below, on the caller's thread
            failures.append(error)
        finally:
            room.release()

    with ThreadPoolExecutor(WORKERS, "vmkeep-worker") as threads:
        try:
            for task in tasks:
                _enter(room, tick)
                if failures:
                    break
                threads.submit(work, task)
            else:
                for _ in range(_AHEAD):  # every place free: every task done
                    _enter(room, tick)
        except BaseException as error:
            failures.append(error)
            raise
    if failures:
        raise failures[0]


def _enter(room: threading.Semaphore, tick: Callable[[], None]) -> None:
    tick()
    while not room.acquire(timeout=_PROGRESS_EVERY_S):
        tick()


class Meter:
    """Counts what several threads do, and tells `on_progress` from the thread that calls `tick`."""

    def __init__(self, on_progress: OnProgress | None, clock: Clock) -> None:
        self.total_bytes = 0
        self.stored_bytes: Callable[[], int] = int
        self._on_progress = on_progress
        self._clock = clock
        self._told_at = float("-inf")
        self._lock = threading.Lock()
        self._done = self.read_bytes = 0

    def add(self, done: int, read: int) -> None:
        """Count bytes of the disks dealt with, and bytes read for it."""
        with self._lock:
            self._done += done
            self.read_bytes += read

    def tick(self) -> None:
        """Tell how far it is, at most four times a second."""
        if self._on_progress and self._clock.monotonic() - self._told_at >= _PROGRESS_EVERY_S:
            self.tell()

    def tell(self) -> None:
        """Tell how far it is, now."""
        if self._on_progress:
            self._told_at = self._clock.monotonic()
            self._on_progress(
                TransferProgress(self._done, self.total_bytes, self.read_bytes, self.stored_bytes())
            )
