"""Publishing commands: woken by NOTIFY, claimed with SKIP LOCKED, written in the device's own clock, marked sent."""

import asyncio
import contextlib
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final

import asyncpg
import msgspec
import structlog

from mqtt_bridge import messages, topics
from mqtt_bridge.link import Link, NotConnected
from mqtt_bridge.messages import Command

log = structlog.get_logger()

CHANNEL: Final = "linli_command"
ACCESS_CHANNEL: Final = "device_access"
"""NOTIFY of the registry: a device was added, retired, revoked, or has another password."""
LOOK_EVERY_S: Final = 5.0
"""A NOTIFY can be lost with its connection; the index of waiting commands is small."""
CLAIM_S: Final = 10.0
"""A claim of a bridge that died is free again after this; the device sees the same cmd_id twice, which it knows."""

_CLAIM = """
    UPDATE command SET status = 'claimed', claimed_at = $1
    FROM (
        SELECT id FROM command
        WHERE status = 'queued' OR (status = 'claimed' AND claimed_at < $1::timestamptz - make_interval(secs => $2))
        ORDER BY created_at LIMIT 100 FOR UPDATE SKIP LOCKED
    ) AS waiting
    WHERE command.id = waiting.id
    RETURNING command.id, station_code, kind, device_code, name, args, expires_at,
        (SELECT clock_offset_ms FROM device_state WHERE device_state.device_id = command.device_id) AS clock_offset_ms
"""


class Commands:
    """Sends what stands in `command`, over whichever link is up."""

    def __init__(
        self,
        *,
        dsn: str,
        pool: "asyncpg.Pool[asyncpg.Record]",
        link: Link,
        now: Callable[[], datetime],
        on_access_changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._dsn = dsn
        self._pool = pool
        self._link = link
        self._now = now
        self._on_access_changed = on_access_changed
        self._woken = asyncio.Event()
        self.sent = 0

    async def run(self) -> None:
        """Send commands until cancelled."""
        listener = asyncio.create_task(self._listen(), name="commands:listen")
        try:
            while True:
                if not self._link.connected.is_set():
                    await self._link.connected.wait()
                    self._woken.set()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_EVERY_S):
                        await self._woken.wait()
                self._woken.clear()
                try:
                    while await self._send_waiting():
                        pass
                except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
                    log.warning("commands_wait_for_postgresql", error=type(error).__name__)
                    await asyncio.sleep(1)
        finally:
            listener.cancel()

    async def _listen(self) -> None:
        while True:
            try:
                connection = await asyncpg.connect(
                    self._dsn, timeout=5, server_settings={"application_name": "linli-bridge-commands"}
                )
                gone = asyncio.Event()
                connection.add_termination_listener(lambda _connection, gone=gone: gone.set())
                await connection.add_listener(CHANNEL, lambda *_: self._woken.set())
                await connection.add_listener(ACCESS_CHANNEL, lambda *_: self._on_access_changed())
                self._woken.set()
                self._on_access_changed()  # what was said while nobody listened
                await gone.wait()
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
                log.warning("commands_listen_failed", error=type(error).__name__)
            await asyncio.sleep(1)

    async def _send_waiting(self) -> bool:
        rows = await self._pool.fetch(_CLAIM, self._now(), CLAIM_S)
        if rows:
            await asyncio.gather(*(self._send(row) for row in rows))
        return len(rows) == 100

    async def _send(self, row: Any) -> None:
        """Publish one command. What could not be handed over is free for the next look; what expired is marked so."""
        now = self._now()
        left_s = (row["expires_at"] - now).total_seconds()
        if left_s <= 0:
            await self._pool.execute("UPDATE command SET status = 'expired' WHERE id = $1", row["id"])
            return
        offset = timedelta(milliseconds=row["clock_offset_ms"] or 0)
        command = Command(
            cmd_id=str(row["id"]),
            name=row["name"],
            args=msgspec.json.decode(row["args"]),
            expires_at=messages.format_ts(row["expires_at"] + offset),
        )
        topic = topics.make(station=row["station_code"], kind=row["kind"], device=row["device_code"], channel="cmd")
        try:
            await self._link.publish(topic, messages.encode(command), expiry_s=int(left_s))
        except (NotConnected, TimeoutError) as error:
            log.warning("command_not_sent", command=str(row["id"]), error=type(error).__name__)
            await self._pool.execute(
                "UPDATE command SET status = 'queued' WHERE id = $1 AND status = 'claimed'", row["id"]
            )
            return
        self.sent += 1
        # The answer may be here before this mark, and stays.
        await self._pool.execute(
            "UPDATE command SET sent_at = $2, status = CASE status WHEN 'claimed' THEN 'sent' ELSE status END"
            " WHERE id = $1",
            row["id"],
            now,
        )
