"""Dated changes of painted zones over HTTP: two people, notice, and no confirmed booking ever stranded.

The zone of now is read by the database's own clock, so these tests live in its present.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from backend.core import db
from backend.core.clock import SystemClock
from backend.core.services import Services
from backend.reservations.rules.words import ReservationView
from backend.reservations.service import bookings, claims, moving, slots
from backend.stations import service as stations
from tests.cast import LI, QIAN, SUN, WANG, ZHOU
from tests.factories.accounts import add_company, log_in
from tests.factories.charging import idle
from tests.factories.reservations import Resident, Scene, add_resident, book
from tests.factories.stations import Gun, add_demo_station, add_gun
from tests.fakes import FixedClock
from tests.jobs import run_due_jobs

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
WHY = "more public demand"


@pytest.fixture
def now() -> datetime:
    """Ten in the morning in Beijing, tomorrow by the database's clock: no slot meets the night."""
    today = SystemClock().now().astimezone(UTC).replace(hour=2, minute=0, second=0, microsecond=0)
    return today + DAY


@pytest.fixture
def clock(now: datetime) -> FixedClock:
    return FixedClock(now)


@pytest.fixture
async def scene(database: Any) -> Scene:
    company_id = await add_company()
    place = await add_demo_station(operator_company_id=company_id)
    here = (place.station.id,)
    return Scene(
        company_id=company_id,
        place=place,
        alice=await add_resident(company_id=company_id, plate="京AD10001", station_ids=here),
        bob=await add_resident(company_id=company_id, phone="13800000002", plate="京AD10002", station_ids=here),
        charlie=await add_resident(company_id=None, phone="13800000003", plate="京AD10003"),
    )


Who = dict[str, dict[str, str]]


@pytest.fixture
async def who(scene: Scene, services: Services, now: datetime) -> Who:
    people = {"li": LI, "qian": QIAN, "sun": SUN, "wang": WANG, "zhou": ZHOU}
    return {key: (await log_in(person, services=services, now=now)).headers for key, person in people.items()}


async def propose(
    api: httpx.AsyncClient, scene: Scene, who: Who, at: datetime, *, gun: Gun | None = None, zone: str = "public"
) -> httpx.Response:
    body = {
        "station_id": str(scene.place.station.id),
        "bay_id": str((gun or scene.place.ac).bay.id),
        "zone": zone,
        "effective_at": at.isoformat(),
        "reason": WHY,
    }
    return await api.post("/v1/operator/zone-changes", json=body, headers=who["li"])


async def approved(api: httpx.AsyncClient, scene: Scene, who: Who, at: datetime, **wish: Any) -> dict[str, Any]:
    made = await propose(api, scene, who, at, **wish)
    assert made.status_code == 201, made.text
    answer = await api.post(f"/v1/operator/zone-changes/{made.json()['id']}/approve", headers=who["qian"])
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def templates_of(resident: Resident) -> list[str]:
    rows = await db.fetch("SELECT template FROM inbox_message WHERE recipient_id = $1 ORDER BY id", resident.account_id)
    return [row["template"] for row in rows]


async def short_notice(scene: Scene, days: int) -> None:
    """Let the station announce changes so many days ahead only: then bookings may stand in the way."""
    await db.execute(
        "UPDATE station SET settings = jsonb_set(settings, '{zone_notice_days}', $2::jsonb) WHERE id = $1",
        scene.place.station.id,
        str(days),
    )


