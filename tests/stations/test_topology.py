"""The topology as other features see it."""

from datetime import UTC, datetime

import asyncpg
import pytest

from backend.core import db
from backend.core.errors import NotFound
from backend.core.ids import new_id
from backend.stations import service as stations
from backend.stations.service import StationSettings, build
from tests.cast import ALICE
from tests.factories.accounts import add_company, add_person
from tests.factories.stations import BEIJING_LAT, BEIJING_LNG, LONG_AGO, add_demo_station, add_gun, add_station

pytestmark = pytest.mark.usefixtures("database")


class TestFindConnector:
    async def test_finds_what_a_device_means_by_topic_and_number(self) -> None:
        station = await add_station()
        gun = await add_gun(station_id=station.id, kind="dc")
        found = await stations.find_connector(
            station_code=station.code, charger_code=gun.connector.charger_code, number=1
        )
        assert found == gun.connector
        assert found is not None and (found.kind, found.max_power_w, found.zone) == ("dc", 60_000, "resident")

    async def test_finds_nothing_at_another_station(self) -> None:
        gun = await add_gun(station_id=(await add_station()).id)
        other = await add_station()
        assert (
            await stations.find_connector(station_code=other.code, charger_code=gun.connector.charger_code, number=1)
            is None
        )

    async def test_finds_by_qr_code(self) -> None:
        gun = await add_gun(station_id=(await add_station()).id)
        assert await stations.find_connector_by_qr(qr=gun.connector.qr) == gun.connector

    async def test_gives_not_found_for_an_unknown_id(self) -> None:
        with pytest.raises(NotFound):
            await stations.get_connector(connector_id=new_id())


class TestBay:
    async def test_knows_its_guns_and_its_lock(self) -> None:
        station = await add_station()
        gun = await add_gun(station_id=station.id)
        bay = await stations.find_bay(station_id=station.id, code=gun.bay.code)
        assert bay == gun.bay
        assert gun.lock is not None
        assert gun.bay.connector_ids == (gun.connector.id,)
        assert gun.bay.lock_code == gun.lock.code

    async def test_changes_its_zone_from_a_date_on(self) -> None:
        gun = await add_gun(station_id=(await add_station()).id)
        await build.change_zone(bay_id=gun.bay.id, zone="public", at=datetime(2999, 1, 1, tzinfo=UTC))
        assert (await stations.get_bay(bay_id=gun.bay.id)).zone == "resident"
        await build.change_zone(bay_id=gun.bay.id, zone="public", at=LONG_AGO)
        assert (await stations.get_bay(bay_id=gun.bay.id)).zone == "public"
        assert (await stations.get_connector(connector_id=gun.connector.id)).zone == "public"

    async def test_is_never_in_two_zones_at_one_time(self) -> None:
        gun = await add_gun(station_id=(await add_station()).id)
        with pytest.raises(asyncpg.ExclusionViolationError):
            async with db.transaction():
                await db.execute(
                    "INSERT INTO bay_zone (id, bay_id, zone, valid_from) VALUES ($1, $2, 'public', $3)",
                    new_id(),
                    gun.bay.id,
                    LONG_AGO,
                )


class TestConnectorZone:
    async def test_is_public_without_a_bay(self) -> None:
        station = await add_station()
        _, (connector_id,) = await build.put_charger(station_id=station.id, code="lone", kind="ac", max_power_w=7000)
        assert (await stations.get_connector(connector_id=connector_id)).zone == "public"

    async def test_is_public_when_one_of_its_bays_is(self) -> None:
        station = await add_station()
        gun = await add_gun(station_id=station.id, zone="resident")
        await build.put_bay(station_id=station.id, code="wide", zone="public", connector_ids=[gun.connector.id])
        connector = await stations.get_connector(connector_id=gun.connector.id)
        assert connector.zone == "public"
        assert len(connector.bay_ids) == 2


class TestPilotStationsWithin:
    async def test_lists_pilot_stations_inside_the_radius_nearest_first(self) -> None:
        near = await add_station()
        far = await add_station(lat=BEIJING_LAT + 0.004)
        await add_station(lat=BEIJING_LAT + 0.02)
        await add_station(pilot=False)
        found = await stations.pilot_stations_within(lat=BEIJING_LAT, lng=BEIJING_LNG, radius_m=500)
        assert [(s.id, m) for s, m in found] == [(near.id, 0), (far.id, 445)]


class TestSafetyHold:
    async def test_holds_the_station_until_every_incident_lets_go(self, now: datetime) -> None:
        station = await add_station()
        first, second = new_id(), new_id()
        assert await stations.set_safety_hold(station_id=station.id, incident_id=first, now=now)
        assert not await stations.set_safety_hold(station_id=station.id, incident_id=first, now=now)
        assert await stations.set_safety_hold(station_id=station.id, incident_id=second, now=now)
        assert (await stations.get_station(station_id=station.id)).safety_hold
        assert await stations.lift_safety_hold(station_id=station.id, incident_id=first, actor_id=None, now=now)
        assert await stations.has_safety_hold(station_id=station.id, lock=True)
        assert await stations.lift_safety_hold(station_id=station.id, incident_id=second, actor_id=None, now=now)
        assert not await stations.has_safety_hold(station_id=station.id)
        assert not await stations.lift_safety_hold(station_id=station.id, incident_id=second, actor_id=None, now=now)


