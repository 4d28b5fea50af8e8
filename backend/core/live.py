"""Live fan-out over Valkey pub/sub: one connection per process, however many listeners.

What is published here is display only: every live path starts with a snapshot from PostgreSQL, and a client that
missed something reads it there. A listener that cannot keep up loses the oldest messages, never the newest.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from backend.core.cancelling import end_if_cancelled

log = structlog.get_logger()

BACKLOG = 200
"""Messages kept for one slow listener."""


class _Listener:
    def __init__(self) -> None:
        self.messages: deque[tuple[str, bytes]] = deque(maxlen=BACKLOG)
        self.ready = asyncio.Event()

    def push(self, channel: str, data: bytes) -> None:
        self.messages.append((channel, data))
        self.ready.set()


class Live:
    """Publishes and listens on named channels (`station:{id}`, `session:{id}`, ...)."""

    def __init__(self, valkey: "Redis") -> None:
        self._valkey = valkey
        self._pubsub = valkey.pubsub(ignore_subscribe_messages=True)
        self._listeners: dict[str, set[_Listener]] = {}
        self._reader: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()

    async def publish(self, channel: str, message: Any) -> None:
        """Send `message` (a struct or a dict) to whoever listens; call it after the commit, never before.

        A Valkey that is away costs the live picture, not the caller: the failure is logged and the call returns.
        """
        data = message if isinstance(message, bytes) else msgspec.json.encode(message)
        try:
            await self._valkey.publish(f"live:{channel}", data)
        except (RedisError, OSError) as error:
            log.warning("live_publish_failed", channel=channel.split(":")[0], error=type(error).__name__)

    async def listen(self, *channels: str) -> AsyncIterator[tuple[str, bytes]]:
        """Yield (channel, JSON bytes) of everything published on `channels` from now on, until the caller stops."""
        listener = _Listener()
        await self._attach(listener, channels)
        try:
            while True:
                while listener.messages:
                    yield listener.messages.popleft()
                listener.ready.clear()
                await listener.ready.wait()
        finally:
            self._detach(listener, channels)

    async def subscribed(self, *channels: str) -> "Subscription":
        """Subscribe now and return an iterator to read later, so that a snapshot taken in between misses nothing."""
        listener = _Listener()
        await self._attach(listener, channels)
        return Subscription(self, listener, channels)

    async def _attach(self, listener: _Listener, channels: tuple[str, ...]) -> None:
        fresh = [channel for channel in channels if not self._listeners.get(channel)]
        for channel in channels:
            self._listeners.setdefault(channel, set()).add(listener)
        if self._reader is None:
            self._reader = asyncio.create_task(self._read(), name="live:reader")
        if fresh:
            try:
                await self._pubsub.subscribe(*[f"live:{channel}" for channel in fresh])
            except (RedisError, OSError) as error:
                log.warning("live_subscribe_failed", error=type(error).__name__)
            self._wake.set()

    def _detach(self, listener: _Listener, channels: tuple[str, ...]) -> None:
        for channel in channels:
            holders = self._listeners.get(channel, set())
            holders.discard(listener)
            if not holders:
                self._listeners.pop(channel, None)
                # The subscription at the server is dropped by the reader on its next message for nobody.

    async def _read(self) -> None:
        while True:
            end_if_cancelled()
            try:
                if not self._pubsub.subscribed:
                    if not self._listeners:
                        self._wake.clear()
                        await self._wake.wait()
                        continue
                    await self._pubsub.subscribe(*[f"live:{channel}" for channel in self._listeners])
                message = await self._pubsub.get_message(timeout=30)
            except (RedisError, OSError) as error:
                end_if_cancelled()
                log.warning("live_connection_lost", error=type(error).__name__)
                await asyncio.sleep(0.5)
                continue
            if message is None:
                continue
            channel = message["channel"].decode().removeprefix("live:")
            holders = self._listeners.get(channel)
            if not holders:
                await self._pubsub.unsubscribe(f"live:{channel}")
                continue
            for holder in holders:
                holder.push(channel, message["data"])

    async def close(self) -> None:
        """Stop reading and give the connection back."""
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)
            self._reader = None
        await self._pubsub.aclose()  # type: ignore[no-untyped-call]


class Subscription:
    """An iterator over messages that counts from the moment it was made."""

    def __init__(self, live: Live, listener: _Listener, channels: tuple[str, ...]) -> None:
        self._live, self._listener, self._channels = live, listener, channels

    def __aiter__(self) -> "Subscription":
        return self

    async def __anext__(self) -> tuple[str, bytes]:
        while not self._listener.messages:
            self._listener.ready.clear()
            await self._listener.ready.wait()
        return self._listener.messages.popleft()

    def close(self) -> None:
        """Stop listening."""
        self._live._detach(self._listener, self._channels)
