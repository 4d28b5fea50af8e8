"""A link against a broker of a few lines, which says exactly these bytes in exactly this order."""

import asyncio
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from mqtt_bridge.link import Link
from tests.mqtt_bridge.conftest import until

CONNACK = b"\x20\x03\x00\x00\x00"
SUBACK_KIND, SUBSCRIBE, PUBLISH, PUBACK = 0x90, 0x80, 0x30, 0x40


def now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251  a link stamps arrivals


def publish(mid: int, topic: bytes, payload: bytes) -> bytes:
    body = struct.pack("!H", len(topic)) + topic + struct.pack("!HB", mid, 0) + payload
    return bytes([PUBLISH | 0x02, len(body)]) + body


def puback(mid: int) -> bytes:
    return struct.pack("!BBH", PUBACK, 2, mid)


class Broker:
    """Accepts one client, lets it subscribe, and hands every packet it sends to `on_packet`."""

    def __init__(self) -> None:
        self.published: list[int] = []
        self.acknowledged: list[int] = []
        self.subscribed = asyncio.Event()
        self.answer_subscribe = True
        self.writer: asyncio.StreamWriter | None = None
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        try:
            while True:
                kind = (await reader.readexactly(1))[0]
                length = (await reader.readexactly(1))[0]
                if length & 0x80:
                    length = (length & 0x7F) | (await reader.readexactly(1))[0] << 7
                body = await reader.readexactly(length)
                self.hear(kind & 0xF0, body)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    def hear(self, kind: int, body: bytes) -> None:
        assert self.writer is not None
        if kind == 0x10:
            self.writer.write(CONNACK)
        elif kind == SUBSCRIBE:
            if self.answer_subscribe:
                self.writer.write(bytes([SUBACK_KIND, 4]) + body[:2] + b"\x00\x01")
            self.subscribed.set()
        elif kind == PUBLISH:
            topic_end = 2 + (body[0] << 8 | body[1])
            self.published.append(body[topic_end] << 8 | body[topic_end + 1])
        elif kind == PUBACK:
            self.acknowledged.append(body[0] << 8 | body[1])


@asynccontextmanager
async def linked() -> AsyncIterator[tuple[Link, Broker]]:
    broker = Broker()
    server = await asyncio.start_server(broker.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    link = Link(url=f"mqtt://127.0.0.1:{port}", client_id="x", filters=["ev/#"], now=now, session_expiry_s=60)
    running = asyncio.create_task(link.run())
    try:
        await asyncio.wait_for(broker.subscribed.wait(), 10)
        yield link, broker
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        server.close()


def taken(link: Link, into: list[bytes]) -> Callable[[], list[bytes]]:
    def look() -> list[bytes]:
        into.extend(message.payload for message in link.take())
        return into

    return look


class TestLink:
    async def test_takes_a_message_that_arrives_between_the_answers_to_its_own(self) -> None:
        """With several commands on their way paho reads several packets at once: none of them may pass us by."""
        async with linked() as (link, broker):
            commands = [
                asyncio.create_task(link.publish(f"ev/v1/s/lock/{n}/cmd", b"{}", expiry_s=30)) for n in range(3)
            ]
            await until(lambda: len(broker.published) == 3)
            assert broker.writer is not None
            first, second, third = broker.published
            broker.writer.write(
                puback(first)
                + publish(7, b"ev/v1/s/lock/0/ack", b"one")
                + puback(second)
                + publish(8, b"ev/v1/s/lock/1/ack", b"two")
                + puback(third)
            )
            await asyncio.gather(*commands)
            heard: list[bytes] = []
            await until(lambda: len(taken(link, heard)()) == 2, seconds=5)
            assert heard == [b"one", b"two"]

    async def test_takes_a_message_whose_end_comes_later(self) -> None:
        """Cut at every place, behind an answer and with two commands on their way."""
        packet = publish(9, b"ev/v1/s/lock/0/event", b"late")
        for at in range(1, len(packet)):
            async with linked() as (link, broker):
                commands = [
                    asyncio.create_task(link.publish(f"ev/v1/s/lock/{n}/cmd", b"{}", expiry_s=30)) for n in range(2)
                ]
                await until(lambda broker=broker: len(broker.published) == 2)  # type: ignore[misc]
                assert broker.writer is not None
                broker.writer.write(puback(broker.published[0]) + packet[:at])
                await broker.writer.drain()
                await commands[0]
                broker.writer.write(packet[at:] + puback(broker.published[1]))
                await commands[1]
                heard: list[bytes] = []
                await until(lambda link=link, heard=heard: taken(link, heard)(), seconds=5)  # type: ignore[misc]
                assert heard == [b"late"]
