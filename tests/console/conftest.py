"""The scene of the console's tests: the console as it is mounted, and people of the platform who sign in to it."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from typing import Any

import httpx
import msgspec
import pyotp
import pytest
from litestar import Litestar
from piccolo.engine.postgres import PostgresEngine

from backend.console.controllers import mount_console
from backend.console.service import people
from backend.console.tables import ConsoleUser
from backend.core.auth import Tokens
from backend.core.edge import Edge
from backend.core.problems import EXCEPTION_HANDLERS
from backend.core.services import Services
from backend.core.settings import Settings
from tests.fakes import FixedClock

PASSWORD = "correct horse battery"


@dataclass
class Person:
    """Somebody with a login of the console."""

    username: str
    phone: str
    secret: str
    recovery_codes: list[str]

    def code(self, at: datetime) -> str:
        """Return the authenticator's code at this instant."""
        return pyotp.TOTP(self.secret).at(at)


class Browser:
    """A browser at the console: keeps cookies, sends the CSRF token back."""

    def __init__(self, client: httpx.AsyncClient, clock: FixedClock) -> None:
        self.client = client
        self.clock = clock

    async def open(self) -> httpx.Response:
        """Open the console's page, which sets the CSRF cookie."""
        return await self.client.get("/admin/")

    async def send(self, method: str, path: str, **kwargs: Any) -> httpx.Response:
        """Send a request as the page's own scripts do."""
        headers = {"X-CSRFToken": self.client.cookies.get("csrftoken", ""), **kwargs.pop("headers", {})}
        return await self.client.request(method, f"/admin{path}", headers=headers, **kwargs)

    async def try_to_sign_in(self, username: str, password: str, code: str | None = None) -> httpx.Response:
        """Send the login form."""
        if "csrftoken" not in self.client.cookies:
            await self.open()
        body = {"username": username, "password": password} | ({} if code is None else {"mfa_code": code})
        return await self.send("POST", "/public/login/", json=body)

    async def sign_in(self, person: Person) -> None:
        """Sign in with both factors; time goes on a little, for a code works once."""
        answer = await self.try_to_sign_in(person.username, PASSWORD, person.code(self.clock.advance(seconds=60)))
        assert answer.status_code == 200, answer.text

    async def fill(self, form: str, **fields: object) -> httpx.Response:
        """Fill in a form of the console and send it."""
        return await self.send("POST", f"/api/forms/{form}/", json=fields)


_addresses = count(1)


@pytest.fixture(autouse=True)
def _cheap_hashes() -> Iterator[None]:
    """Hash passwords with few rounds: what a third of a second buys is not what these tests are about."""
    rounds, ConsoleUser._pbkdf2_iteration_count = ConsoleUser._pbkdf2_iteration_count, 1000
    yield
    ConsoleUser._pbkdf2_iteration_count = rounds


@pytest.fixture
def console_settings(settings: Settings) -> Settings:
    """Settings with the console on, as `./dev up` has them."""
    return msgspec.structs.replace(settings, admin="on", public_url="http://127.0.0.1:8000")


@pytest.fixture
def console_services(services: Services, console_settings: Settings) -> Services:
    """The clients of a process that has the console."""
    services.put(Settings, console_settings)
    return services


@pytest.fixture
async def browser(database: PostgresEngine, console_services: Services, clock: FixedClock) -> AsyncIterator[Browser]:
    """A browser in front of the edge and the mounted console, without the API; at an address of its own, for tries are
    counted by address.
    """
    app = Edge(
        Litestar([mount_console(console_services)], exception_handlers=EXCEPTION_HANDLERS),
        tokens=console_services.get(Tokens),
        clock=clock,
        per_minute=100_000,
        trusted_proxies=frozenset(),
    )
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False, client=(f"10.0.0.{next(_addresses)}", 1234))
    async with httpx.AsyncClient(
        transport=transport, base_url="http://127.0.0.1:8000", headers={"Accept-Language": "en"}
    ) as client:
        yield Browser(client, clock)


async def add_person(username: str, phone: str, *, now: datetime, may_act: bool = True) -> Person:
    """Add a login of the console."""
    made = await people.add_user(
        username=username, phone=phone, name="平台", password=PASSWORD, may_act=may_act, now=now
    )
    return Person(username, phone, made.secret, made.recovery_codes)


@pytest.fixture
async def chen(database: PostgresEngine, now: datetime) -> Person:
    """A person of the platform who may act."""
    return await add_person("chen", "13900000001", now=now)


@pytest.fixture
async def zhang(database: PostgresEngine, now: datetime) -> Person:
    """A second one."""
    return await add_person("zhang", "13900000002", now=now)
