"""The inbox over HTTP, SSE and WebSocket."""

import asyncio
from datetime import datetime
from uuid import UUID

import httpx
import msgspec
import pytest
from piccolo.engine.postgres import PostgresEngine

from backend.core.auth import Principal, Tickets, Tokens
from backend.core.ids import new_id
from backend.core.live import Live
from backend.core.services import Services
from backend.notifications import service as notifications
from backend.notifications.controllers import watch_inbox
from backend.notifications.gateways import live
from tests.cast import ALICE, BOB
from tests.factories.accounts import Login, log_in
from tests.fakes import FixedClock
from tests.jobs import run_due_jobs


@pytest.fixture
async def alice(database: PostgresEngine, services: Services, now: datetime) -> Login:
    """A logged-in resident."""
    return await log_in(ALICE, services=services, now=now)


@pytest.fixture
async def bob(database: PostgresEngine, services: Services, now: datetime) -> Login:
    """Another logged-in resident."""
    return await log_in(BOB, services=services, now=now)


async def tell(recipient: UUID, now: datetime, *, count: int = 1) -> None:
    for number in range(count):
        await notifications.notify(
            recipient=recipient,
            event_key=f"refund:{number}",
            template="refund_done",
            params={"total_yuan": f"{number}.00"},
            safety=False,
            now=now,
        )


class TestListInbox:
    async def test_shows_my_messages_newest_first_in_my_language(
        self, api: httpx.AsyncClient, alice: Login, bob: Login, now: datetime
    ) -> None:
        await tell(alice.account_id, now, count=2)
        answer = await api.get("/v1/inbox", headers=alice.headers)
        items = answer.json()["items"]
        assert [item["params"]["total_yuan"] for item in items] == ["1.00", "0.00"]
        assert items[0]["title"] == "Refund made"
        assert items[0]["read_at"] is None
        chinese = await api.get("/v1/inbox", headers=alice.headers | {"Accept-Language": "zh-CN"})
        assert chinese.json()["items"][0]["title"] == "退款成功"
        assert (await api.get("/v1/inbox", headers=bob.headers)).json() == {"items": [], "next": None}

    async def test_pages_through_all_of_them(self, api: httpx.AsyncClient, alice: Login, now: datetime) -> None:
        await tell(alice.account_id, now, count=5)
        seen: list[str] = []
        cursor = ""
        while True:
            answer = (await api.get(f"/v1/inbox?limit=2{cursor}", headers=alice.headers)).json()
            seen += [item["params"]["total_yuan"] for item in answer["items"]]
            if answer["next"] is None:
                break
            cursor = f"&cursor={answer['next']}"
        assert seen == ["4.00", "3.00", "2.00", "1.00", "0.00"]

    async def test_is_304_while_nothing_is_new(self, api: httpx.AsyncClient, alice: Login, now: datetime) -> None:
        await tell(alice.account_id, now)
        first = await api.get("/v1/inbox", headers=alice.headers)
        again = await api.get("/v1/inbox", headers=alice.headers | {"If-None-Match": first.headers["etag"]})
        assert again.status_code == 304

    async def test_needs_a_login(self, api: httpx.AsyncClient) -> None:
        assert (await api.get("/v1/inbox")).status_code == 401

    @pytest.mark.parametrize(("query", "status"), [("cursor=nonsense", 422), ("limit=0", 422), ("limit=1000", 422)])
    async def test_refuses_a_bad_query(self, api: httpx.AsyncClient, alice: Login, query: str, status: int) -> None:
        answer = await api.get(f"/v1/inbox?{query}", headers=alice.headers)
        assert answer.status_code == status
        assert answer.headers["content-type"].startswith("application/problem+json")


class TestReadMessage:
    async def test_keeps_the_first_time(self, api: httpx.AsyncClient, alice: Login, clock: FixedClock) -> None:
        await tell(alice.account_id, clock.now())
        (item,) = (await api.get("/v1/inbox", headers=alice.headers)).json()["items"]
        first = await api.post(f"/v1/inbox/{item['id']}/read", headers=alice.headers)
        clock.advance(minutes=1)
        again = await api.post(f"/v1/inbox/{item['id']}/read", headers=alice.headers)
        assert first.status_code == again.status_code == 200
        assert first.json()["read_at"] == again.json()["read_at"] is not None
        unread = await api.get("/v1/inbox?unread=true", headers=alice.headers)
        assert unread.json()["items"] == []

    async def test_another_persons_message_looks_absent(
        self, api: httpx.AsyncClient, alice: Login, bob: Login, now: datetime
    ) -> None:
        await tell(alice.account_id, now)
        (item,) = (await api.get("/v1/inbox", headers=alice.headers)).json()["items"]
        foreign = await api.post(f"/v1/inbox/{item['id']}/read", headers=bob.headers)
        absent = await api.post(f"/v1/inbox/{new_id()}/read", headers=bob.headers)
        assert foreign.status_code == absent.status_code == 404
        assert foreign.json()["code"] == absent.json()["code"] == "message_not_found"