class TestPlanning:
    async def test_needs_a_second_person_and_is_on_record(
        self, api: httpx.AsyncClient, scene: Scene, who: Who, now: datetime
    ) -> None:
        made = (await propose(api, scene, who, now + 8 * DAY)).json()
        assert made["status"] == "proposed"
        path = f"/v1/operator/zone-changes/{made['id']}"
        own = await api.post(f"{path}/approve", headers=who["li"])
        assert (own.status_code, own.json()["code"]) == (403, "zone_change_needs_second_person")
        assert (await api.get(f"/v1/stations/{scene.place.station.id}/zone-changes")).json()["items"] == []
        done = await api.post(f"{path}/approve", headers=who["qian"])
        assert (done.json()["status"], done.json()["effective_at"]) == ("approved", made["wanted_at"])
        again = await api.post(f"{path}/approve", headers=who["qian"])
        assert (again.status_code, again.json()["code"]) == (409, "zone_change_over")
        actions = await db.fetch("SELECT action FROM audit_entry WHERE object_kind = 'zone_change' ORDER BY id")
        assert [row["action"] for row in actions] == ["zone_change.proposed", "zone_change.approved"]

    async def test_is_refused_without_notice_and_says_from_when_it_can_be(
        self, api: httpx.AsyncClient, scene: Scene, who: Who, now: datetime
    ) -> None:
        early = await propose(api, scene, who, now + 6 * DAY)
        assert (early.status_code, early.json()["code"]) == (422, "notice_too_short")
        assert (await propose(api, scene, who, datetime.fromisoformat(early.json()["earliest_at"]))).status_code == 201

    async def test_counts_the_notice_from_the_approval(
        self, api: httpx.AsyncClient, scene: Scene, who: Who, clock: FixedClock, now: datetime
    ) -> None:
        made = (await propose(api, scene, who, now + 7 * DAY + timedelta(minutes=5))).json()
        clock.advance(minutes=10)
        late = await api.post(f"/v1/operator/zone-changes/{made['id']}/approve", headers=who["qian"])
        assert (late.status_code, late.json()["code"]) == (422, "notice_too_short")

    async def test_has_one_change_of_a_bay_at_a_time_and_none_to_the_zone_it_is_in(
        self, api: httpx.AsyncClient, scene: Scene, who: Who, now: datetime
    ) -> None:
        assert (await propose(api, scene, who, now + 8 * DAY)).status_code == 201
        second = await propose(api, scene, who, now + 9 * DAY)
        assert (second.status_code, second.json()["code"]) == (409, "zone_change_open")
        same = await propose(api, scene, who, now + 9 * DAY, gun=scene.place.public)
        assert (same.status_code, same.json()["code"]) == (409, "zone_unchanged")

    async def test_cannot_be_gone_round_by_putting_the_bay(
        self, api: httpx.AsyncClient, scene: Scene, who: Who
    ) -> None:
        base = f"/v1/operator/stations/{scene.place.station.id}/bays"
        direct = await api.put(f"{base}/{scene.place.ac.bay.code}", json={"zone": "public"}, headers=who["li"])
        assert (direct.status_code, direct.json()["code"]) == (409, "zone_needs_plan")
        beside = {"zone": "public", "connector_ids": [str(scene.place.ac.connector.id)]}
        around = await api.put(f"{base}/NEW-1", json=beside, headers=who["li"])
        assert (around.status_code, around.json()["code"]) == (409, "zone_needs_plan")
        connector = await stations.get_connector(connector_id=scene.place.ac.connector.id)
        assert (connector.zone, len(connector.bay_ids)) == ("resident", 1)

    async def test_is_for_the_operators_of_the_company(
        self, api: httpx.AsyncClient, scene: Scene, who: Who, now: datetime
    ) -> None:
        made = (await propose(api, scene, who, now + 8 * DAY)).json()
        path = f"/v1/operator/zone-changes/{made['id']}"
        assert (await api.post(f"{path}/approve", headers=who["zhou"])).status_code == 404
        for person in ("sun", "wang"):
            assert (await api.post(f"{path}/approve", headers=who[person])).status_code == 404
        for person, seen in (("sun", 1), ("zhou", 0)):
            listed = await api.get("/v1/operator/zone-changes?open=true", headers=who[person])
            assert len(listed.json()["items"]) == seen


