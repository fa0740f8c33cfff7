import logging
import subprocess
import sys

from vmkeep.base.recent_log import LONGEST_LINE, MOST_LINES, RecentLog

SCRIPT = """
import structlog
from vmkeep.base.recent_log import recent_log
from vmkeep.server.logs import start_logging
start_logging("console", "info")
structlog.get_logger().info("wire.request.refused", vm="web01")
print(recent_log())
"""


def test_only_the_last_lines_are_kept_and_none_is_endless() -> None:
    kept = RecentLog()
    for number in range(MOST_LINES + 1):
        kept.handle(logging.makeLogRecord({"msg": f"{number} " + "x" * LONGEST_LINE}))
    assert len(kept.lines) == MOST_LINES
    assert kept.lines[0].startswith("1 ")
    assert len(kept.lines[0]) == LONGEST_LINE


def test_the_service_keeps_what_it_logs() -> None:
    told = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True).stdout
    assert '"event": "wire.request.refused"' in told
    assert '"vm": "web01"' in told
