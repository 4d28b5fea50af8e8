"""Charges under faults: with wrong clocks at the devices, and with Valkey emptied. The bills are right, once."""

import asyncio
from datetime import timedelta
from typing import Any

import asyncpg
import httpx
import pytest
from redis.asyncio import Redis

from bench.load import await_rows
from tests.faults.conftest import DOWN_S, Row, Running
from tests.faults.guns import Guns, GunState
from tests.faults.residents import Person, Town, found_town
from tests.faults.test_servers_away import INCIDENTS, incidents

pytestmark = pytest.mark.slow

ONLINE = (
    "SELECT count(*) FROM connector_state c JOIN device_state d USING (device_id)"
    " WHERE c.connector_id = ANY($1) AND c.status = 'preparing'"
)
DAY = timedelta(days=1)
CLOCKS: dict[str, "timedelta | str"] = {
    "true": timedelta(),
    "-1 d": -DAY,
    "+1 d": DAY,
    "1970": "1970-01-01T00:00:00Z",
    "2099": "2099-12-31T23:59:59Z",
}


class Charges:
    """A town in which every resident charges at a gun of their own."""

    def __init__(self, running: Running, town: Town, guns: Guns) -> None:
        self.running = running
        self.town = town
        self.guns = guns
        self.of: dict[str, tuple[Person, GunState]] = {}

    async def begin(self, clocks: dict[str, "timedelta | str"]) -> None:
        """Plug in and start, over HTTP; returns when all are charging."""
        station = self.town.place.station.code
        for (name, clock), person, gun in zip(clocks.items(), self.town.people, self.town.guns, strict=True):
            self.of[name] = person, self.guns.add(gun, station=station, clock=clock)
        self.guns.talk()
        connectors = [gun.connector.id for gun in self.town.guns]
        await await_rows(self.running.dsn, ONLINE, connectors, at_least=len(connectors), timeout_s=60)
        for person, state in self.of.values():
            body = {"connector_id": str(state.gun.connector.id), "vehicle_id": str(person.resident.vehicle.id)}
            answer = await self.town.ask(person, "/v1/sessions", body)
            assert answer.status_code < 300, answer.text
        await self.until(lambda: all(state.status == "charging" for _, state in self.of.values()))

    async def end(self) -> dict[str, dict[str, Any]]:
        """Stop all over HTTP, drive away; returns the bills by name once all are closed.

        Where the news of the empty bay outran that of the end, the minute's look at staying cars closes the bill.
        """
        for person, state in self.of.values():
            answer = await self.town.ask(person, f"/v1/sessions/{state.session_id}/stop", {})
            assert answer.status_code < 300, answer.text
        await self.until(lambda: all(state.ended_wh is not None for _, state in self.of.values()))
        sessions = [state.session_id for _, state in self.of.values()]
        closed = "SELECT count(*) FROM charge_order WHERE session_id = ANY($1::uuid[]) AND closed_at IS NOT NULL"
        await await_rows(self.running.dsn, closed, sessions, at_least=len(sessions), timeout_s=240)
        connection = await asyncpg.connect(self.running.dsn)
        try:
            rows = await connection.fetch("SELECT * FROM charge_order WHERE session_id = ANY($1::uuid[])", sessions)
        finally:
            await connection.close()
        bills = {str(row["session_id"]): dict(row) for row in rows}
        assert len(rows) == len(bills)
        return {name: bills[str(state.session_id)] for name, (_, state) in self.of.items()}

    @staticmethod
    async def until(true: Any, *, seconds: float = 60) -> None:
        async with asyncio.timeout(seconds):
            while not true():  # noqa: ASYNC110  other threads change it
                await asyncio.sleep(0.1)


