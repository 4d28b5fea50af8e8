"""A person with a phone, and the tester's hand on the sandbox: thin clients over HTTP and WebSocket."""

import asyncio
import json
import os
from typing import Any
from uuid import uuid4

import httpx
from websockets.asyncio.client import ClientConnection, connect

from sandbox.story.telling import NotAsItShouldBe

WAIT_S = 20.0
PATIENCE = float(os.environ.get("LINLI_STORY_PATIENCE", "1"))
"""By what all waits are longer: the fault run kills processes under the story, and late is not lost."""
"""How long the story waits for something that must come."""


class Person:
    """One of the cast, with a login."""

    def __init__(self, name: str, phone: str, http: httpx.AsyncClient, sandbox: "Sandbox") -> None:
        self.name, self.phone = name, phone
        self.http, self.sandbox = http, sandbox
        self.token = ""
        self.refresh_token = ""

    async def log_in(self) -> None:
        """Ask for an SMS code, read it at the sandbox, and log in with it."""
        seen = await self.sandbox.sms_count(self.phone)
        answer = await self.http.post("/v1/auth/sms-codes", json={"phone": self.phone})
        if answer.status_code == 429:
            raise NotAsItShouldBe(
                f"{self.name} asked for a code less than a minute ago (the limit of domain.md is real): {answer.text}"
            )
        _must(answer, 202)
        code = await self.sandbox.next_code(self.phone, after=seen)
        tokens = _must(await self.http.post("/v1/auth/sms", json={"phone": self.phone, "code": code}), 200, 201)
        self.token, self.refresh_token = tokens["access_token"], tokens["refresh_token"]

    async def call(
        self, method: str, path: str, *, expect: tuple[int, ...] = (200, 201, 202, 204), **kwargs: Any
    ) -> Any:
        """Call the API as this person; anything but `expect` ends the story."""
        return _must(await self.send(method, path, **kwargs), *expect)

    async def send(self, method: str, path: str, **kwargs: Any) -> httpx.Response:
        """Call the API as this person and return the answer as it is."""
        headers = {"accept-language": "en", **kwargs.pop("headers", {})}
        if self.token:
            headers["authorization"] = f"Bearer {self.token}"
        if method == "POST" and "idempotency-key" not in headers and "files" not in kwargs:
            headers["idempotency-key"] = str(uuid4())
        return await self.http.request(method, path, headers=headers, **kwargs)

    async def get(self, path: str, **params: Any) -> Any:
        """GET as this person."""
        return await self.call("GET", path, params=params)

    async def post(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """POST as this person."""
        return await self.call("POST", path, json=body if body is not None else {})

    async def open_live(self, path: str) -> "LiveFeed":
        """Open a WebSocket with a one-use ticket."""
        ticket = (await self.post("/v1/auth/tickets"))["ticket"]
        base = str(self.http.base_url).rstrip("/").replace("http", "ws", 1)
        return LiveFeed(await connect(f"{base}{path}?ticket={ticket}"))


class LiveFeed:
    """Everything that arrived on one WebSocket, oldest first."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.messages: list[dict[str, Any]] = []
        self._arrived = asyncio.Event()
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for raw in self.socket:
            self.messages.append(json.loads(raw))
            self._arrived.set()

    async def until(self, what: str, wanted: Any, timeout_s: float = WAIT_S) -> dict[str, Any]:
        """Return the first message for which `wanted(message)` holds, waiting for it if need be."""
        seen = 0
        try:
            async with asyncio.timeout(timeout_s * PATIENCE):
                while True:
                    while seen < len(self.messages):
                        message = self.messages[seen]
                        seen += 1
                        if wanted(message):
                            return message
                    self._arrived.clear()
                    await self._arrived.wait()
        except TimeoutError:
            last = self.messages[-1] if self.messages else None
            raise NotAsItShouldBe(
                f"{what} did not arrive over WebSocket within {timeout_s * PATIENCE:.0f} s;"
                f" {seen} messages, last: {last}"
            ) from None

    async def close(self) -> None:
        """Hang up."""
        self._reader.cancel()
        await self.socket.close()


class Sandbox:
    """The tester's hand on the outside world."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http

    async def get(self, path: str, **params: Any) -> Any:
        """GET at the sandbox."""
        return _must(await self.http.get(path, params=params), 200)

    async def post(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """POST at the sandbox."""
        return _must(await self.http.post(path, json=body or {}), 200, 201, 202)

    async def sms_count(self, phone: str) -> int:
        """Count the messages sent to `phone`."""
        return len((await self.get("/sms", phone=phone))["items"])

    async def next_code(self, phone: str, *, after: int) -> str:
        """Wait for the next SMS to `phone` and return the code in it."""
        items: list[dict[str, Any]] = await wait_for(
            f"an SMS to {phone}", lambda: self._items_after("/sms", phone, after)
        )
        for item in items:
            if code := item.get("code") or (item.get("params") or {}).get("code"):
                return str(code)
        raise NotAsItShouldBe(f"the SMS holds no code: {items}")

    async def _items_after(self, path: str, phone: str, after: int) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = (await self.get(path, phone=phone))["items"]
        return items[after:]


async def wait_for(what: str, look: Any, timeout_s: float = WAIT_S, every_s: float = 0.2) -> Any:
    """Call `look()` until it returns something truthy; ends the story after `timeout_s`."""
    deadline = asyncio.get_running_loop().time() + timeout_s * PATIENCE
    while True:
        found = await look()
        if found:
            return found
        if asyncio.get_running_loop().time() > deadline:
            raise NotAsItShouldBe(f"{what} did not come within {timeout_s * PATIENCE:.0f} s")
        await asyncio.sleep(every_s)


def _must(answer: httpx.Response, *statuses: int) -> Any:
    if answer.status_code not in statuses:
        request = answer.request
        raise NotAsItShouldBe(
            f"{request.method} {request.url.path} answered {answer.status_code}, not {statuses}: {answer.text[:600]}"
        )
    if answer.headers.get("content-type", "").startswith("application/json"):
        return answer.json()
    return answer.content
