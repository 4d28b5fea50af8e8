"""One-minute roll-ups hold each sample once, whenever it came; raw history is kept around incidents."""

from datetime import date, datetime, timedelta

import asyncpg
import httpx
from piccolo.engine.postgres import PostgresEngine

from backend.core import db
from backend.core.ids import new_id
from backend.core.services import Services
from backend.telemetry import rollups, store
from sandbox.servers.postgres import OWNER, PostgresServer
from tests.cast import LI, ZHOU
from tests.factories.accounts import log_in
from tests.factories.stations import add_demo_station
from tests.factories.telemetry import BMS, measure, payload, see_everything
from tests.factories.telemetry import ingest as take_in


class TestRoll:
    async def test_merges_each_sample_once_also_those_that_come_late(self, database: object, now: datetime) -> None:
        demo = await add_demo_station()
        gun = demo.ac
        for second, power in ((0, 7000), (15, 6000), (30, 5000), (70, 4000)):
            at = now + timedelta(seconds=second)
            await measure(gun.charger, now=at, power_w=power, meter_wh=1000 + second, boot=1, seq=second)
        await _rolled(now + timedelta(minutes=5))
        await _rolled(now + timedelta(minutes=5))
        found = await _minutes(gun.connector.id, now)
        assert [(m.samples, m.power_avg_w, m.power_max_w, m.meter_min_wh, m.meter_max_wh) for m in found] == [
            (3, 6000, 7000, 1000, 1030),
            (1, 4000, 4000, 1070, 1070),
        ]
        body = payload("charger", "telemetry", at=now + timedelta(seconds=45), boot=1, seq=45, power_w=2000)
        await take_in(gun.charger, body, received_at=now + timedelta(minutes=8))
        await _rolled(now + timedelta(minutes=20))
        assert sum(m.samples for m in await _minutes(gun.connector.id, now, hours=1)) == 5

    async def test_makes_a_day_anew_when_something_came_behind_its_back(self, database: object, now: datetime) -> None:
        gun = (await add_demo_station()).ac
        await measure(gun.charger, now=now, boot=1, seq=1)
        await _rolled(now + timedelta(minutes=10))
        await measure(gun.charger, now=now + timedelta(seconds=5), boot=1, seq=2)
        await _rolled(now + timedelta(hours=10))
        assert [m.samples for m in await _minutes(gun.connector.id, now)] == [1]
        await _rolled(now + timedelta(days=1, hours=12))
        assert [m.samples for m in await _minutes(gun.connector.id, now)] == [2]
        assert await db.fetchval("SELECT closed FROM telemetry_rolled WHERE received_on = $1", now.date())

    async def test_waits_for_what_ingest_has_not_written(self, database: object, now: datetime) -> None:
        gun = (await add_demo_station()).ac
        await measure(gun.charger, now=now, boot=1, seq=1)
        assert await rollups.roll(now=now + timedelta(minutes=10)) == 0
        await see_everything(now=now)
        assert await rollups.roll(now=now + timedelta(minutes=10)) == 0


class TestApi:
    async def test_shows_minutes_to_the_stations_own_company(
        self, api: httpx.AsyncClient, services: Services, now: datetime
    ) -> None:
        gun = (await add_demo_station()).dc
        await measure(gun.charger, now=now, boot=1, seq=1, power_w=30_000, bms={**BMS, "soc_pct": 61})
        await _rolled(now + timedelta(minutes=10))
        path = f"/v1/operator/connectors/{gun.connector.id}/minutes"
        ask = {"since": now.isoformat(), "until": (now + timedelta(hours=1)).isoformat()}
        li, zhou = [(await log_in(person, services=services, now=now)).headers for person in (LI, ZHOU)]
        shown = await api.get(path, params=ask, headers=li)
        assert [(m["power_avg_w"], m["soc_max_pct"]) for m in shown.json()["items"]] == [(30_000, 61)]
        assert (await api.get(path, params=ask, headers=zhou)).status_code == 404
        turned = {"since": ask["until"], "until": ask["since"]}
        refused = await api.get(path, params=turned, headers=li)
        assert (refused.status_code, refused.json()["code"]) == (422, "history_period_invalid")


class TestKeepRaw:
    async def test_keeps_the_samples_around_an_incident_when_their_day_is_dropped(
        self, committing: PostgresEngine, postgres: PostgresServer, now: datetime
    ) -> None:
        demo, other = await add_demo_station(), await add_demo_station()
        day = await db.fetchval("SELECT (now() AT TIME ZONE 'UTC')::date - 500")
        at = datetime.combine(day, now.timetz())
        for gun in (demo.ac, other.ac):
            await measure(gun.charger, now=at, boot=1, seq=1)
            await measure(gun.charger, now=at + timedelta(hours=5), boot=1, seq=2)
        await _make_partition(postgres.url(OWNER, committing.config["dsn"].rpartition("/")[2].partition("?")[0]), day)
        await rollups.keep_raw(
            station_id=demo.station.id,
            reference_id=new_id(),
            reason="incident",
            since=at - timedelta(hours=1),
            until=at + timedelta(hours=1),
            now=now,
        )
        await store.roll_partitions(days_ahead=0, days_kept=400)
        rows = await db.fetch("SELECT connector_id, seq FROM telemetry_sample")
        assert [(row["connector_id"], row["seq"]) for row in rows] == [(demo.ac.connector.id, 1)]

    async def test_covers_every_safety_hold_with_an_hour_on_either_side(self, database: object, now: datetime) -> None:
        from backend.stations import service as stations

        demo = await add_demo_station()
        incident_id = new_id()
        await stations.set_safety_hold(station_id=demo.station.id, incident_id=incident_id, now=now)
        await rollups.keep_around_incidents(now=now + timedelta(minutes=30))
        row = await db.fetchrow("SELECT reference_id, since, until FROM telemetry_hold")
        assert (row["reference_id"], row["since"]) == (incident_id, now - timedelta(hours=1))
        assert row["until"] == now + timedelta(minutes=90)


async def _rolled(now: datetime) -> None:
    await see_everything(now=now)
    await rollups.roll(now=now)


async def _minutes(connector_id: object, now: datetime, *, hours: int = 1) -> list[rollups.Minute]:
    return await rollups.minutes(
        connector_id=connector_id,  # type: ignore[arg-type]
        since=now - timedelta(hours=hours),
        until=now + timedelta(hours=hours),
    )


async def _make_partition(owner_url: str, day: date) -> None:
    """Give a day of the past its partition, as it had when it was the present."""
    name = f"telemetry_sample_{day:%Y%m%d}"
    connection = await asyncpg.connect(owner_url)
    try:
        await connection.execute(
            f"CREATE TABLE {name} (LIKE telemetry_sample INCLUDING DEFAULTS);"
            f"INSERT INTO {name} SELECT * FROM telemetry_sample_default WHERE received_on = '{day}';"
            f"DELETE FROM telemetry_sample_default WHERE received_on = '{day}';"
            f"ALTER TABLE telemetry_sample ATTACH PARTITION {name}"
            f" FOR VALUES FROM ('{day}') TO ('{day + timedelta(days=1)}')"
        )
        assert await connection.fetchval(f"SELECT count(*) FROM {name}") == 4
    finally:
        await connection.close()
