"""The demo as the seed puts it in place."""

import csv
from datetime import datetime
from pathlib import Path

import pytest

from backend import seed
from backend.agreements.service import packages
from backend.core import db
from backend.core.units import Point, distance_m
from backend.stations import service as stations
from backend.stations.rules.broker import matches_password
from backend.tariffs import service as tariffs
from sandbox.demo.stations import STATIONS, STORY_STATIONS, TESTER_STATIONS
from sandbox.fleet.plan import read_plan

URL = "mqtt://127.0.0.1:1883"


class TestTheDefinitions:
    def test_place_every_station_within_500_m_of_its_compound(self) -> None:
        with seed.COMMUNITIES_FILE.open(encoding="utf-8") as file:
            points = {
                (row["name"], row["district"]): Point(float(row["lat"]), float(row["lng"]))
                for row in csv.DictReader(file)
            }
        for station in STATIONS:
            compound = points[station.compound, station.district]
            lat, lng = seed.moved(compound.lat, compound.lng, north_m=station.north_m, east_m=station.east_m)
            assert distance_m(compound, Point(lat, lng)) <= 480, station.code

    def test_keep_simulated_life_out_of_the_storys_and_the_testers_stations(self) -> None:
        quiet = {station.code for station in STATIONS if not station.life}
        assert quiet == {*STORY_STATIONS, *TESTER_STATIONS}
        assert len(STATIONS) - len(quiet) >= 20

    def test_give_no_two_devices_one_code(self) -> None:
        codes = [device.code for station in STATIONS for device in seed._devices_of(station)]
        assert len(codes) == len(set(codes))


@pytest.mark.usefixtures("database")
class TestSeedDemo:
    async def test_puts_all_in_place_once_and_agrees_with_the_plan(self, tmp_path: Path, now: datetime) -> None:
        seen: dict[str, tuple[int, int]] = {}
        await seed.seed_demo(
            state_dir=tmp_path,
            mqtt_url=URL,
            now=now,
            on_progress=lambda what, done, total: seen.update({what: (done, total)}),
        )
        assert seen == {
            "compounds": (236, 236),
            "public stations": (1706, 1706),
            "pilot stations": (len(STATIONS), len(STATIONS)),
        }
        offered = await packages.list_packages(at=now)
        assert sorted({p.code for p in offered}) == ["bundle_200", "pay_as_you_go", "trial_30", "valley_150"]
        assert len(offered) == 1 + 3 * len(seed.people.COMPANIES)
        plan = read_plan(path=tmp_path / "fleet.json")
        hashes = dict(line.split(":", 1) for line in (await stations.broker_access()).passwords.splitlines())
        devices = [
            device
            for station in plan.stations
            for device in (*station.chargers, *station.locks, *station.cameras, *station.smoke)
        ]
        assert {device.code for device in devices} == set(hashes)
        assert all(matches_password(device.password, hashes[device.code]) for device in devices)
        for planned in plan.stations:
            station = await stations.get_station_by_code(code=planned.code)
            assert station.pilot
            connectors = await stations.list_connectors(station_id=station.id)
            assert {(c.charger_code, c.number, c.kind, c.max_power_w) for c in connectors} == {
                (charger.code, gun.number, charger.kind, gun.max_power_w)
                for charger in planned.chargers
                for gun in charger.connectors
            }
            bays = await stations.list_bays(station_id=station.id)
            assert {bay.zone for bay in bays} == {"resident", "public"}
            assert {bay.lock_code for bay in bays if bay.zone == "resident"} == {lock.code for lock in planned.locks}
            prices = await tariffs.price_for(
                station_id=station.id, user_class="agreement", at=seed.prices.EFFECTIVE_FROM
            )
            assert max(band.service_e4 for band in prices.bands) <= 5000

        accounts = await db.fetch(
            "SELECT c.name, m.merchant_no FROM merchant_account m JOIN operator_company c ON c.id ="
            " m.operator_company_id"
        )
        assert {row["name"] for row in accounts} == {"邻里示范", "远邻充电"}
        assert len({row["merchant_no"] for row in accounts}) == 2

        seen.clear()
        before = await db.fetchval("SELECT max(updated_at) FROM station")
        await seed.seed_demo(
            state_dir=tmp_path,
            mqtt_url="mqtt://127.0.0.1:2883",
            now=now.replace(year=2027),
            on_progress=lambda what, done, total: seen.update({what: (done, total)}),
        )
        assert seen == {}
        assert await db.fetchval("SELECT max(updated_at) FROM station") == before
        assert await db.fetchval("SELECT count(*) FROM audit_entry WHERE action = 'merchant_account.set'") == 2
        again = read_plan(path=tmp_path / "fleet.json")
        assert again.mqtt_url == "mqtt://127.0.0.1:2883"
        assert again.stations == plan.stations

        (tmp_path / "fleet.json").unlink()
        await seed.seed_demo(state_dir=tmp_path, mqtt_url=URL, now=now)
        renewed = read_plan(path=tmp_path / "fleet.json")
        hashes = dict(line.split(":", 1) for line in (await stations.broker_access()).passwords.splitlines())
        assert all(
            matches_password(device.password, hashes[device.code])
            for station in renewed.stations
            for device in (*station.chargers, *station.locks, *station.cameras, *station.smoke)
        )
