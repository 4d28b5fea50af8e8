"""Logs: structlog, JSON for machines and coloured lines on a terminal, never with personal data.

Callers log ids and codes. As a second fence, values under names that hold personal data or secrets are masked here.
"""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

MASKED = frozenset(
    {
        "phone",
        "plate",
        "openid",
        "name",
        "authorization",
        "token",
        "access_token",
        "refresh_token",
        "code_sent",
        "address",
    }
)


def mask_personal(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace values under telling names by a mask, whatever a caller put there."""
    for key in MASKED & event.keys():
        event[key] = "***"
    return event


def configure_logging(*, process: str, log_format: str, level: str) -> None:
    """Set up structlog and the standard library's logging for this process ("api", "worker", ...)."""
    pretty = log_format == "pretty" or (log_format == "auto" and sys.stderr.isatty())
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        mask_personal,
    ]
    renderer: list[Any] = (
        # A rich traceback shows local variables: keys and personal data.
        [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
        if pretty
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(ensure_ascii=False)]
    )
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[*shared, *renderer],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(process=process)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(max(number, logging.INFO))
    for noisy in ("httpx", "httpcore", "hpack", "pgqueuer", "_granian"):
        logging.getLogger(noisy).setLevel(max(number, logging.WARNING))
