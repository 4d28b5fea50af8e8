"""One station live, over WebSocket and SSE."""

import asyncio
from datetime import datetime
from typing import Any

import httpx
import msgspec
import pytest

from backend.core.auth import Tickets, Tokens
from backend.core.ids import new_id
from backend.core.services import Services
from tests.cast import ALICE
from tests.discovery.test_search import report
from tests.factories.accounts import log_in
from tests.factories.stations import add_demo_station


def scope_of(kind: str, path: str, ticket: str) -> dict[str, Any]:
    """Return the ASGI scope of a live path."""
    return {
        "type": kind,
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        **({} if kind == "websocket" else {"method": "GET"}),
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "scheme": "ws" if kind == "websocket" else "http",
        "query_string": f"ticket={ticket}".encode(),
        "headers": [(b"accept-language", b"en")],
        "subprotocols": [],
        "client": ("127.0.0.1", 1),
        "server": ("linli.test", 80),
    }


@pytest.fixture
async def ticket(database: object, services: Services, now: datetime) -> str:
    """A ticket of alice's."""
    alice = await log_in(ALICE, services=services, now=now)
    return await services.get(Tickets).issue(services.get(Tokens).read(alice.access_token))


class TestLive:
    async def test_websocket_sends_the_snapshot(self, api: httpx.AsyncClient, ticket: str) -> None:
        demo = await add_demo_station()
        await report(demo, ac="available", dc="charging")
        app = api._transport.app  # type: ignore[attr-defined]
        sent: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        incoming.put_nowait({"type": "websocket.connect"})
        running = asyncio.create_task(
            app(scope_of("websocket", f"/v1/stations/{demo.station.id}/live", ticket), incoming.get, sent.put)
        )
        async with asyncio.timeout(5):
            assert (await sent.get())["type"] == "websocket.accept"
            snapshot = msgspec.json.decode(str((await sent.get())["text"]))
            incoming.put_nowait({"type": "websocket.disconnect", "code": 1000})
            await running
        assert (snapshot["type"], snapshot["station_id"]) == ("snapshot", str(demo.station.id))
        assert snapshot["counts"]["resident"] == {"total": 2, "free": 1, "unknown": 0}
        assert sorted(gun["status"] for gun in snapshot["connectors"]) == ["available", "charging", "unknown"]

    async def test_sse_sends_the_snapshot(self, api: httpx.AsyncClient, ticket: str) -> None:
        demo = await add_demo_station()
        app = api._transport.app  # type: ignore[attr-defined]
        events: list[bytes] = []
        got = asyncio.Event()

        async def receive() -> dict[str, Any]:
            await got.wait()
            return {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            events.append(message.get("body", b""))
            if b"\n\r\n" in b"".join(events) or b"\n\n" in b"".join(events):
                got.set()

        async with asyncio.timeout(5):
            await app(scope_of("http", f"/v1/stations/{demo.station.id}/live", ticket), receive, send)
        assert b"event: snapshot" in b"".join(events)

    @pytest.mark.parametrize("tail", ["?ticket=used", "?ticket=", ""])
    async def test_is_closed_without_a_good_ticket(self, api: httpx.AsyncClient, tail: str) -> None:
        demo = await add_demo_station()
        answer = await api.get(f"/v1/stations/{demo.station.id}/live{tail}")
        assert answer.status_code in (400, 401, 422)
        assert answer.headers["content-type"].startswith("application/problem+json")

    async def test_of_a_station_that_is_not_there_is_a_404(self, api: httpx.AsyncClient, ticket: str) -> None:
        answer = await api.get(f"/v1/stations/{new_id()}/live?ticket={ticket}")
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
