"""No other person's data, over the whole API: every operation of the OpenAPI text, called by everybody whose it is not.

The owner's call goes through first (so that a refusal is one of the person, not of the call), then everybody else's is
refused, and nothing they get says anything of alice. An operation that is not in `coverage` fails here.
"""

import asyncio
import json
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import httpx
import pytest

from backend.app import build_app
from backend.core import db
from backend.core.auth import Principal, TicketInvalid, Tickets, Tokens
from backend.core.services import Services
from tests.discovery.test_live_api import scope_of
from tests.house.coverage import CASES, EXEMPT, LIVE, PHOTO, SHEET, Case
from tests.house.world import World, build_world

ROLES = {"G": ("wang",), "L": ("zhao",), "O": ("li", "qian"), "I": ("sun",)}
"""Who has which role at alice's company; of two, what one drafted the other approves."""
OTHERS = {"G": "wu", "L": "zheng", "O": "zhou", "I": "he"}
"""Who has the role at the other company: may do it there, and not here."""
SECRET_NAMES = re.compile(r"_(hash|cipher)$")


class Undo(Exception):
    """Ends a call's transaction without a trace."""


Operations = dict[str, tuple[str, str]]


def operations(services: Services) -> Operations:
    """Return method and path of every operation of the OpenAPI text by its id."""
    paths = build_app(services).openapi_schema.to_schema()["paths"]
    return {
        operation["operationId"]: (method.upper(), path)
        for path, item in paths.items()
        for method, operation in item.items()
        if isinstance(operation, dict) and "operationId" in operation
    }


@pytest.fixture
async def world(api: httpx.AsyncClient, services: Services, now: Any) -> World:
    return await build_world(api=api, services=services, now=now)


class Caller:
    """Calls operations as anybody; what a call changed is taken back."""

    def __init__(self, world: World, known: Operations) -> None:
        self.world = world
        self.known = known
        self._app = world.api._transport.app  # type: ignore[attr-defined]
        self._turn = 0

    def cases(self, group: str) -> list[Case]:
        """Return the cases of a group; one whose operation is gone fails the test of the table itself."""
        kinds = {"resident": "resident", "anyone": "anyone"}
        return [case for case in CASES if kinds.get(case.who, "staff") == group and case.operation in self.known]

    async def call(self, case: Case, who: str) -> httpx.Response:
        method, path = self.known[case.operation]
        ids = self.world.ids | {"company": str(self.world.scene.company_id)}
        for name, value in case.ids.items():
            path = path.replace("{" + name + "}", ids.get(value, value))
        assert "{" not in path, f"{case.operation}: {path}"
        more: dict[str, Any] = {"params": {key: ids.get(value, value) for key, value in case.query.items()}}
        if case.body in (PHOTO, SHEET):
            more |= {"files": case.body, "data": {"item": "signs"} if case.operation == "addInspectionPhoto" else {}}
        elif case.body is not None:
            more["json"] = case.body(self.world) if callable(case.body) else case.body
        self._turn += 1  # another address each time: no limit of one address is what is tested here
        transport = httpx.ASGITransport(
            app=self._app, raise_app_exceptions=False, client=(f"10.1.{self._turn // 250}.{self._turn % 250}", 1)
        )
        headers = {"Accept-Language": "en", **self.world.headers[who]}
        answer: httpx.Response | None = None
        async with httpx.AsyncClient(transport=transport, base_url="http://linli.test", headers=headers) as client:
            with suppress(Undo):
                async with db.transaction():
                    answer = await client.request(method, path, **more)
                    raise Undo
        assert answer is not None
        return answer


def said(answer: httpx.Response, case: Case, world: World) -> str:
    """Return what an answer says beyond the ids its caller sent."""
    text = answer.text
    if "json" in answer.headers.get("content-type", "") and answer.content:
        document = answer.json()
        if isinstance(document, dict):
            document.pop("instance", None)
        text = json.dumps(document, ensure_ascii=False)
    sent = [world.ids.get(name, name) for name in (*case.ids.values(), *case.query.values())]
    sent += [str(part) for part in _values(case.body(world) if callable(case.body) else case.body)]
    if answer.status_code >= 400:
        for part in filter(None, sent):
            text = text.replace(part, "")
    return text


