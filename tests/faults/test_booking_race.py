"""Hundreds of residents, chargers that break, and every process killed again and again: no booking is lost silently.

The processes are `tests.faults.racer`'s. The clock is fast: timers of hours (holds, reminders, session starts, looks at
the place) come due while processes die. What each process knows to have committed is compared with what is there.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import pytest

from backend.core import db
from backend.core.clock import SystemClock
from backend.reservations.rules.periods import BEIJING
from bench.ground import Ground, ground
from tests.factories.accounts import add_company
from tests.factories.reservations import add_resident
from tests.factories.stations import add_gun, add_station
from tests.factories.tariffs import publish_tariff
from tests.faults.conftest import FULL, Row
from tests.faults.racer import Cast, Gun, Person, count_notes
from tests.reservations.test_races import OVERLAPS

pytestmark = pytest.mark.slow

PEOPLE = 300 if FULL else 60
GUNS = 24 if FULL else 12
KILLS = 100 if FULL else 10
BOOKINGS = 300 if FULL else 30
LONGEST_S = 900.0 if FULL else 240.0
SPEED = 60.0
KILL_EVERY_S = 4.0
AFTER = timedelta(hours=8)
"""How far the clock is set on at the end: past every slot and every timer of a slot."""
ROLES = ("residents:1", "residents:2", "workers:1", "workers:2", "devices")
DUE_BY_THE_FAST_CLOCK = """
CREATE TABLE race_clock (real_at timestamptz, virtual_at timestamptz, speed double precision);
GRANT SELECT ON race_clock TO linli_app;
CREATE FUNCTION due_by_the_fast_clock() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- The run's own time lies weeks ahead; what PgQueuer counts from the database's clock does not.
    IF NEW.execute_after > now() + interval '10 days' THEN
        NEW.execute_after := (SELECT real_at + (NEW.execute_after - virtual_at) / speed FROM race_clock);
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER due_by_the_fast_clock BEFORE INSERT OR UPDATE OF execute_after ON pgqueuer
    FOR EACH ROW EXECUTE FUNCTION due_by_the_fast_clock();
"""
SESSIONS_TWICE = """
SELECT count(*) FROM charging_session a JOIN charging_session b ON a.id < b.id
WHERE a.status IN ('requested', 'starting', 'charging', 'ending')
  AND b.status IN ('requested', 'starting', 'charging', 'ending')
  AND (a.connector_id = b.connector_id OR a.plate_hash = b.plate_hash)
"""
OPEN_WITHOUT_CLAIM = """
SELECT count(*) FROM reservation r WHERE status IN ('confirmed', 'checked_in') AND stranded_at IS NULL
AND NOT EXISTS (SELECT FROM connector_claim c WHERE c.id = r.claim_id AND c.connector_id = r.connector_id)
"""
ENDED_TWICE = """
SELECT count(*) FROM (
    SELECT 1 FROM domain_event WHERE name IN ('ReservationCancelled', 'ReservationNotUsed')
    GROUP BY payload ->> 'reservation_id' HAVING count(*) > 1
    UNION ALL
    SELECT 1 FROM domain_event WHERE name IN ('SessionEnded', 'OrderClosed')
    GROUP BY payload ->> 'session_id', payload ->> 'order_id', name HAVING count(*) > 1
    UNION ALL
    SELECT 1 FROM charge_order GROUP BY session_id HAVING count(*) > 1
    UNION ALL
    SELECT 1 FROM inbox_message GROUP BY event_key, recipient_id HAVING count(*) > 1) twice
"""
CLOSED_WITHOUT_NOTICE = """
SELECT r.id, r.status, r.closed_reason FROM reservation r
WHERE r.status IN ('no_show', 'failed') AND NOT EXISTS (
    SELECT FROM inbox_message i WHERE i.event_key LIKE 'reservation:' || r.id || ':%' AND i.recipient_id = r.account_id)