class TestAnApprovedChange:
    async def test_is_told_to_the_residents_of_the_station_and_shown_to_everybody(
        self, api: httpx.AsyncClient, scene: Scene, who: Who, now: datetime
    ) -> None:
        change = await approved(api, scene, who, now + 8 * DAY)
        await run_due_jobs(now=now, only="reservations.announce_zone_change")
        assert await templates_of(scene.alice) == await templates_of(scene.bob) == ["zone_change_to_public"]
        assert await templates_of(scene.charlie) == []
        (shown,) = (await api.get(f"/v1/stations/{scene.place.station.id}/zone-changes")).json()["items"]
        assert (shown["bay_code"], shown["zone_from"], shown["zone_to"]) == (
            scene.place.ac.bay.code,
            "resident",
            "public",
        )
        assert shown["effective_at"] == change["effective_at"]
        station = (await api.get(f"/v1/stations/{scene.place.station.id}")).json()
        assert [change["bay"] for change in station["zone_changes"]] == [scene.place.ac.bay.code]

    async def test_sells_no_slot_that_reaches_past_it(
        self, api: httpx.AsyncClient, scene: Scene, who: Who, now: datetime
    ) -> None:
        await short_notice(scene, 2)
        at = now + 2 * DAY + 4 * HOUR
        await approved(api, scene, who, at)
        day = at.date()
        offered = await slots.day(station_id=scene.place.station.id, on=day, power="ac", now=now)
        assert offered
        assert max(slot.longest_until for slot in offered) < at
        with pytest.raises(Exception, match="slot_taken"):
            await book(scene.alice, scene.place, now=now, starts_at=at)

    async def test_opens_a_public_bay_for_bookings_from_its_date_on(
        self, api: httpx.AsyncClient, scene: Scene, who: Who, now: datetime
    ) -> None:
        await short_notice(scene, 2)
        at = now + 2 * DAY
        gun = scene.place.public
        with pytest.raises(Exception, match="nothing_to_book"):
            await book(scene.alice, scene.place, now=now, starts_at=at, connector_id=gun.connector.id)
        await approved(api, scene, who, at, gun=gun, zone="resident")
        with pytest.raises(Exception, match="slot_taken"):
            await book(scene.alice, scene.place, now=now, starts_at=at - HOUR, connector_id=gun.connector.id)
        booked = await book(scene.alice, scene.place, now=now, starts_at=at, connector_id=gun.connector.id)
        assert booked.connector_id == gun.connector.id

    async def test_ends_the_walk_up_of_somebody_without_an_agreement(
        self, api: httpx.AsyncClient, scene: Scene, who: Who, now: datetime
    ) -> None:
        await short_notice(scene, 1)
        at = now + DAY
        await approved(api, scene, who, at, gun=scene.place.public, zone="resident")
        connector_id = scene.place.public.connector.id
        until = await claims.walk_up_until(connector_id=connector_id, has_agreement=False, now=at - HOUR)
        assert until < at
        assert await claims.walk_up_until(connector_id=connector_id, has_agreement=True, now=at - HOUR) > at


class TestABookingInTheWay:
    @pytest.fixture
    async def booked(self, scene: Scene, now: datetime) -> ReservationView:
        await short_notice(scene, 1)
        return await book(
            scene.alice,
            scene.place,
            now=now,
            starts_at=now + 2 * DAY,
            connector_id=scene.place.ac.connector.id,
        )

    async def test_moves_and_its_owner_is_told(
        self, api: httpx.AsyncClient, scene: Scene, who: Who, booked: ReservationView, now: datetime
    ) -> None:
        spare = await add_gun(station_id=scene.place.station.id, kind="ac")
        await idle(spare, now=now)
        change = await approved(api, scene, who, now + DAY)
        assert (change["moved"], change["kept"]) == (1, 0)
        after = await bookings.find_reservation(reservation_id=booked.id)
        assert after is not None
        assert (after.connector_id, after.starts_at) == (spare.connector.id, booked.starts_at)
        (move,) = await moving.list_moves(reservation_id=booked.id)
        assert (move.outcome, move.reason) == ("moved", "zone")
        assert "reservation_relocated" in await templates_of(scene.alice)

    async def test_keeps_the_bay_in_its_old_zone_until_it_is_done_where_it_cannot(
        self, api: httpx.AsyncClient, scene: Scene, who: Who, booked: ReservationView, now: datetime
    ) -> None:
        change = await approved(api, scene, who, now + DAY)
        assert (change["moved"], change["kept"]) == (0, 1)
        assert datetime.fromisoformat(change["effective_at"]) == booked.ends_at + timedelta(minutes=10)
        await run_due_jobs(now=now, only="reservations.announce_zone_change")
        assert set(await templates_of(scene.alice)) == {"reservation_keeps_bay", "zone_change_to_public"}
        after = await bookings.find_reservation(reservation_id=booked.id)
        assert after is not None
        assert (after.status, after.connector_id, after.stranded_at) == ("confirmed", booked.connector_id, None)

    async def test_that_came_in_between_is_found_when_the_change_is_announced(
        self, api: httpx.AsyncClient, scene: Scene, who: Who, now: datetime
    ) -> None:
        await short_notice(scene, 1)
        change = await approved(api, scene, who, now + DAY)
        zones = await db.fetch("DELETE FROM bay_zone WHERE valid_from > now() RETURNING bay_id")
        await db.execute("UPDATE bay_zone SET valid_to = NULL WHERE bay_id = $1", zones[0]["bay_id"])
        late = await book(scene.bob, scene.place, now=now, starts_at=now + 2 * DAY, power="ac")
        await run_due_jobs(now=now, only="reservations.announce_zone_change")
        (shown,) = (await api.get("/v1/operator/zone-changes", headers=who["li"])).json()["items"]
        assert (
            datetime.fromisoformat(shown["effective_at"])
            > late.ends_at
            > datetime.fromisoformat(change["effective_at"])
        )
        assert shown["kept"] == 1