def wrong(bill: dict[str, Any], state: GunState) -> list[str]:
    """What of a bill is not what the gun's own meter and the one price make it (agreement: 0.4500 service)."""
    assert state.started_wh is not None and state.ended_wh is not None
    energy = state.ended_wh - state.started_wh
    energy_fee, service_fee = ((energy * e4 * 2 + 100_000) // 200_000 for e4 in (7970, 4500))
    should = {
        "energy_wh": energy,
        "energy_fee_fen": energy_fee,
        "service_fee_fen": min(service_fee, energy * 5000 // 100_000),
        "parking_fee_fen": 0,
        "overstay_fee_fen": 0,
    }
    return [f"{name} {bill[name]} for {value}" for name, value in should.items() if bill[name] != value]


class TestWrongClocks:
    async def test_bills_are_those_of_a_true_clock(self, running: Running, row: Row) -> None:
        town = await found_town(running, name="clocks", people=len(CLOCKS), guns=len(CLOCKS))
        broker = running.ground.broker
        assert broker is not None
        guns = Guns(url=broker.url("fleet", "f"), user="fleet", password="f", name="clock-guns")
        charges = Charges(running, town, guns)
        try:
            await charges.begin(CLOCKS)
            await asyncio.sleep(8)
            bills = await charges.end()
        finally:
            await guns.close()
            await town.close()
        faults = {name: wrong(bills[name], state) for name, (_, state) in charges.of.items()}
        late = max(abs((bill["ends_at"] - bill["starts_at"]).total_seconds() - 10) for bill in bills.values())
        row(
            "device clock -1 d, +1 d, 1970, 2099: bills",
            f"{len(bills)} charges, one by a true clock",
            f"wrong {sum(map(bool, faults.values()))} of {len(bills)}, in review"
            f" {sum(bill['status'] == 'review' for bill in bills.values())}, energy"
            f" {', '.join(str(bill['energy_wh']) for bill in bills.values())} Wh",
        )
        assert faults == {name: [] for name in faults}
        assert all(bill["status"] != "review" for bill in bills.values())
        assert late < 60


class TestValkeyEmptied:
    async def test_sessions_and_bookings_go_on(self, running: Running, row: Row) -> None:
        """Emptied again and again while residents charge, book and pay, with a smoke alarm meanwhile."""
        town = await found_town(running, name="valkey-emptied", people=4)
        broker = running.ground.broker
        assert broker is not None
        guns = Guns(url=broker.url("fleet", "f"), user="fleet", password="f", name="valkey-guns")
        charges = Charges(running, town, guns)
        booking = await found_town(running, name="valkey-bookings", people=6, bills=2, guns=3, merchant=0)
        smoking = running.crowd.detectors[13]
        valkey = Redis.from_url(running.ground.valkey.url)
        try:
            await charges.begin({f"gun {n}": timedelta() for n in range(4)})
            async with booking.live():
                for _ in range(5):
                    await asyncio.sleep(DOWN_S / 3)
                    await valkey.flushall()
                running.crowd.raise_smoke(smoking)
                await valkey.flushall()
                await await_rows(running.dsn, INCIDENTS, smoking.station_id)
            going_on = await asyncio.gather(*(_live(town, person, state) for person, state in charges.of.values()))
            bills = await charges.end()
            people = await booking.look()
            opened = await incidents(running, smoking)
        finally:
            await guns.close()
            await town.close()
            await booking.close()
            await valkey.aclose()
        faults = {name: wrong(bills[name], state) for name, (_, state) in charges.of.items()}
        row(
            "Valkey emptied: bookings, sessions",
            "6 times while 4 charge and 6 book and pay",
            f"sessions going on {sum(going_on)} of 4, wrong bills {sum(map(bool, faults.values()))}, incidents {opened}"
            f" of 1; {people}",
        )
        assert all(going_on)
        assert faults == {name: [] for name in faults}
        assert people.wrong == 0
        assert people.bookings and people.payments
        assert opened == 1


async def _live(town: Town, person: Person, state: GunState) -> bool:
    """Whether the resident's app shows the charge as running, with power: its display state has come back."""
    headers = {"Authorization": f"Bearer {person.token}"}
    async with httpx.AsyncClient(base_url=town.running.ground.api_url, timeout=10, trust_env=False) as client:
        ends = asyncio.get_running_loop().time() + 15
        while asyncio.get_running_loop().time() < ends:
            answer = await client.get(f"/v1/sessions/{state.session_id}", headers=headers)
            if answer.status_code == 200 and answer.json()["status"] == "charging" and answer.json().get("power_w"):
                return True
            await asyncio.sleep(0.3)
    return False