"""
MOVED_WITHOUT_NOTICE = """
SELECT m.id FROM reservation_move m WHERE m.outcome = 'moved' AND m.reason <> 'change' AND NOT EXISTS (
    SELECT FROM inbox_message i WHERE i.event_key LIKE 'reservation:' || m.reservation_id || ':moved:%')
"""
CLOSED_WITHOUT_EVENT = """
SELECT r.id, r.status FROM reservation r WHERE r.status IN ('cancelled', 'no_show', 'failed') AND NOT EXISTS (
    SELECT FROM domain_event e WHERE e.payload ->> 'reservation_id' = r.id::text
    AND e.name IN ('ReservationCancelled', 'ReservationNotUsed'))
"""
LATE = """
SELECT id, status, hold_until FROM reservation
WHERE (status = 'confirmed' AND hold_until < $1) OR (status = 'checked_in' AND ends_at < $1 - interval '2 hours')
"""


@pytest.fixture
def made() -> Iterator[Ground]:
    """Servers and processes of the run's own."""
    with ground() as found:
        yield found


async def found_town(made: Ground, folder: Path) -> Cast:
    """A station with prices, guns, and residents; the clock is set to ten in the morning, three weeks ahead."""
    now = SystemClock().now()
    company_id = await add_company()
    station = await add_station(operator_company_id=company_id)
    await publish_tariff(operator_company_id=company_id)
    guns = []
    for number in range(GUNS):
        zone = "public" if number % 6 == 5 else "resident"
        gun = await add_gun(station_id=station.id, zone=zone, with_lock=False)  # type: ignore[arg-type]
        guns.append(Gun(gun.connector.id, gun.charger.id, zone == "resident"))
    people = []
    for number in range(PEOPLE):
        one = await add_resident(company_id=company_id, phone=f"137{number:08d}", plate=f"京AE{number:05d}")
        people.append(Person(one.account_id, one.vehicle.id))
    virtual = (now + timedelta(days=20)).astimezone(BEIJING).replace(hour=10, minute=0, second=0, microsecond=0)
    return Cast(people, guns, station.id, SystemClock().now().timestamp(), virtual.astimezone(now.tzinfo), SPEED)


async def set_clock(owner: asyncpg.Connection, cast: Cast, folder: Path) -> None:
    """Let processes that start from now on, and the queue, go by the cast's clock."""
    (folder / "cast.json").write_bytes(msgspec.json.encode(cast))
    await owner.execute("DELETE FROM race_clock")
    await owner.execute("INSERT INTO race_clock VALUES (to_timestamp($1), $2, $3)", cast.real, cast.virtual, cast.speed)


def launch(made: Ground, role: str, folder: Path) -> None:
    """Start a process of the race."""
    made.run(role, "-m", "tests.faults.racer", role.partition(":")[0], str(folder))


def works(made: Ground, role: str, folder: Path) -> bool:
    """Say whether a process has begun its work: one that is killed while it starts proves nothing."""
    return (folder / f"{role.partition(':')[0]}-{made.children[role].pid}.notes").exists()


async def nothing_is_wrong_now() -> None:
    """What must hold at every instant, whatever was killed."""
    assert await db.fetchval(OVERLAPS) == 0
    assert await db.fetchval(SESSIONS_TWICE) == 0
    assert await db.fetchval(OPEN_WITHOUT_CLAIM) == 0