def _values(body: Any) -> Iterator[Any]:
    for value in body.values() if isinstance(body, dict) else ():
        yield from _values(value) if isinstance(value, dict) else (value,)


def leaks(text: str, secrets: set[str]) -> list[str]:
    return sorted(secret for secret in secrets if secret in text)


def not_the_owners(answer: httpx.Response) -> str | None:
    """Return why an answer is not what the owner of the object gets, or None."""
    code = answer.json().get("code") if "problem" in answer.headers.get("content-type", "") else None
    if code == "booking_suspended":
        return None  # she is, in this world
    if answer.status_code in (400, 401, 403, 404, 405, 415) or answer.status_code >= 500 or code == "fields_invalid":
        return f"{answer.status_code} {answer.text[:300]}"
    return None


def named_secrets(answer: httpx.Response) -> list[str]:
    """Return the names in a JSON answer that say that they hold a hash or a cipher."""
    if "json" not in answer.headers.get("content-type", "") or not answer.content:
        return []
    found: list[str] = []

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            found.extend(key for key in value if SECRET_NAMES.search(key))
            for inner in value.values():
                walk(inner)
        elif isinstance(value, list):
            for inner in value:
                walk(inner)

    walk(answer.json())
    return found


class TestEveryOperation:
    def test_is_covered_or_exempt_for_a_reason(self, services: Services) -> None:
        known = set(operations(services))
        covered = [case.operation for case in CASES]
        assert len(covered) == len(set(covered))
        assert known - set(covered) - set(LIVE) - set(EXEMPT) == set(), "say in coverage.py who may call these"
        assert (set(covered) | set(LIVE) | set(EXEMPT)) - known == set(), "these are gone"
        assert (set(covered) | set(LIVE)) & set(EXEMPT) == set()

    def test_with_an_id_in_its_path_is_called_and_not_exempt(self, services: Services) -> None:
        named = {operation for operation, (_, path) in operations(services).items() if "{" in path}
        unchecked = {"takeWeChatPaymentCallback", "takeWeChatRefundCallback", "putConsent", "draftGridMonth"}
        assert named & set(EXEMPT) == unchecked

    def test_names_no_hash_and_no_cipher_in_its_schemas(self, services: Services) -> None:
        schemas = build_app(services).openapi_schema.to_schema()["components"]["schemas"]
        named = [f"{name}.{key}" for name, s in schemas.items() for key in s.get("properties", {})]
        assert [name for name in named if SECRET_NAMES.search(name)] == []


class TestNobodyElse:
    async def test_may_touch_what_is_a_residents(self, world: World, services: Services) -> None:
        caller, wrong = Caller(world, operations(services)), []
        for case in caller.cases("resident"):
            if why := not_the_owners(await caller.call(case, "alice")):
                wrong.append(f"{case.operation} as its owner: {why}")
            for who in ("nobody", "bob", "li", "wang", "zhou"):
                wrong += refused(await caller.call(case, who), case, who, world)
        assert not wrong, "\n".join(wrong)

    async def test_may_touch_what_is_an_operator_companys(self, world: World, services: Services) -> None:
        caller, wrong = Caller(world, operations(services)), []
        for case in caller.cases("staff"):
            for role, people in ROLES.items():
                if role not in case.who:
                    wrong += refused(await caller.call(case, people[0]), case, people[0], world, insider=True)
                    continue
                answers = [await caller.call(case, who) for who in people]
                if all(why := [not_the_owners(answer) for answer in answers]):
                    wrong.append(f"{case.operation} as {people}: {why}")
                wrong += [f"{case.operation} as {people}: {n}" for a in answers for n in named_secrets(a)]
            empty = case.lists or "{" not in caller.known[case.operation][1]
            for who in ("nobody", "alice", *(OTHERS[role] for role in case.who), *(["feng"] * case.by_station)):
                answer = await caller.call(case, who)
                wrong += refused(answer, case, who, world, insider=who == "feng", empty=empty)
        assert not wrong, "\n".join(wrong)

    async def test_sees_more_than_their_own_where_everybody_may_call(self, world: World, services: Services) -> None:
        caller, wrong = Caller(world, operations(services)), []
        for case in caller.cases("anyone"):
            for who in ("nobody", "bob", "zhou", "wang"):
                answer = await caller.call(case, who)
                known = world.personal() if who == "wang" else world.secrets()
                own = {str(world.accounts[who])} if who in world.accounts else set()
                if found := leaks(said(answer, case, world), known - own):
                    wrong.append(f"{case.operation} as {who}: says {found}")
                if answer.status_code >= 500 or answer.status_code == 422 or named_secrets(answer):
                    wrong.append(f"{case.operation} as {who}: {answer.status_code} {answer.text[:200]}")
        assert not wrong, "\n".join(wrong)