class TestWatchInbox:
    async def test_starts_with_the_unread_and_goes_on_with_the_new(
        self, alice: Login, services: Services, clock: FixedClock
    ) -> None:
        await tell(alice.account_id, clock.now())
        stream = watch_inbox(account_id=alice.account_id, live=services.get(Live), locale="en")
        first = await anext(stream)
        assert (first.type, len(first.items)) == ("snapshot", 1)
        await notifications.notify(
            recipient=alice.account_id,
            event_key="incident:1",
            template="danger_stay_away",
            params={"station": "天通苑北站"},
            safety=True,
            now=clock.now(),
        )
        await run_due_jobs(now=clock.now(), services=services, only="notifications.announce")
        async with asyncio.timeout(5):
            message = await anext(stream)
        assert message.type == "message"
        assert message.items[0].safety
        assert message.items[0].title == "Danger: stay away from 天通苑北站"
        await stream.aclose()

    async def test_sse_sends_the_snapshot_to_the_holder_of_a_ticket(
        self, api: httpx.AsyncClient, alice: Login, services: Services, now: datetime
    ) -> None:
        await tell(alice.account_id, now)
        ticket = await services.get(Tickets).issue(await principal_of(alice, services))
        app = api._transport.app  # type: ignore[attr-defined]
        events: list[bytes] = []
        got = asyncio.Event()
        gone = asyncio.Event()

        async def receive() -> dict[str, object]:
            if not got.is_set():
                await got.wait()
            gone.set()
            return {"type": "http.disconnect"}

        async def send(message: dict[str, object]) -> None:
            body = message.get("body")
            if isinstance(body, bytes) and body:
                events.append(body)
                if b"\n\n" in body or b"\r\n\r\n" in b"".join(events):
                    got.set()

        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "GET",
            "path": "/v1/inbox/live",
            "raw_path": b"/v1/inbox/live",
            "root_path": "",
            "scheme": "http",
            "query_string": f"ticket={ticket}".encode(),
            "headers": [(b"accept-language", b"en")],
            "client": ("127.0.0.1", 1),
            "server": ("linli.test", 80),
        }
        async with asyncio.timeout(5):
            await app(scope, receive, send)
        text = b"".join(events).decode()
        assert "event: snapshot" in text
        assert "Refund made" in text

    async def test_websocket_sends_the_snapshot_and_what_comes(
        self, api: httpx.AsyncClient, alice: Login, services: Services, clock: FixedClock
    ) -> None:
        ticket = await services.get(Tickets).issue(await principal_of(alice, services))
        app = api._transport.app  # type: ignore[attr-defined]
        sent: asyncio.Queue[dict[str, object]] = asyncio.Queue()
        incoming: asyncio.Queue[dict[str, object]] = asyncio.Queue()
        incoming.put_nowait({"type": "websocket.connect"})
        scope = {
            "type": "websocket",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "path": "/v1/inbox/live",
            "raw_path": b"/v1/inbox/live",
            "root_path": "",
            "scheme": "ws",
            "query_string": f"ticket={ticket}".encode(),
            "headers": [(b"accept-language", b"zh-CN")],
            "subprotocols": [],
            "client": ("127.0.0.1", 1),
            "server": ("linli.test", 80),
        }
        running = asyncio.create_task(app(scope, incoming.get, sent.put))
        async with asyncio.timeout(5):
            assert (await sent.get())["type"] == "websocket.accept"
            snapshot = msgspec.json.decode(str((await sent.get())["text"]))
            assert snapshot == {"type": "snapshot", "items": []}
            await tell(alice.account_id, clock.now())
            await announce_newest(alice, services)
            message = msgspec.json.decode(str((await sent.get())["text"]))
            assert message["items"][0]["title"] == "退款成功"
            incoming.put_nowait({"type": "websocket.disconnect", "code": 1000})
            await running


async def announce_newest(login: Login, services: Services) -> None:
    """Announce the newest message; the listener reads it on the test's one connection, so nothing runs beside it."""
    (newest, *_) = await notifications.list_inbox(account_id=login.account_id, locale="en")
    await live.announce(recipient_id=login.account_id, message_id=newest.id, live=services.get(Live))


async def principal_of(login: Login, services: Services) -> Principal:
    return services.get(Tokens).read(login.access_token)
