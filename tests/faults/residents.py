"""Residents who book, cancel and pay over HTTP while the service is broken around them, as their apps would.

An app that gets no answer, or a 5xx, asks again with the same `Idempotency-Key` until it is answered. What was answered
is remembered here, and compared with what PostgreSQL holds.
"""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx

from backend.accounts.service import logins
from backend.core.auth import Tokens
from backend.core.clock import SystemClock
from backend.tariffs.rules.versions import Span
from sandbox.providers import merchants
from tests.factories.accounts import add_company
from tests.factories.charging import add_bill
from tests.factories.payments import add_merchant_account
from tests.factories.reservations import Resident, Scene, add_resident
from tests.factories.stations import DemoStation, Gun, add_demo_station, add_gun
from tests.factories.tariffs import publish_tariff
from tests.faults.conftest import Running

ASK_AGAIN_S = 0.3
GIVE_UP_S = 180.0
ALL_DAY = (Span(band="flat", from_min=0, to_min=24 * 60),)
"""One price: a fault run may pass any edge of the day."""


@dataclass
class Person:
    """A resident with an app that is logged in, and what it was told."""

    resident: Resident
    token: str
    bills: list[UUID] = field(default_factory=list)
    asked: set[datetime] = field(default_factory=set)
    held: set[str] = field(default_factory=set)
    cancelled: set[str] = field(default_factory=set)
    paid: set[str] = field(default_factory=set)


class Town:
    """A station of its own with its residents; `live()` lets them book and pay until told to stop."""

    def __init__(self, running: Running, place: DemoStation, guns: list[Gun], people: list[Person]) -> None:
        self.running = running
        self.place = place
        self.guns = guns
        self.people = people
        self.answers: Counter[int] = Counter()
        self.unanswered = 0
        self._enough = asyncio.Event()
        self._client = httpx.AsyncClient(base_url=running.ground.api_url, timeout=10, trust_env=False)

    async def ask(self, person: Person, path: str, body: dict[str, Any]) -> httpx.Response:
        """POST until there is an answer, always with the same key."""
        headers = {"Authorization": f"Bearer {person.token}", "Idempotency-Key": str(uuid4())}
        async with asyncio.timeout(GIVE_UP_S):
            while True:
                try:
                    answer = await self._client.post(path, json=body, headers=headers)
                except httpx.TransportError:
                    self.unanswered += 1
                else:
                    self.answers[answer.status_code] += 1
                    running = answer.status_code == 409 and answer.json()["code"].startswith("idempotency")
                    if answer.status_code < 500 and answer.status_code != 429 and not running:
                        return answer
                await asyncio.sleep(ASK_AGAIN_S)

    @asynccontextmanager
    async def live(self) -> AsyncIterator[None]:
        """Let everybody book, cancel and pay meanwhile; at the end everybody has their answer."""
        self._enough.clear()
        lives = [asyncio.create_task(self._live(n, person)) for n, person in enumerate(self.people)]
        try:
            yield
            self._enough.set()
            await asyncio.gather(*lives)
        finally:
            for life in lives:
                life.cancel()
            await asyncio.gather(*lives, return_exceptions=True)

    async def _live(self, number: int, person: Person) -> None:
        chance = random.Random(number)
        midnight = SystemClock().now().replace(hour=16, minute=0, second=0, microsecond=0) + timedelta(days=1)
        while not self._enough.is_set():
            if person.bills:
                await self._pay(person, person.bills.pop())
            start = midnight + timedelta(hours=chance.randrange(8, 20), days=chance.randrange(4))
            body = {
                "station_id": str(self.place.station.id),
                "vehicle_id": str(person.resident.vehicle.id),
                "starts_at": start.isoformat(),
                "ends_at": (start + timedelta(hours=1)).isoformat(),
            }
            person.asked.add(start)
            answer = await self.ask(person, "/v1/reservations", body)
            if answer.status_code == 201:
                person.held.add(answer.json()["id"])
            if len(person.held) > 1 or (person.held and chance.random() < 0.5):
                reservation = person.held.pop()
                await self.ask(person, f"/v1/reservations/{reservation}/cancel", {})
                person.cancelled.add(reservation)
            await asyncio.sleep(0.2)

    async def _pay(self, person: Person, order_id: UUID) -> None:
        answer = await self.ask(person, f"/v1/orders/{order_id}/pay", {"channel": "wechat_app"})
        assert answer.status_code == 200, answer.text
        # A second sheet for one bill would be a second payment; the provider would not refuse it, we must.
        await self.running.providers.pay(answer.json()["number"])
        person.paid.add(str(order_id))

    async def close(self) -> None:
        await self._client.aclose()

    async def look(self, *, timeout_s: float = 120) -> "Found":
        """Compare with PostgreSQL, once every payment that the provider took has arrived (or the time is over)."""
        accounts = [person.resident.account_id for person in self.people]
        paid = {order for person in self.people for order in person.paid}
        connection = await asyncpg.connect(self.running.dsn)
        try:
            ends = asyncio.get_running_loop().time() + timeout_s
            while True:
                orders = {
                    str(row["id"])
                    for row in await connection.fetch("SELECT id FROM charge_order WHERE status = 'paid'")
                }
                if paid <= orders or asyncio.get_running_loop().time() > ends:
                    break
                await asyncio.sleep(0.5)
            rows = await connection.fetch(
                "SELECT id, account_id, starts_at, status FROM reservation WHERE account_id = ANY($1)", accounts
            )
            stored = {str(row["id"]): row["status"] for row in rows}
            overlapping = await connection.fetchval(
                "SELECT count(*) FROM connector_claim a JOIN connector_claim b ON a.connector_id = b.connector_id"
                " AND a.id < b.id AND tstzrange(a.starts_at, a.held_until) && tstzrange(b.starts_at, b.held_until)"
            )
            entries = await connection.fetch(
                "SELECT p.order_id, count(DISTINCT e.id) AS n FROM payment p LEFT JOIN ledger_entry e"
                " ON e.reference_id = p.id WHERE p.state = 'succeeded' AND p.account_id = ANY($1) GROUP BY p.order_id",
                accounts,
            )
        finally:
            await connection.close()
        told = {r for person in self.people for r in person.held | person.cancelled}
        wrong = [r for person in self.people for r in person.held if stored.get(r) != "confirmed"]
        wrong += [r for person in self.people for r in person.cancelled if stored.get(r) != "cancelled"]
        # The answer to a booking that was made may be lost with the process: then the app finds it in its list. Two
        # for one wish may not be there.
        unheard = [row for row in rows if str(row["id"]) not in told]
        wished = {person.resident.account_id: person.asked for person in self.people}
        live = Counter((row["account_id"], row["starts_at"]) for row in rows if row["status"] == "confirmed")
        doubled = sum(n - 1 for n in live.values()) + sum(
            row["starts_at"] not in wished[row["account_id"]] for row in unheard
        )
        once = {str(row["order_id"]) for row in entries if row["n"] == 1}
        return Found(
            bookings=len(told),
            bookings_lost=len(wrong),
            bookings_doubled=doubled + int(overlapping),
            bookings_unheard=len(unheard),
            payments=len(paid),
            payments_lost=len(paid - orders) + len(paid - once),
            payments_doubled=sum(row["n"] > 1 for row in entries),
            unanswered=self.unanswered,
        )