class TestCancelling:
    async def test_lets_the_old_zone_go_on_and_tells(
        self, api: httpx.AsyncClient, scene: Scene, who: Who, now: datetime
    ) -> None:
        change = await approved(api, scene, who, now + 8 * DAY)
        path = f"/v1/operator/zone-changes/{change['id']}/cancel"
        done = await api.post(path, json={"reason": "signs are late"}, headers=who["li"])
        assert done.json()["status"] == "cancelled"
        assert "zone_change_cancelled" in await templates_of(scene.alice)
        rows = await db.fetch("SELECT valid_to FROM bay_zone WHERE bay_id = $1", scene.place.ac.bay.id)
        assert [row["valid_to"] for row in rows] == [None]
        assert (await propose(api, scene, who, now + 9 * DAY)).status_code == 201
        again = await api.post(path, json={"reason": "signs are late"}, headers=who["li"])
        assert (again.status_code, again.json()["code"]) == (409, "zone_change_over")

    async def test_is_refused_where_a_booking_for_the_zone_to_come_cannot_move(
        self, api: httpx.AsyncClient, scene: Scene, who: Who, now: datetime
    ) -> None:
        await short_notice(scene, 1)
        at, gun = now + DAY, scene.place.public
        change = await approved(api, scene, who, at, gun=gun, zone="resident")
        first = await book(scene.alice, scene.place, now=now, starts_at=at + HOUR, connector_id=gun.connector.id)
        await book(scene.bob, scene.place, now=now, starts_at=at + HOUR, connector_id=scene.place.ac.connector.id)
        path = f"/v1/operator/zone-changes/{change['id']}/cancel"
        refused = await api.post(path, json={"reason": "signs are late"}, headers=who["qian"])
        assert (refused.status_code, refused.json()["code"]) == (409, "bookings_in_the_way")
        await bookings.cancel_reservation(account_id=first.account_id, reservation_id=first.id, now=now)
        assert (await api.post(path, json={"reason": "signs are late"}, headers=who["qian"])).status_code == 200

    async def test_is_too_late_once_the_change_holds(
        self, api: httpx.AsyncClient, scene: Scene, who: Who, now: datetime
    ) -> None:
        change = await approved(api, scene, who, now + 8 * DAY)
        due = now + 8 * DAY
        await run_due_jobs(now=due - HOUR, only="reservations.zone_change_due")
        assert await db.fetchval("SELECT status FROM zone_change") == "approved"
        await db.execute("UPDATE pgqueuer SET execute_after = $1 WHERE entrypoint LIKE '%zone_change_due'", due)
        await run_due_jobs(now=due, only="reservations.zone_change_due")
        assert await db.fetchval("SELECT status FROM zone_change") == "in_force"
        path = f"/v1/operator/zone-changes/{change['id']}/cancel"
        late = await api.post(path, json={"reason": "signs are late"}, headers=who["li"])
        assert (late.status_code, late.json()["code"]) == (409, "zone_change_over")
