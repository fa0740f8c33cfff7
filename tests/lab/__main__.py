"""The lab's command line.

python -m tests.lab run [--bare] CMD…   run CMD inside a new lab; prepare a guest first unless --bare
python -m tests.lab prepare             build and save what `run` needs, so that it starts at once

Exit code: that of CMD; 77 when this machine does not allow labs.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from tests.lab.errors import LabNotPermitted
from tests.lab.machine import ALPHA
from tests.lab.namespace import NOT_PERMITTED, live_inside, require_permission, run_in_lab
from tests.lab.saved import save, saved_guest


def main(words: Sequence[str]) -> int:
    """Do what `words` ask."""
    match list(words):
        case ["prepare"]:
            require_permission()
            saved_guest(ALPHA.name)
            return 0
        case ["run", "--bare", *command] if command:
            return run_in_lab(command)
        case ["run", *command] if command:
            require_permission()
            saved_guest(ALPHA.name)
            return run_in_lab(command)
        case ["inside", folder, *command]:
            return live_inside(Path(folder), command)
        case ["save", name, folder]:
            save(name, Path(folder))
            return 0
        case _:
            sys.stderr.write(__doc__)
            return 2


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except LabNotPermitted as error:
        sys.stderr.write(f"{error}. {error.advice}\n")
        sys.exit(NOT_PERMITTED)
