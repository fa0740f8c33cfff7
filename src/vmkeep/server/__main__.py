"""The process behind `vmkeep up`: settings from a file and the environment, errors as one clear line each."""

import os
import signal
import sys
from pathlib import Path

import structlog

from vmkeep.base.clock import SystemClock
from vmkeep.base.config import load
from vmkeep.base.errors import VmkeepError
from vmkeep.server.https import HttpsServer
from vmkeep.server.logs import start_logging
from vmkeep.server.service import ReadyService, open_service
from vmkeep.server.settings import Settings
from vmkeep.server.wiring import assemble

log = structlog.get_logger()


def main() -> int:
    """Run until SIGTERM or SIGINT; return the exit code."""
    try:
        file = os.environ.get("VMKEEP_CONFIG")
        settings = load(Settings, file=Path(file) if file else None, environ=os.environ, flags={})
        start_logging(settings.log_format, settings.log_level)
        with open_service(settings, assemble, SystemClock()) as ready:
            server = ready.make_server(lambda: _announce(ready))
            _stop_on_signals(server)
            ready.serve_until_stopped(server)
    except VmkeepError as error:
        sys.stderr.write(f"vmkeep cannot run: {error}\nWhat to do: {error.advice}\n")
        return 1
    log.info("server.stopped")
    return 0


def _announce(ready: ReadyService) -> None:
    sys.stdout.write(f"vmkeep is ready at {ready.url} (client file: {ready.client_file})\n")
    sys.stdout.flush()


def _stop_on_signals(server: HttpsServer) -> None:
    def stop(_signal: int, _frame: object) -> None:
        server.force_exit = server.should_exit
        server.should_exit = True

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(
        code
    )  # a step that could not stop in time, such as a look at a silent guest, keeps no process alive