class TestPutStation:
    async def test_keeps_the_id_when_put_again(self) -> None:
        station = await add_station(code="again")
        again = await add_station(
            code="again",
            operator_company_id=station.operator_company_id,
            settings=StationSettings(lock_raise_delay_s=5),
        )
        assert again.id == station.id
        assert again.settings.lock_raise_delay_s == 5

    async def test_refuses_the_code_of_another_company(self) -> None:
        await add_station(code="theirs", operator_company_id=await add_company(name="远邻充电"))
        with pytest.raises(build.CodeTaken):
            await add_station(code="theirs")

    @pytest.mark.parametrize("code", ["", "a/b", "a+", "站", "x" * 65])
    async def test_refuses_a_code_that_cannot_stand_in_a_topic(self, code: str) -> None:
        with pytest.raises(build.CodeInvalid):
            await build.put_station(
                code=code, name="x", operator_company_id=await add_company(), lat=39.9, lng=116.4, now=LONG_AGO
            )

    @pytest.mark.parametrize(
        ("settings", "field"),
        [
            (StationSettings(vacate_gap_s=-1), "vacate_gap_s"),
            (StationSettings(slot_grid_s=0), "slot_grid_s"),
            (StationSettings(escalate_after_s=(60, 30)), "escalate_after_s"),
            (StationSettings(overstay_free_from_min=1440), "overstay_free_from_min"),
        ],
    )
    async def test_refuses_a_number_that_cannot_be(self, settings: StationSettings, field: str) -> None:
        with pytest.raises(build.SettingsInvalid) as refused:
            await add_station(settings=settings)
        assert [fault["field"] for fault in refused.value.params["faults"]] == [field]


class TestRegisterDevice:
    async def test_shows_the_bridge_every_active_device(self) -> None:
        demo = await add_demo_station()
        rows = await db.fetch("SELECT * FROM bridge_device WHERE station_id = $1", demo.station.id)
        assert {row["code"] for row in rows} >= {demo.smoke.code, demo.ac.charger.code, demo.approach_camera.code}
        await build.replace_device(
            device_id=demo.smoke.id,
            role=None,
            area="east",
            lane=None,
            report_interval_s=60,
            model="",
            active=False,
            now=LONG_AGO,
        )
        assert await db.fetchval("SELECT count(*) FROM bridge_device WHERE code = $1", demo.smoke.code) == 0
        assert (await stations.find_device(code=demo.smoke.code)) is not None

    @pytest.mark.parametrize(
        "wrong",
        [
            {"kind": "lock"},
            {"kind": "charger"},
            {"kind": "camera"},
            {"kind": "camera", "role": "bay", "lane": "in"},
            {"kind": "camera", "role": "bay", "area": "east"},
        ],
    )
    async def test_refuses_a_device_without_the_place_its_kind_needs(self, wrong: dict[str, str]) -> None:
        station = await add_station()
        with pytest.raises(build.DeviceMappingInvalid):
            await build.register_device(station_id=station.id, code="d1", now=LONG_AGO, **wrong)  # type: ignore[arg-type]

    async def test_refuses_a_bay_of_another_station(self) -> None:
        here, there = await add_station(), await add_station()
        gun = await add_gun(station_id=there.id, with_lock=False)
        with pytest.raises(NotFound):
            await build.register_device(station_id=here.id, code="d2", kind="lock", bay_id=gun.bay.id, now=LONG_AGO)

    async def test_refuses_a_second_lock_at_a_bay(self) -> None:
        station = await add_station()
        gun = await add_gun(station_id=station.id)
        with pytest.raises(build.CodeTaken):
            await build.register_device(station_id=station.id, code="d3", kind="lock", bay_id=gun.bay.id, now=LONG_AGO)


class TestBrokerAccess:
    async def test_lets_a_device_write_its_channels_and_read_its_commands(self) -> None:
        demo = await add_demo_station()
        access = await stations.broker_access()
        code = demo.smoke.code
        base = f"ev/v1/{demo.station.code}/smoke/{code}"
        assert f"\n{code}:$7$101$" in "\n" + access.passwords
        rules = access.acl.split(f"user {code}\n")[1].split("\n\n")[0].splitlines()
        assert rules == [
            *(f"topic write {base}/{channel}" for channel in ("telemetry", "state", "event", "ack")),
            f"topic read {base}/cmd",
        ]


class TestHome:
    async def test_is_set_changed_and_forgotten(self, now: datetime) -> None:
        account = await add_person(ALICE)
        communities = [new_id(), new_id()]
        for number, community_id in enumerate(communities):
            await db.execute(
                "INSERT INTO community (id, name, district, lat, lng, source, updated_at)"
                " VALUES ($1, $2, '东城区', 39.9, 116.4, 'test', $3)",
                community_id,
                f"小区{number}",
                now,
            )
        await stations.set_home(account_id=account, community_id=communities[0], now=now)
        home = await stations.set_home(account_id=account, community_id=communities[1], now=now)
        assert home.name == "小区1"
        assert await stations.export_personal_data(account_id=account) == {
            "home": {"community_id": str(communities[1]), "name": "小区1"}
        }
        await stations.erase_personal_data(account_id=account, now=now)
        assert await stations.find_home(account_id=account) is None

    async def test_refuses_an_unknown_compound(self, now: datetime) -> None:
        with pytest.raises(NotFound):
            await stations.set_home(account_id=await add_person(ALICE), community_id=new_id(), now=now)
