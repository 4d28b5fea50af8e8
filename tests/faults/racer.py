"""The processes of the booking race, each a program that may be killed at any instant: `python -m tests.faults.racer`.

`workers` run the job queue as `linli worker` does; `residents` book, change, cancel, arrive, walk up and charge through
the use cases the API calls; `devices` are the chargers: they obey commands, end sessions, break and are repaired. All
go by one fast clock, which a file in the run's folder sets, so that hours of timers pass in a minute.
"""

import asyncio
import os
import random
import sys
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import uvloop

from backend import wiring, worker
from backend.charging.service.start import start_session
from backend.core import db, jobs
from backend.core.clock import SystemClock
from backend.core.errors import DomainError
from backend.core.settings import Settings
from backend.reservations.rules.words import Power
from backend.reservations.service import bookings, changing, outages
from backend.reservations.service.reserve import reserve_slot
from backend.stations import service as stations
from backend.telemetry import contacts
from backend.telemetry.ingesting import Item, store_batch
from mqtt_bridge import messages

MINUTE = timedelta(minutes=1)
GRID = 15 * MINUTE
LANES = 8
"""Residents of one process who act at the same time."""


CHOICES = [
    *["book"] * 20,
    *["change"] * 4,
    *["cancel"] * 4,
    *["arrive"] * 8,
    *["charge"] * 8,
    *["walk_up"] * 4,
    "works",
]


STARTS = [*range(1, 5), *range(1, 17)]
"""Quarter hours ahead of which a slot begins: half of them so soon that it is used, or lapses, in the run."""


class Person(msgspec.Struct, frozen=True):
    """A resident with an agreement."""

    account_id: UUID
    vehicle_id: UUID


class Gun(msgspec.Struct, frozen=True):
    """A charger with one gun."""

    connector_id: UUID
    device_id: UUID
    resident: bool


class Cast(msgspec.Struct, frozen=True):
    """Who takes part, and how the clock runs: `speed` seconds a second, `virtual` at `real` (Unix seconds)."""

    people: list[Person]
    guns: list[Gun]
    station_id: UUID
    real: float
    virtual: datetime
    speed: float


class FastClock:
    """Hours in a minute; every process reads the same file."""

    def __init__(self, file: Path) -> None:
        self.cast = msgspec.json.decode(file.read_bytes(), type=Cast)

    def now(self) -> datetime:
        """Return the run's own time."""
        return self.cast.virtual + timedelta(
            seconds=(SystemClock().now().timestamp() - self.cast.real) * self.cast.speed
        )


class Notes:
    """What a process knows to have happened, one line at a time; a line that was written survives its killer."""

    def __init__(self, folder: Path, role: str) -> None:
        self._file = os.open(folder / f"{role}-{os.getpid()}.notes", os.O_CREAT | os.O_APPEND | os.O_WRONLY)

    def write(self, what: str, about: object) -> None:
        """Add a line."""
        os.write(self._file, f"{what} {about}\n".encode())


async def act(dice: random.Random, clock: FastClock, notes: Notes) -> None:
    """Let somebody do something; a refusal is an answer, anything else is noted as a fault."""
    person = dice.choice(clock.cast.people)
    choice = dice.choice(
        ["book"] * 4 + ["change", "cancel", "arrive", "arrive", "charge", "charge", "walk_up", "works"]
    )
    try:
        await _do(choice, person, dice, clock, notes)
        notes.write("done", choice)
    except DomainError as refused:
        notes.write("refused", f"{choice}:{refused.code}")
    except Exception as error:  # noqa: BLE001  whatever it is, it fails the run, and the run goes on until then
        notes.write("fault", f"{choice}:{error!r}")


