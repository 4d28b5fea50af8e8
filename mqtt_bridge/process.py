"""The bridge's process: its lane, the telemetry lane by lease, the lanes of dead twins, commands, sight, counters."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Final

import asyncpg
import structlog
from redis.asyncio import Redis

from mqtt_bridge import topics
from mqtt_bridge.bridge import POSTGRES_AWAY, Bridge, end_if_cancelled
from mqtt_bridge.commands import Commands
from mqtt_bridge.lanes import TELEMETRY, Lanes
from mqtt_bridge.link import Link
from mqtt_bridge.seal import Sealer
from mqtt_bridge.settings import Settings

log = structlog.get_logger()

TELEMETRY_CLIENT: Final = "linli-bridge-telemetry"
"""The one client id of the telemetry lane, whoever carries it."""
SIGHT_EVERY_S: Final = 2.0
LANES_EVERY_S: Final = 3.0
COUNTERS_EVERY_S: Final = 30.0
DRAINED_AFTER_S: Final = 3.0
BLIND_AFTER_S: Final = 5.0
"""A database or Valkey that was away for longer makes the bridge blind: devices may have spoken unheard."""

_SIGHT = """
    INSERT INTO platform_sight (name, role, sighted_since, seen_at) VALUES ($1, $2, $3, $4)
    ON CONFLICT (name) DO UPDATE SET role = excluded.role, sighted_since = excluded.sighted_since,
        seen_at = excluded.seen_at
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
        self._carries = asyncio.Event()
        self._abandoned: asyncio.Queue[int] = asyncio.Queue()

    async def run(self) -> None:
        """Hold a lane and work, until cancelled; without the lane, give all leases back and take another."""
        while True:
            try:
                number = await self._lanes.take_own()
                log.info("lane_taken", lane=number)
                await self._work(number)
            except LaneLost:
                log.warning("lane_lost")
            finally:
                with contextlib.suppress(*POSTGRES_AWAY):
                    await self._lanes.close()
            self._lanes = Lanes(dsn=self._settings.database_url, now=self._now)
            self._carries.clear()
            self._abandoned = asyncio.Queue()

    async def _work(self, number: int) -> None:
        safety, telemetry = self._safety_link(number), self._telemetry_link()
        commands = Commands(
            dsn=self._settings.database_url,
            pool=self._pool,
            link=safety,
            now=self._now,
            on_access_changed=self._bridge.registry.expire,
        )
        jobs: list[Awaitable[None]] = [
            safety.run(),
            self._bridge.carry_safety(safety),
            self._carry_telemetry(telemetry),
            commands.run(),
            self._report_sight(safety, telemetry),
            self._watch_leases(number, safety),
            self._drain_abandoned(safety),
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

    def _telemetry_link(self) -> Link:
        return Link(
            url=self._settings.mqtt_url,
            client_id=TELEMETRY_CLIENT,
            filters=[topics.telemetry_filter()],
            now=self._now,
            session_expiry_s=self._settings.session_expiry_s,
            receive_maximum=self._settings.receive_maximum,
        )

    async def _carry_telemetry(self, link: Link) -> None:
        """Carry the telemetry lane whenever its lease is ours. A twin that has it takes the session from us.

        One session and a plain subscription, because Mosquitto forgets shared ones at its restart (2.0.11) and gives a
        dead member its share: docs/decisions/160.
        """
        while True:
            await self._carries.wait()
            log.info("telemetry_lane_taken")
            carrying = [asyncio.create_task(work) for work in (link.run(), self._bridge.carry_telemetry(link))]
            losing = asyncio.create_task(self._lease_lost())
            try:
                done, _ = await asyncio.wait([*carrying, losing], return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
            finally:
                for task in (*carrying, losing):
                    task.cancel()
                await asyncio.gather(*carrying, losing, return_exceptions=True)
            log.warning("telemetry_lane_lost")
            link.renew()
            await asyncio.sleep(1)

    async def _lease_lost(self) -> None:
        while self._carries.is_set():  # noqa: ASYNC110  an Event has no "until cleared"
            await asyncio.sleep(0.2)

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
            carries = self._carries.is_set()
            if not safety.connected.is_set() or (carries and not telemetry.connected.is_set()):
                continue
            links = (safety, telemetry) if carries else (safety,)
            known = (*(link.connected_at for link in links), self._blind_until)
            since = max(at for at in known if at is not None)
            # Only who carries the telemetry sees; until a twin took over from a dead one, the platform is blind.
            try:
                await self._pool.execute(_SIGHT, self._name, "bridge" if carries else "standby", since, now)
            except POSTGRES_AWAY:
                end_if_cancelled()
                self._blind_until = now

    async def _watch_leases(self, number: int, safety: Link) -> None:
        """Keep our lane and the telemetry lane when nobody has it, and find lanes whose bridge is gone."""
        while True:
            try:
                if await self._lanes.hold(TELEMETRY):
                    self._carries.set()
                else:
                    self._carries.clear()
                if number not in self._lanes.held or safety.taken_over:
                    raise LaneLost
                await asyncio.sleep(LANES_EVERY_S)
                for other in await self._lanes.find_abandoned():
                    self._abandoned.put_nowait(other)
            except POSTGRES_AWAY as error:
                end_if_cancelled()
                log.warning("leases_not_watched", error=type(error).__name__)
                await asyncio.sleep(1)

    async def _drain_abandoned(self, safety: Link) -> None:
        """Drain the lanes of dead twins, once we hear ourselves all that they would have heard."""
        while True:
            number = await self._abandoned.get()
            log.warning("draining_lane_of_a_dead_twin", lane=number)
            try:
                await safety.subscribed.wait()
                await self._drain(number)
                await self._lanes.retire(number)
            except POSTGRES_AWAY as error:
                end_if_cancelled()
                log.warning("lane_not_drained", lane=number, error=type(error).__name__)
            with contextlib.suppress(*POSTGRES_AWAY):
                await self._lanes.give_back(number)

    async def _drain(self, number: int) -> None:
        """Carry what a dead twin's session holds, ask for nothing new, and have the broker forget it."""
        link = self._safety_link(number)
        carrying = [asyncio.create_task(work) for work in (link.run(), self._bridge.carry_safety(link))]
        try:
            await link.connected.wait()
            link.unsubscribe()
            while link.idle_s() <= DRAINED_AFTER_S:
                if link.taken_over:
                    return
                await asyncio.sleep(0.5)
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
