"""A folder that a restore fills before anything appears at its place.

Its name carries the job's id, so whatever lies in it is the job's own, also after a crash.
"""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vmkeep.workflows.errors import TargetTaken, TargetUnusable

_NO_HARD_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS}


class Staging:
    """The folder `.vmkeep-<job>` inside `parent`."""

    def __init__(self, parent: Path, job_id: str) -> None:
        self.parent = parent
        self.folder = parent / f".vmkeep-{job_id}"

    def begin(self) -> None:
        """Have the folder, empty; raises TargetUnusable."""
        with _usable(self.folder):
            self.remove()
            self.folder.mkdir(parents=True, mode=0o700)

    def remove(self) -> None:
        """Have no such folder."""
        if self.folder.exists():
            shutil.rmtree(self.folder)

    def become(self, final: Path) -> None:
        """Become another folder at once; done already is no error. Raises TargetTaken, TargetUnusable."""
        if not self.folder.exists():
            return
        try:
            with _usable(final):
                self.folder.chmod(0o755)
                self.folder.rename(final)
        except TargetUnusable as error:
            if final.exists():
                raise TargetTaken(path=str(final)) from error
            raise

    def release(self) -> None:
        """Put each file into the parent, over none that is there; done already is no error.

        Raises TargetTaken, TargetUnusable.
        """
        if not self.folder.exists():
            return
        with _usable(self.parent):
            for staged in sorted(self.folder.iterdir()):
                _put(staged, self.parent / staged.name)
            self.remove()

    def take_back(self) -> None:
        """Undo a `release` that was cut short, and remove the folder."""
        if self.folder.exists():
            for staged in self.folder.iterdir():
                released = self.parent / staged.name
                if released.exists() and released.samefile(staged):
                    released.unlink()
            self.remove()


def _put(staged: Path, final: Path) -> None:
    try:
        os.link(staged, final)
    except FileExistsError as error:
        if not final.samefile(staged):
            raise TargetTaken(path=str(final)) from error
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        if final.exists():
            raise TargetTaken(path=str(final)) from error
        staged.rename(final)


@contextmanager
def _usable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise TargetUnusable(path=str(path), why=error.strerror or str(error)) from error