async def _do(choice: str, person: Person, dice: random.Random, clock: FastClock, notes: Notes) -> None:
    now = clock.now()
    starts_at = datetime.fromtimestamp(now.timestamp() // 900 * 900, now.tzinfo) + GRID * dice.choice(STARTS)
    power: Power = "ac"
    period: dict[str, Any] = {"starts_at": starts_at, "ends_at": starts_at + GRID * dice.choice([2, 3]), "power": power}
    if choice == "book":
        booked = await reserve_slot(
            account_id=person.account_id,
            station_id=clock.cast.station_id,
            vehicle_id=person.vehicle_id,
            connector_id=None,
            now=now,
            **period,
        )
        notes.write("booked", booked.id)
        return
    if choice == "walk_up":
        await _charge(person, dice.choice(clock.cast.guns).connector_id, now)
        return
    if choice == "works":
        gun = dice.choice(clock.cast.guns)
        begins = now + dice.randrange(30, 90) * MINUTE
        await outages.plan_maintenance(
            connector_id=gun.connector_id, starts_at=begins, ends_at=begins + 20 * MINUTE, actor="li", now=now
        )
        return
    mine = await db.fetch(
        "SELECT id, connector_id FROM reservation WHERE account_id = $1 AND status IN ('confirmed', 'checked_in')"
        " ORDER BY starts_at LIMIT 1",
        person.account_id,
    )
    if not mine:
        return
    reservation_id = mine[0]["id"]
    if choice == "change":
        await changing.change_slot(
            account_id=person.account_id, reservation_id=reservation_id, connector_id=None, now=now, **period
        )
    elif choice == "cancel":
        await bookings.cancel_reservation(account_id=person.account_id, reservation_id=reservation_id, now=now)
        notes.write("cancelled", reservation_id)
    elif choice == "arrive":
        await bookings.check_in(reservation_id=reservation_id, means="plate", now=now)
    else:
        await _charge(person, mine[0]["connector_id"], now)


async def _charge(person: Person, connector_id: UUID, now: datetime) -> None:
    await start_session(account_id=person.account_id, vehicle_id=person.vehicle_id, connector_id=connector_id, now=now)


async def residents(clock: FastClock, notes: Notes, dice: random.Random) -> None:
    """Act until killed."""

    async def lane() -> None:
        while True:
            await act(dice, clock, notes)
            await asyncio.sleep(dice.random() * 0.2)

    await asyncio.gather(*(lane() for _ in range(LANES)))


class Devices:
    """The chargers: what they do is decided by what they were told, so that a new process goes on where one was
    killed.
    """

    def __init__(self, clock: FastClock, dice: random.Random) -> None:
        self._clock = clock
        self._dice = dice
        self._boot = int(SystemClock().now().timestamp() * 10) % 2**31
        self._seq = 0

    async def live(self, notes: Notes) -> None:
        """Obey and report until killed."""
        for gun in self._clock.cast.guns:
            await self._sample(gun, "available")
        while True:
            try:
                await self._turn()
            except DomainError as refused:
                notes.write("refused", f"device:{refused.code}")
            await asyncio.sleep(0.1)

    async def _turn(self) -> None:
        by_device = {gun.device_id: gun for gun in self._clock.cast.guns}
        for row in await db.fetch("SELECT id, device_id, name, args FROM command WHERE status = 'queued' ORDER BY id"):
            await db.execute("UPDATE command SET status = 'sent', sent_at = $2 WHERE id = $1", row["id"], self._now())
            gun = by_device[row["device_id"]]
            session_id = msgspec.json.decode(row["args"])["session_id"]
            ok = self._dice.random() > 0.1
            await self._say(gun, "ack", cmd_id=str(row["id"]), ok=ok, **({} if ok else {"error": "busy"}))
            if ok:
                await self._event(gun, "session_started" if row["name"] == "start" else "session_ended", session_id)
                await self._sample(gun, "charging" if row["name"] == "start" else "finishing")
        by_connector = {gun.connector_id: gun for gun in self._clock.cast.guns}
        charging = await db.fetch("SELECT id, connector_id FROM charging_session WHERE status = 'charging'")
        busy = {row["connector_id"] for row in charging}
        for row in charging:
            gun = by_connector[row["connector_id"]]
            if self._dice.random() < 0.02:
                await self._event(gun, "session_ended", str(row["id"]))
                await self._sample(gun, "finishing")
            else:
                await self._sample(gun, "charging")
        idle = [gun for gun in self._clock.cast.guns if gun.connector_id not in busy]
        if idle and self._dice.random() < 0.3:
            gun = self._dice.choice(idle)
            await self._sample(gun, self._dice.choice(["available"] * 6 + ["faulted"]))
        for row in await db.fetch("SELECT connector_id FROM connector_state WHERE status = 'faulted'"):
            if self._dice.random() < 0.05:
                await self._sample(by_connector[row["connector_id"]], "available")
        for row in await db.fetch("SELECT connector_id FROM connector_state WHERE status = 'finishing'"):
            if self._dice.random() < 0.2:
                gun = by_connector[row["connector_id"]]
                await self._say(gun, "event", code="unplugged", connector=1)
                await self._sample(gun, "available")

    def _now(self) -> datetime:
        return self._clock.now()

    def _meter_wh(self) -> int:
        return 1_000_000 + int((self._now() - datetime(2026, 1, 1, tzinfo=self._now().tzinfo)).total_seconds()) * 2

    async def _event(self, gun: Gun, code: str, session_id: str) -> None:
        more = {"reason": "target"} if code == "session_ended" else {}
        await self._say(gun, "event", code=code, connector=1, session_id=session_id, meter_wh=self._meter_wh(), **more)

    def _payload(self, **fields: Any) -> tuple[str, bytes]:
        self._seq += 1
        msg_id = f"{self._boot}-{self._seq}"
        header = {"msg_id": msg_id, "boot": self._boot, "seq": self._seq, "ts": messages.format_ts(self._now())}
        return msg_id, msgspec.json.encode({**header, **fields})

    async def _say(self, gun: Gun, channel: str, **fields: Any) -> None:
        """Say something over the safety lane: message and job in one transaction, as the bridge stores them."""
        msg_id, body = self._payload(**fields)
        async with db.transaction():
            message_id = await db.fetchval(
                "INSERT INTO device_message (device_id, station_id, kind, channel, msg_id, boot, seq, received_at,"
                " retained, payload, sealed) VALUES ($1, $2, 'charger', $3, $4, $5, $6, $7, false, $8, false)"
                " RETURNING id",
                gun.device_id,
                self._clock.cast.station_id,
                channel,
                msg_id,
                self._boot,
                self._seq,
                self._now(),
                body,
            )
            await db.execute(
                "INSERT INTO pgqueuer (priority, status, entrypoint, payload) VALUES (0, 'queued', $1, $2)",
                "telemetry.device_message",
                msgspec.json.encode({"message_id": message_id}),
            )

    async def _sample(self, gun: Gun, status: str) -> None:
        power = 7000 if status == "charging" else 0
        _, body = self._payload(
            connector=1,
            status=status,
            meter_wh=self._meter_wh(),
            power_w=power,
            voltage_v=220.0,
            current_a=power / 220,
            gun_temp_c=30.0,
        )
        info = await contacts.load_device(device_id=gun.device_id)
        item = Item(gun.device_id, "telemetry", self._now(), body)
        await store_batch(items=[item], directory={gun.device_id: info}, now=self._now())


async def run(role: str, folder: Path) -> None:
    """Be one process of the race until killed."""
    clock = FastClock(folder / "cast.json")
    settings = Settings.from_environ()
    services = wiring.build_services(settings, clock=clock)
    jobs.wire([worker.CORE, *wiring.collect_jobs()])
    await db.open_database(settings.database_url, max_size=LANES + 2)
    notes = Notes(folder, role)
    dice = random.Random()
    await stations.get_station(station_id=clock.cast.station_id)
    notes.write("began", "work")
    if role == "workers":
        await worker.run_queue_forever(services, asyncio.Event())
    elif role == "devices":
        await Devices(clock, dice).live(notes)
    else:
        await residents(clock, notes, dice)


def count_notes(folder: Path) -> Counter[str]:
    """Return how often each line was written, by all processes."""
    found: Counter[str] = Counter()
    for file in folder.glob("*.notes"):
        found.update(file.read_text(encoding="utf-8").splitlines())
    return found


if __name__ == "__main__":
    uvloop.run(run(sys.argv[1], Path(sys.argv[2])))