@dataclass(frozen=True)
class Found:
    """What PostgreSQL holds of what the residents were told."""

    bookings: int
    bookings_lost: int
    bookings_doubled: int
    bookings_unheard: int
    payments: int
    payments_lost: int
    payments_doubled: int
    unanswered: int

    @property
    def wrong(self) -> int:
        """Everything that may not be."""
        return self.bookings_lost + self.bookings_doubled + self.payments_lost + self.payments_doubled

    def __str__(self) -> str:
        return (
            f"{self.bookings} bookings (lost {self.bookings_lost}, doubled {self.bookings_doubled}, found only in"
            f" the list {self.bookings_unheard}), {self.payments} payments (lost {self.payments_lost}, doubled"
            f" {self.payments_doubled}), requests repeated {self.unanswered}"
        )


async def found_town(
    running: Running, *, name: str, people: int, bills: int = 0, guns: int = 4, merchant: int | None = None
) -> Town:
    """Build a station with prices and residents under agreement, each with unpaid bills.

    `merchant`: which of the sandbox's two merchant accounts is paid; each belongs to one company.
    """
    now = SystemClock().now()
    number = sum(name.encode()) % 90 + 10
    async with running.ground.opened() as services:
        company_id = await add_company(name=name, code=name)
        if merchant is not None:
            account = merchants(running.providers_dir)[merchant]
            await add_merchant_account(operator_company_id=company_id, merchant=account, now=now)
        place = await add_demo_station(operator_company_id=company_id)
        extra = [await add_gun(station_id=place.station.id, with_lock=False) for _ in range(guns)]
        await publish_tariff(operator_company_id=company_id, spans=ALL_DAY)
        residents: list[Person] = []
        for n in range(people):
            resident = await add_resident(
                company_id=company_id, phone=f"135{number:02d}{n:06d}", plate=f"京AD{number:02d}{n:03d}"
            )
            login = await logins.open_login(
                account_id=resident.account_id, method="sms", tokens=services.get(Tokens), now=now
            )
            person = Person(resident, login.access_token)
            scene = Scene(company_id=company_id, place=place, alice=resident, bob=resident, charlie=resident)
            for day in range(bills):
                start = now - timedelta(days=3 + day, hours=n % 6)
                order = await add_bill(scene, resident, start=start, energy_wh=10_000 + 100 * n + day)
                person.bills.append(order.id)
            residents.append(person)
    return Town(running, place, extra, residents)
