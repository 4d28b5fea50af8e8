"""The ingest process: the telemetry lane from Valkey to PostgreSQL, the rules and the live channels."""

import asyncio
import contextlib
import gc
import os
import signal
import socket
from collections.abc import Sequence

import structlog
from redis.asyncio import Redis

from backend import wiring
from backend.alerts import service as alerts
from backend.core import db
from backend.core.clock import Clock
from backend.core.live import Live
from backend.core.logging import configure_logging
from backend.core.services import Services
from backend.core.settings import Settings
from backend.telemetry.consumer import Consumer
from backend.telemetry.service import Sample

log = structlog.get_logger()

NICE = 10
"""On a machine that is busy, telemetry may wait for what alarms need: the bridge, the worker, the API."""


def build_consumer(services: Services) -> Consumer:
    """Return the consumer of this process, its samples wired to the rules of alerts."""
    clock = services.get(Clock)  # type: ignore[type-abstract]

    async def on_samples(samples: Sequence[Sample]) -> None:
        await alerts.evaluate_samples(samples, now=clock.now())

    return Consumer(
        name=f"ingest:{socket.gethostname()}:{os.getpid()}",
        valkey=services.get(Redis),
        live=services.get(Live),
        clock=clock,
        on_samples=on_samples,
    )


async def run() -> None:
    """Consume until SIGTERM or SIGINT. PostgreSQL need not be there yet."""
    settings = Settings.from_environ()
    configure_logging(process="ingest", log_format=settings.log_format, level=settings.log_level)
    services = wiring.build_services(settings)
    stop = asyncio.Event()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signal_number, stop.set)
    await db.open_database(settings.database_url, max_size=settings.database_pool_size)
    gc.collect()
    gc.freeze()
    consuming = asyncio.create_task(build_consumer(services).run())
    stopping = asyncio.create_task(stop.wait())
    log.info("ingest_started")
    try:
        await asyncio.wait({consuming, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if consuming.done():
            consuming.result()
    finally:
        consuming.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await consuming
        stopping.cancel()
        await wiring.close_services(services)


def main() -> None:
    """Entry point of `linli ingest`."""
    import uvloop

    os.nice(NICE)
    uvloop.run(run())
