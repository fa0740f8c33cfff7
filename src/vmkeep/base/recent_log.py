"""The last lines of this process's log, kept in memory, so that a collection of logs can hold our own."""

import logging
from collections import deque

MOST_LINES = 2000
LONGEST_LINE = 4000


class RecentLog(logging.Handler):
    """Keeps the last lines as its formatter writes them."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: deque[str] = deque(maxlen=MOST_LINES)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line."""
        self.lines.append(self.format(record)[:LONGEST_LINE])


def recent_log() -> str:
    """Return the last lines of the log, oldest first; empty when none are kept."""
    kept = [handler for handler in logging.getLogger().handlers if isinstance(handler, RecentLog)]
    return "".join(f"{line}\n" for handler in kept for line in list(handler.lines))