class TestLivePaths:
    """Opened with tickets of others."""

    @pytest.mark.parametrize("kind", ["websocket", "http"])
    async def test_of_a_session_or_a_queue_open_for_their_owner_only(
        self, world: World, services: Services, kind: str
    ) -> None:
        for name in ("streamSession", "streamQueueEntry"):
            path = LIVE[name].format(**world.ids)
            assert "snapshot" in await opened(world, services, kind, path, "alice")
            for who in ("bob", "li", "wang", "zhou"):
                heard = await opened(world, services, kind, path, who)
                assert "snapshot" not in heard and not leaks(heard, world.personal()), (name, who, heard)

    @pytest.mark.parametrize("kind", ["websocket", "http"])
    async def test_of_everybody_show_each_what_is_theirs(self, world: World, services: Services, kind: str) -> None:
        for name, who in (
            ("streamInbox", "bob"),
            ("streamInbox", "zhou"),
            ("streamBoard", "zhou"),
            ("streamBoard", "feng"),
            ("streamStation", "bob"),
        ):
            heard = await opened(world, services, kind, LIVE[name].format(**world.ids), who)
            own = {str(world.accounts[who])}
            assert "snapshot" in heard, (name, who, heard)
            assert leaks(heard, world.secrets() - own - {world.ids["station"]}) == [], (name, who)
        assert world.ids["incident"] in await opened(world, services, kind, "/v1/staff/live", "wang")
        assert "snapshot" not in await opened(world, services, kind, "/v1/staff/live", "alice")

    async def test_take_a_ticket_once(self, world: World, services: Services) -> None:
        tickets = services.get(Tickets)
        ticket = await tickets.issue(principal_of(world, services, "alice"))
        found = await asyncio.gather(*(tickets.redeem(ticket) for _ in range(20)), return_exceptions=True)
        assert [isinstance(one, TicketInvalid) for one in found].count(False) == 1


def principal_of(world: World, services: Services, who: str) -> Principal:
    return services.get(Tokens).read(world.headers[who]["Authorization"].removeprefix("Bearer "))


async def opened(world: World, services: Services, kind: str, path: str, who: str) -> str:
    """Open a live path with a fresh ticket of `who` and return what it says first."""
    ticket = await services.get(Tickets).issue(principal_of(world, services, who))
    app = world.api._transport.app  # type: ignore[attr-defined]
    heard: list[str] = []
    enough = asyncio.Event()
    first = [{"type": "websocket.connect"} if kind == "websocket" else {"type": "http.request", "body": b""}]

    async def receive() -> dict[str, Any]:
        if first:
            return first.pop()
        await enough.wait()
        return {"type": f"{kind}.disconnect", "code": 1000}

    async def send(message: dict[str, Any]) -> None:
        heard.append(str(message.get("text") or message.get("body", b"").decode()))
        if message.get("text") or "snapshot" in heard[-1] or message["type"].endswith("close"):
            enough.set()

    async with asyncio.timeout(20):
        await app(scope_of(kind, path, ticket), receive, send)
    return "".join(heard)


def refused(
    answer: httpx.Response, case: Case, who: str, world: World, *, insider: bool = False, empty: bool = False
) -> list[str]:
    """Return what is wrong with the answer to somebody whose object it is not.

    A list may be empty instead of refused (`empty`). Insiders are staff of the same company: they know its people.
    """
    wrong = []
    expected = (401,) if who == "nobody" else (403, 404)
    listed = empty and answer.status_code == 200 and who != "nobody"
    if answer.status_code not in expected and not listed:
        wrong.append(f"{case.operation} as {who}: {answer.status_code} {answer.text[:200]}")
    if found := leaks(said(answer, case, world), world.personal() if insider else world.secrets()):
        own = {str(world.accounts.get(who, ""))}
        if who != "alice" and set(found) - own:
            wrong.append(f"{case.operation} as {who}: says {found}")
    return wrong
