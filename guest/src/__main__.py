"""Where Python enters the extension's folder. Its first lines must be understood by any Python, however old."""

import sys

TOO_OLD = 71
"""Tells `handle.sh` to look for another Python."""

if sys.version_info < (3, 6):
    sys.exit(TOO_OLD)

sys.path.insert(0, __file__.rpartition("/")[0])  # Python -I leaves it out

from vmkeep_guest.command import main  # noqa: E402 - only a new enough Python can read it

sys.exit(main(sys.argv[1:]))
