"""Where log lines go: structlog to stderr, as JSON or for people; libraries' logging goes the same way."""

import logging
import sys

import structlog

from vmkeep.base.errors import InvalidValue
from vmkeep.base.recent_log import RecentLog

_FORMATS = {"auto", "console", "json"}
_LEVELS = {"debug", "info", "warning", "error"}
_NOISY = ("azure", "uvicorn.access", "dbos", "alembic.runtime.migration")


def start_logging(log_format: str, level: str) -> None:
    """Set up logging of the whole process; raises InvalidValue."""
    _check("log_format", log_format, _FORMATS)
    _check("log_level", level, _LEVELS)
    for_people = log_format == "console" or (log_format == "auto" and sys.stderr.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: list[structlog.typing.Processor] = (
        [
            structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        ]  # no locals: secrets
        if for_people
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer],
        )
    )
    kept = RecentLog()
    kept.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    logging.basicConfig(handlers=[handler, kept], level=level.upper(), force=True)
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)


def _check(name: str, value: str, allowed: set[str]) -> None:
    if value not in allowed:
        raise InvalidValue(
            what=f"setting {name}", value=value, why=f"it must be one of {', '.join(sorted(allowed))}"
        )