class TestBookingRace:
    async def test_loses_no_booking_and_rings_every_timer_once(self, made: Ground, tmp_path: Path, row: Row) -> None:
        dice = random.Random(4)
        async with made.opened():
            cast = await found_town(made, tmp_path)
            owner = await asyncpg.connect(made.postgres.owner_url)
            await owner.execute(DUE_BY_THE_FAST_CLOCK)
            await set_clock(owner, cast, tmp_path)
            for role in ROLES:
                launch(made, role, tmp_path)
            kills = 0
            deadline = time.monotonic() + LONGEST_S
            while kills < KILLS or await db.fetchval("SELECT count(*) FROM reservation") < BOOKINGS:
                assert time.monotonic() < deadline, f"{kills} kills, {dict(notes_by_kind(count_notes(tmp_path)))}"
                await asyncio.sleep(KILL_EVERY_S)
                working = [role for role in ROLES if works(made, role, tmp_path)]
                if not working:
                    continue
                role = dice.choice(working)
                made.kill(role)
                kills += 1
                await nothing_is_wrong_now()
                launch(made, role, tmp_path)
            for role in ROLES:
                made.kill(role)
            # The clock is set on past every slot, and new workers ring whatever was left.
            jumped = msgspec.structs.replace(cast, virtual=cast.virtual + AFTER)
            await set_clock(owner, jumped, tmp_path)
            await owner.execute("UPDATE pgqueuer SET execute_after = execute_after - $1::interval", AFTER / SPEED)
            for role in ("workers:1", "workers:2"):
                launch(made, role, tmp_path)
            found = await drained(jumped, timeout_s=120)
            await owner.close()
            await nothing_is_wrong_now()
            wrong = await what_is_wrong(jumped)
        notes = count_notes(tmp_path)
        booked = {line.split()[1] for line in notes if line.startswith("booked ")}
        faults = [line for line in notes if line.startswith("fault ")]
        row(
            "kill -9 of residents', workers' and devices' processes",
            f"{kills} kills, {PEOPLE} residents, {len(cast.guns)} connectors, 1 h a minute",
            f"{len(booked)} bookings, {found['sessions']} sessions, {found['moves']} moves, {found['no_shows']}"
            f" no-shows; wrong: {sum(map(len, wrong.values()))}",
        )
        print(dict(notes_by_kind(notes)), {name: value for name, value in found.items() if name != "known"})
        assert faults == []
        assert {name: rows for name, rows in wrong.items() if rows} == {}
        lost = booked - found["known"]
        assert lost == set(), "a booking that was confirmed to a resident is not there"
        assert found["sessions"] > 0
        assert found["no_shows"] > 0
        assert found["failed_jobs"] == 0


def notes_by_kind(notes: Counter[str]) -> Counter[str]:
    """Return how often each thing was done or refused."""
    kinds: Counter[str] = Counter()
    for line, count in notes.items():
        kinds[line if line.startswith(("done", "refused", "fault")) else line.split()[0]] += count
    return kinds


async def drained(cast: Cast, *, timeout_s: float) -> dict[str, Any]:
    """Wait until no timer of a booking and no message is left to do; returns what there is."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        left = await db.fetchval("SELECT count(*) FROM pgqueuer WHERE status <> 'failed' AND execute_after <= now()")
        if not left:
            break
        await asyncio.sleep(0.5)
    else:
        raise AssertionError(f"{left} jobs are still not done")
    return {
        "known": {str(row["id"]) for row in await db.fetch("SELECT id FROM reservation")},
        "sessions": await db.fetchval("SELECT count(*) FROM charging_session WHERE started_at IS NOT NULL"),
        "moves": await db.fetchval("SELECT count(*) FROM reservation_move"),
        "no_shows": await db.fetchval("SELECT count(*) FROM reservation WHERE status = 'no_show'"),
        "failed_jobs": await db.fetchval("SELECT count(*) FROM pgqueuer WHERE status = 'failed'"),
    }


async def what_is_wrong(cast: Cast) -> dict[str, list[Any]]:
    """Return what must not be at the end, by kind."""
    return {
        "ended twice": [n] if (n := await db.fetchval(ENDED_TWICE)) else [],
        "closed without notice": list(await db.fetch(CLOSED_WITHOUT_NOTICE)),
        "moved without notice": list(await db.fetch(MOVED_WITHOUT_NOTICE)),
        "closed without event": list(await db.fetch(CLOSED_WITHOUT_EVENT)),
        "a timer never rang": list(await db.fetch(LATE, cast.virtual)),
    }
