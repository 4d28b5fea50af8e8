"""The bridge's process: its lane, its links, the lanes of dead twins, commands, the sight report, counters."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Final

import asyncpg
import structlog
from redis.asyncio import Redis

from mqtt_bridge import topics
from mqtt_bridge.bridge import POSTGRES_AWAY, Bridge
from mqtt_bridge.commands import Commands
from mqtt_bridge.lanes import Lanes
from mqtt_bridge.link import Link
from mqtt_bridge.seal import Sealer
from mqtt_bridge.settings import Settings

log = structlog.get_logger()

PLAIN: Final = topics.telemetry_filter()
SHARED: Final = f"$share/linli/{PLAIN}"
SIGHT_EVERY_S: Final = 2.0
LANES_EVERY_S: Final = 3.0
COUNTERS_EVERY_S: Final = 30.0
DRAINED_AFTER_S: Final = 3.0
BLIND_AFTER_S: Final = 5.0
"""A database or Valkey that was away for longer makes the bridge blind: devices may have spoken unheard."""

_SIGHT = """
    INSERT INTO platform_sight (name, role, sighted_since, seen_at) VALUES ($1, 'bridge', $2, $3)
    ON CONFLICT (name) DO UPDATE SET sighted_since = excluded.sighted_since, seen_at = excluded.seen_at
"""


class LaneLost(Exception):
    """A twin holds our lane (PostgreSQL forgot us for a while): take another one."""


class Process:
    """Everything one bridge process runs."""

    def __init__(
        self,
        settings: Settings,
        *,
        name: str,
        pool: "asyncpg.Pool[asyncpg.Record]",
        bridge: Bridge,
        now: Callable[[], datetime],
    ) -> None:
        self._settings = settings
        self._name = name
        self._pool = pool
        self._bridge = bridge
        self._now = now
        self._lanes = Lanes(dsn=settings.database_url, now=now)
        self._blind_until: datetime | None = None

    async def run(self) -> None:
        """Hold a lane and work, until cancelled; without the lane, take another."""
        try:
            while True:
                number = await self._lanes.take_own()
                log.info("lane_taken", lane=number)
                try:
                    await self._work(number)
                except LaneLost:
                    log.warning("lane_lost", lane=number)
        finally:
            with contextlib.suppress(*POSTGRES_AWAY):
                await self._lanes.close()

    async def _work(self, number: int) -> None:
        safety, telemetry = self._safety_link(number), self._telemetry_link(number)
        self._share_telemetry(telemetry, alone=not self._lanes.others)
        commands = Commands(
            dsn=self._settings.database_url,
            pool=self._pool,
            link=safety,
            now=self._now,
            on_access_changed=self._bridge.registry.expire,
        )
        jobs: list[Awaitable[None]] = [
            safety.run(),
            telemetry.run(),
            self._bridge.carry_safety(safety),
            self._bridge.carry_telemetry(telemetry),
            commands.run(),
            self._report_sight(safety, telemetry),
            self._watch_lanes(number, safety, telemetry),
            self._log_counters(commands),
            self._read_retained(number, safety),
        ]
        await _together(jobs)

    def _safety_link(self, number: int) -> Link:
        return Link(
            url=self._settings.mqtt_url,
            client_id=f"linli-bridge-safety-{number}",
            filters=topics.safety_filters(),
            now=self._now,
            session_expiry_s=self._settings.session_expiry_s,
            receive_maximum=self._settings.receive_maximum,
        )

    def _telemetry_link(self, number: int) -> Link:
        return Link(
            url=self._settings.mqtt_url,
            client_id=f"linli-bridge-telemetry-{number}",
            filters=[SHARED],
            now=self._now,
            session_expiry_s=self._settings.session_expiry_s,
            receive_maximum=self._settings.receive_maximum,
        )

    @staticmethod
    def _share_telemetry(link: Link, *, alone: bool) -> None:
        """Share the telemetry with the twins; alone, take it by a plain subscription.

        Mosquitto forgets the shared subscriptions of its sessions when it is restarted (2.0.11; it keeps plain ones):
        what devices send before the bridge is back finds no subscriber then. Between the two ways messages come twice.
        """
        link.change(wanted=[PLAIN if alone else SHARED], unwanted=[SHARED if alone else PLAIN])

    async def _read_retained(self, number: int, safety: Link) -> None:
        await safety.connected.wait()
        read = await self._bridge.read_retained(
            url=self._settings.mqtt_url, client_id=f"linli-bridge-retained-{number}"
        )
        log.info("retained_read", states=read)
        await asyncio.Event().wait()

    async def _report_sight(self, safety: Link, telemetry: Link) -> None:
        """Say every 2 s that this bridge sees, and since when without a break."""
        while True:
            await asyncio.sleep(SIGHT_EVERY_S)
            now = self._now()
            waiting = [(now - since).total_seconds() for since in self._bridge.blind_since.values()]
            if max(waiting, default=0.0) > BLIND_AFTER_S:
                self._blind_until = now
                continue
            if not (safety.connected.is_set() and telemetry.connected.is_set()):
                continue
            since = max(at for at in (safety.connected_at, telemetry.connected_at, self._blind_until) if at is not None)
            try:
                await self._pool.execute(_SIGHT, self._name, since, now)
            except POSTGRES_AWAY:
                self._blind_until = now

    async def _watch_lanes(self, number: int, safety: Link, telemetry: Link) -> None:
        """Keep our lane, drain those whose bridge is gone, and share the telemetry while there are twins."""
        shared = self._lanes.others
        while True:
            await asyncio.sleep(LANES_EVERY_S)
            try:
                abandoned = await self._lanes.find_abandoned()
                if number not in self._lanes.held or safety.taken_over or telemetry.taken_over:
                    raise LaneLost
                for other in abandoned:
                    log.warning("draining_lane_of_a_dead_twin", lane=other)
                    await self._drain(other)
                    await self._lanes.retire(other)
                if self._lanes.others != shared:
                    shared = self._lanes.others
                    self._share_telemetry(telemetry, alone=not shared)
            except POSTGRES_AWAY as error:
                log.warning("lanes_not_watched", error=type(error).__name__)

    async def _drain(self, number: int) -> None:
        """Carry what a dead twin's sessions hold, ask for nothing new, and have the broker forget them."""
        safety, telemetry = self._safety_link(number), self._telemetry_link(number)
        carrying = [
            asyncio.create_task(work)
            for work in (
                safety.run(),
                telemetry.run(),
                self._bridge.carry_safety(safety),
                self._bridge.carry_telemetry(telemetry),
            )
        ]
        try:
            await safety.connected.wait()
            await telemetry.connected.wait()
            safety.unsubscribe()
            telemetry.change(wanted=[], unwanted=[PLAIN, SHARED])
            while not all(link.idle_s() > DRAINED_AFTER_S for link in (safety, telemetry)):  # noqa: ASYNC110  time passes
                await asyncio.sleep(0.5)
            for link in (safety, telemetry):
                await link.end_session()
        finally:
            for task in carrying:
                task.cancel()
            await asyncio.gather(*carrying, return_exceptions=True)

    async def _log_counters(self, commands: Commands) -> None:
        while True:
            await asyncio.sleep(COUNTERS_EVERY_S)
            log.info("bridge_counters", commands_sent=commands.sent, **self._bridge.counters)


