"""Running tools and waiting for things."""

import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from tests.lab.errors import LabCommandFailed, LabTimedOut
from vmkeep.base.clock import SystemClock

CLOCK = SystemClock()
PAUSE_S = 0.05
T = TypeVar("T")


def run(*command: str | Path, text: str = "") -> str:
    """Run a tool with `text` as its input, return its output; `LabCommandFailed` when it ends with an error."""
    words = [str(word) for word in command]
    done = subprocess.run(
        words, input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode:
        raise LabCommandFailed(shlex.join(words), done.returncode, last_lines(done.stdout))
    return done.stdout


def say(doing: str) -> None:
    """Tell who waits what takes so long."""
    sys.stderr.write(f"lab: {doing}; about a minute, kept for later\n")


def last_lines(output: str, count: int = 15) -> str:
    """Return the end of a long output."""
    return "\n".join(output.rstrip().splitlines()[-count:])


def wait_for(look: Callable[[], T | None], what: str, *, limit_s: float = 30) -> T:
    """Return the first true thing that `look` returns; `LabTimedOut` when there is none within `limit_s`."""
    end = CLOCK.monotonic() + limit_s
    while not (seen := look()):
        if CLOCK.monotonic() > end:
            raise LabTimedOut(what, limit_s)
        CLOCK.sleep(PAUSE_S)
    return seen


def version_of(command: Sequence[str]) -> str:
    """Return the first line of what `command` prints."""
    return run(*command).partition("\n")[0]
