"""`python -m mqtt_bridge`: the bridge's process. Settings come from the environment (mqtt_bridge/settings.py)."""

import asyncio
import gc
import logging
import os
import signal
import socket
import sys
import time
from datetime import UTC, datetime

import structlog
import uvloop

from mqtt_bridge.process import run
from mqtt_bridge.settings import BadSetting, Settings


def _now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251  the bridge's composition root: its one reading of the clock


def _configure_logging() -> None:
    level = logging.getLevelNamesMapping().get(os.environ.get("LINLI_LOG_LEVEL", "info").upper(), logging.INFO)
    pretty = os.environ.get("LINLI_LOG_FORMAT", "auto") == "pretty" or (
        os.environ.get("LINLI_LOG_FORMAT", "auto") == "auto" and sys.stderr.isatty()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.dev.ConsoleRenderer() if pretty else structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(process="bridge")


async def _main(settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    gc.collect()
    gc.freeze()
    name = f"bridge:{socket.gethostname()}:{os.getpid()}"
    await run(settings, name=name, now=_now, monotonic=time.monotonic, stop=stop)


def main() -> int:
    """Run until SIGTERM or Ctrl-C; 2 when a setting is missing."""
    _configure_logging()
    try:
        settings = Settings.from_environ()
    except BadSetting as error:
        sys.stderr.write(f"{error}\n")
        return 2
    uvloop.run(_main(settings))
    return 0


if __name__ == "__main__":
    sys.exit(main())