async def _together(jobs: list[Awaitable[None]]) -> None:
    """Run all until one ends or fails; then end the others and raise what it raised."""
    tasks = [asyncio.ensure_future(job) for job in jobs]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
        raise LaneLost
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def run(
    settings: Settings,
    *,
    name: str,
    now: Callable[[], datetime],
    monotonic: Callable[[], float],
    stop: asyncio.Event,
) -> None:
    """Run a bridge until `stop`."""
    pool = asyncpg.create_pool(
        settings.database_url,
        min_size=0,
        max_size=6,
        command_timeout=15,
        timeout=5,
        server_settings={"application_name": "linli-bridge", "timezone": "UTC"},
    )
    async with contextlib.AsyncExitStack() as stack:
        while True:
            try:
                await stack.enter_async_context(pool)
                break
            except POSTGRES_AWAY as error:
                log.warning("waiting_for_postgresql", error=type(error).__name__)
                await asyncio.sleep(1)
        valkey = Redis.from_url(settings.redis_url, socket_timeout=10, socket_connect_timeout=5)
        stack.push_async_callback(valkey.aclose)
        bridge = Bridge(pool=pool, valkey=valkey, sealer=Sealer(settings.data_keys), now=now, monotonic=monotonic)
        process = Process(settings, name=name, pool=pool, bridge=bridge, now=now)
        working = asyncio.create_task(process.run())
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait([working, stopping], return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if working.done():
            working.result()
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
