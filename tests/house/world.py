"""A world with at least one object of every kind: alice's, and her operator company's, for the tests of who sees what.

Everything is made by the use cases and paths that make it in life; where life takes weeks (a suspension, a dead
letter, a reconciled day), by the rows it leaves.
"""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import msgspec

from backend.accounts import service as accounts
from backend.core import crypto, db
from backend.core.ids import new_id
from backend.core.services import Services
from backend.core.units import Point
from backend.payments.gateways import PaymentGateways, ProviderPayment
from backend.payments.service import settling
from backend.telemetry import store_letters
from backend.waiting import store_fallback
from backend.waiting.service import queue
from mqtt_bridge.bridge import letter_of
from sandbox.wechat_pay.keys import new_keys
from tests.cast import ALICE, BOB, FENG, LI, OTHER_STAFF, QIAN, SUN, WANG, ZHAO, Person
from tests.factories.accounts import add_company, add_person, add_vehicle, log_in
from tests.factories.agreements import DECLARATION, PNG, add_home, offer_package
from tests.factories.alerts import add_watched_scene, charging, smoke
from tests.factories.charging import add_bill
from tests.factories.payments import add_merchant_account
from tests.factories.reservations import Scene, book
from tests.factories.stations import add_gun, add_station
from tests.factories.telemetry import payload
from tests.jobs import run_due_jobs, run_ticks
from tests.payments.memory_provider import MemoryProvider

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
NAME = "李默然"
"""What alice is called here: the factories call everybody's agreement by her usual name."""
MAY = datetime(2026, 5, 10, 4, tzinfo=UTC)
PLATES = ("京AD10001", "京AD10011", "京AD10012")
"""Alice's cars: under agreement, applied for, and without."""
TEXT = "第一条　目的\n为居民充电。\n第二条　价格\n充电服务费不高于0.5元/千瓦时。\n第三条　期限\n十二个月。\n"
TARIFF = {
    "supply_class": "below_1kv",
    "effective_from": "2026-07-11T00:00:00+08:00",
    "spans": [{"band": "valley", "from_min": 0, "to_min": 600}, {"band": "peak", "from_min": 600, "to_min": 1440}],
    "prices": [
        {"user_class": user_class, "band": band, "energy_e4": 7000, "service_e4": service}
        for user_class, service in (("agreement", 4000), ("market", 8000))
        for band in ("valley", "peak")
    ],
}
PACKAGE = {
    "code": "valley_150",
    "name_zh": "谷段套餐",
    "name_en": "Valley package",
    "description_zh": "",
    "description_en": "",
    "kind": "valley",
    "price_fen": 3000,
    "included_wh": 150_000,
    "bands": ["valley"],
}


class World(msgspec.Struct, kw_only=True):
    """Who there is, with headers, and the ids of what there is by name."""

    scene: Scene
    api: httpx.AsyncClient
    now: datetime
    headers: dict[str, dict[str, str]]
    accounts: dict[str, UUID]
    ids: dict[str, str] = msgspec.field(default_factory=dict)
    calendar: str = ""

    def secrets(self) -> set[str]:
        """What nobody may see of alice and of her company's work: names, phones, plates, ids of objects."""
        shown_to_all = {
            "station",
            "connector",
            "priced",
            "bay_code",
            "charger_code",
            "offer",
            "day",
            "month",
            "supply_class",
        }
        hidden = {value for name, value in self.ids.items() if name not in shown_to_all and len(value) > 8}
        staff = {text for person in (WANG, ZHAO, LI, QIAN, SUN) for text in (person.phone, person.name)}
        return hidden | staff | self.personal() | {str(self.accounts[k]) for k in ("wang", "zhao", "li", "qian", "sun")}

    def personal(self) -> set[str]:
        """What identifies alice: her name, phone, cars and account."""
        return {ALICE.phone, NAME, *PLATES, str(self.accounts["alice"])}

    async def post(self, who: str, path: str, body: Any = None, **more: Any) -> dict[str, Any]:
        """Make something over HTTP; fails with the answer where it is refused."""
        return await self._made("POST", who, path, body, **more)

    async def put(self, who: str, path: str, body: Any) -> dict[str, Any]:
        """Replace something over HTTP."""
        return await self._made("PUT", who, path, body)

    async def _made(self, method: str, who: str, path: str, body: Any, **more: Any) -> dict[str, Any]:
        answer = await self.api.request(method, path, json=body, headers=self.headers[who], **more)
        assert answer.status_code < 300, f"{method} {path} as {who}: {answer.status_code} {answer.text}"
        return dict(answer.json()) if answer.content else {}

    async def items(self, who: str, path: str) -> list[dict[str, Any]]:
        """Read a list."""
        answer = await self.api.get(path, headers=self.headers[who])
        assert answer.status_code == 200, answer.text
        return list(answer.json()["items"])


async def build_world(*, api: httpx.AsyncClient, services: Services, now: datetime) -> World:
    """Build it: alice has everything a resident can have, her operator company everything a company can have."""
    services.put(PaymentGateways, PaymentGateways({"wechat_pay": MemoryProvider(now)}))  # type: ignore[dict-item]
    scene = await add_watched_scene(now=now)
    people: list[Person] = [ALICE, BOB, WANG, ZHAO, LI, QIAN, SUN, *OTHER_STAFF, FENG]
    elsewhere = await add_station(operator_company_id=scene.company_id)
    feng = await add_person(FENG)
    await accounts.add_staff(
        account_id=feng, role="guard", operator_company_id=scene.company_id, station_id=elsewhere.id, now=now
    )
    await add_gun(station_id=(await add_station(operator_company_id=await add_company(name="远邻充电"))).id)
    logged = {person.key: await log_in(person, services=services, now=now) for person in people}
    world = World(
        scene=scene,
        api=api,
        now=now,
        headers={key: login.headers for key, login in logged.items()} | {"nobody": {}},
        accounts={key: login.account_id for key, login in logged.items()},
    )
    place = scene.place
    assert place.ac.lock is not None
    world.ids |= {
        "station": str(place.station.id),
        "connector": str(place.ac.connector.id),
        "bay": str(place.ac.bay.id),
        "bay_code": place.ac.bay.code,
        "charger_code": place.ac.connector.charger_code,
        "device": str(place.ac.charger.id),
        "lock": str(place.ac.lock.id),
        "month": "2026-05",
        "day": "2026-05-10",
        "supply_class": "below_1kv",
    }
    for build in (_person, _agreements, _bookings, _charges, _company, _prices, _upkeep, _rows):
        await build(world, services)
    await _alarm(world, services)
    return world


async def _person(w: World, services: Services) -> None:
    alice = w.accounts["alice"]
    await accounts.replace_profile(account_id=alice, name=NAME, locale="en")
    await add_home(account_id=alice)
    token = await accounts.register_push_token(account_id=alice, platform="ios", token="tok", now=w.now)
    w.ids |= {"push_token": str(token), "vehicle": str(w.scene.alice.vehicle.id)}
    w.calendar = (await w.post("alice", "/v1/reservations/calendar-address"))["url"].rpartition("token=")[2]


async def _agreements(w: World, services: Services) -> None:
    w.ids["agreement"] = signed = str(w.scene.alice.agreement_id)
    w.ids["offer"] = str(await offer_package(operator_company_id=w.scene.company_id))
    driver = {"phone": "13900000099", "name": "王某"}
    w.ids["driver"] = (await w.post("alice", f"/v1/agreements/{signed}/drivers", driver))["id"]
    second = await add_vehicle(account_id=w.accounts["alice"], plate=PLATES[1])
    body = {"vehicle_id": str(second.id), "declaration": DECLARATION | {"name": NAME}}
    applied = await w.post("alice", "/v1/agreements", body)
    w.ids["application"] = applied["id"]
    file = {"file": ("a.png", PNG, "image/png")}
    sent = await w.post("alice", f"/v1/agreements/{applied['id']}/evidence", files=file)
    w.ids["evidence"] = sent.get("id") or sent["evidence"][0]["id"]
    await w.post("alice", f"/v1/agreements/{signed}/package", {"package_id": w.ids["offer"]})
    text = {"title": "惠民充电服务协议", "body": TEXT, "effective_from": (w.now + 30 * DAY).isoformat()}
    w.ids["text"] = (await w.post("li", "/v1/operator/agreement-texts", text))["id"]
    w.ids["package"] = (await w.post("li", "/v1/operator/packages", PACKAGE))["id"]


async def _bookings(w: World, services: Services) -> None:
    place = w.scene.place
    booked = await book(w.scene.alice, place, now=w.now, starts_at=w.now + 6 * HOUR)
    third = await add_vehicle(account_id=w.accounts["alice"], plate=PLATES[2])
    entry = await queue.join(
        account_id=w.accounts["alice"],
        station_id=place.station.id,
        vehicle_id=third.id,
        power=None,
        position=Point(place.station.lat, place.station.lng),
        now=w.now,
    )
    plan = store_fallback.PlanRow(
        id=new_id(),
        station_id=place.station.id,
        operator_company_id=w.scene.company_id,
        account_id=w.accounts["alice"],
        plate_hash=w.scene.alice.plate_hash,
        reservation_id=booked.id,
        arrival_id=None,
        cause="wait",
        status="running",
        step="resident_connector",
        opened_at=w.now,
    )
    assert await store_fallback.add_plan(plan)
    w.ids |= {"reservation": str(booked.id), "queue": str(entry.entry.id), "plan": str(plan.id)}


async def _charges(w: World, services: Services) -> None:
    running = await charging(w.scene.alice, w.scene.place.ac, now=w.now, services=services)
    merchant = new_keys(appid="wx1", merchants=1).merchants[0]
    account = await add_merchant_account(operator_company_id=w.scene.company_id, merchant=merchant, now=w.now)
    paid = await add_bill(w.scene, w.scene.alice, start=MAY, energy_wh=20_000)
    payment_id = new_id()
    await db.execute(
        "INSERT INTO payment (id, order_id, operator_company_id, account_id, merchant_account_id, channel, amount_fen,"
        " description, state, checks, check_at, created_at, expires_at)"
        " VALUES ($1, $2, $3, $4, $5, 'wechat_app', $6, 'x', 'created', 0, $7, $7, $7)",
        payment_id,
        paid.id,
        w.scene.company_id,
        w.accounts["alice"],
        account,
        paid.total_fen,
        w.now,
    )
    found = ProviderPayment(state="succeeded", transaction_no="4200", amount_fen=paid.total_fen, paid_at=w.now)
    await settling.settle_payment(payment_id=payment_id, found=found, now=w.now)
    await run_due_jobs(now=w.now, services=services, only="charging.")
    bill = await add_bill(w.scene, w.scene.alice, start=MAY + DAY, energy_wh=10_000)
    w.ids |= {"session": str(running.id), "order": str(bill.id), "paid_order": str(paid.id), "payment": str(payment_id)}
    w.ids["statement"] = (await w.items("alice", "/v1/statements"))[0]["id"]
    limit = {"second_person_above_fen": 1, "reason": "to the letter"}
    await w.put("li", "/v1/operator/settings/refunds", limit)
    refund = {"order_id": w.ids["paid_order"], "amount_fen": 100, "reason": "少充"}
    w.ids["refund"] = (await w.post("li", "/v1/operator/refunds", refund))["id"]
    raised = {"second_person_above_fen": 50_000, "reason": "too many small ones"}
    w.ids["limit_change"] = (await w.put("li", "/v1/operator/settings/refunds", raised))["changes"][0]["id"]
    await w.post("alice", f"/v1/orders/{w.ids['order']}/dispute", {"reason": "多收了"})
    fixed = {"reason": "电表读数更正", "energy": [{"band": line.band, "energy_wh": 500} for line in bill.lines]}
    path = f"/v1/operator/orders/{w.ids['order']}/corrections"
    w.ids["correction"] = (await w.post("li", path, fixed))["id"]


async def _company(w: World, services: Services) -> None:
    blocked = {"station_id": w.ids["station"], "bay_code": w.scene.place.public.bay.code}
    w.ids["bay_report"] = (await w.post("alice", "/v1/bay-reports", blocked))["id"]
    photo = {"file": ("a.png", PNG, "image/png")}
    await w.post("alice", f"/v1/bay-reports/{w.ids['bay_report']}/photo", files=photo)
    w.ids["grant"] = next(i["id"] for i in await w.items("li", "/v1/operator/staff") if i["phone"] == WANG.phone)
    times = {"starts_at": (w.now + DAY).isoformat(), "ends_at": (w.now + DAY + 8 * HOUR).isoformat()}
    shift = {"account_id": str(w.accounts["wang"]), **times}
    w.ids["shift"] = (await w.post("li", "/v1/staff/duty", shift))["id"]
    phone = {"phone": "13800000078", "label": "东门岗亭"}
    w.ids["shared_phone"] = (await w.post("li", "/v1/operator/shared-phones", phone))["id"]
    numbers = {"rules": {"battery_temp_high": {"warning": 45.0, "critical": 48.0}}, "reason": "a hot summer"}
    w.ids["rules"] = (await w.post("li", "/v1/operator/settings/rules", numbers))["id"]
    zone = {
        "station_id": w.ids["station"],
        "bay_id": str(w.scene.place.dc.bay.id),
        "zone": "public",
        "effective_at": (w.now + 30 * DAY).isoformat(),
        "reason": "more public demand",
    }
    w.ids["zone_change"] = (await w.post("li", "/v1/operator/zone-changes", zone))["id"]


async def _prices(w: World, services: Services) -> None:
    w.ids["tariff"] = (await w.post("li", "/v1/operator/tariffs", TARIFF | {"station_id": w.ids["station"]}))["id"]
    right = (await w.post("li", "/v1/operator/tariffs", TARIFF))["id"]
    priced, correction = await db.fetchval("SELECT id FROM tariff_version WHERE status = 'published' LIMIT 1"), new_id()
    await db.execute(
        "INSERT INTO tariff_correction (id, operator_company_id, version_id, replacement_id, reason, state,"
        " requested_by, requested_at) VALUES ($1, $2, $3, $4, 'wrong', 'pending', $5, $6)",
        correction,
        w.scene.company_id,
        priced,
        UUID(right),
        w.accounts["li"],
        w.now,
    )
    w.ids |= {"tariff_correction": str(correction), "priced": str(priced)}
    group = {"name": "东城", "station_ids": [w.ids["station"]]}
    w.ids["group"] = (await w.post("li", "/v1/operator/station-groups", group))["id"]
    path = f"/v1/operator/grid-prices/below_1kv/{w.ids['month']}"
    await w.put("li", path, {"prices": [{"band": "valley", "energy_e4": 5476}, {"band": "peak", "energy_e4": 10_737}]})


async def _upkeep(w: World, services: Services) -> None:
    items = [{"key": "signs", "text_zh": "标识", "text_en": "Signs", "severity": "minor"}]
    checklist = {"operator_company_id": str(w.scene.company_id), "name": "月检", "items": items}
    w.ids["checklist"] = (await w.post("li", "/v1/operator/checklists", checklist))["id"]
    plan = {"station_id": w.ids["station"], "period_days": 30, "first_due_at": (w.now + DAY).isoformat()}
    await w.post("li", f"/v1/operator/checklists/{w.ids['checklist']}/plans", plan)
    await run_ticks("maintenance.come_up", now=w.now)
    w.ids["inspection"] = (await w.items("wang", "/v1/staff/inspections"))[0]["id"]
    await w.post("wang", f"/v1/staff/inspections/{w.ids['inspection']}/start")
    finding = {"station_id": w.ids["station"], "severity": "minor", "text": "焦痕"}
    w.ids["finding"] = (await w.post("wang", "/v1/staff/findings", finding))["id"]
    photo = {"file": ("a.png", PNG, "image/png")}
    w.ids["photo"] = (await w.post("wang", f"/v1/staff/findings/{w.ids['finding']}/photos", files=photo))["id"]
    work = {
        "connector_id": str(w.scene.place.dc.connector.id),
        "starts_at": (w.now + 2 * DAY).isoformat(),
        "ends_at": (w.now + 2 * DAY + HOUR).isoformat(),
        "reason": "检修",
    }
    w.ids["work"] = (await w.post("li", "/v1/staff/maintenance", work))["work"]["id"]


async def _rows(w: World, services: Services) -> None:
    suspension, account = new_id(), await db.fetchval("SELECT id FROM merchant_account")
    await db.execute(
        "INSERT INTO booking_suspension (id, account_id, agreement_id, operator_company_id, caused_by, starts_at,"
        " ends_at) VALUES ($1, $2, $3, $4, $5, $6, $7)",
        suspension,
        w.accounts["alice"],
        w.scene.alice.agreement_id,
        w.scene.company_id,
        UUID(w.ids["reservation"]),
        w.now,
        w.now + 7 * DAY,
    )
    await db.execute(
        "INSERT INTO reconciliation (id, operator_company_id, merchant_account_id, day, state, bill_sha1,"
        " bill_payments_fen, bill_refunds_fen, bill_fees_fen, our_payments_fen, our_refunds_fen, checked_at)"
        " VALUES ($1, $2, $3, $4, 'matched', '', 0, 0, 0, 0, 0, $5)",
        new_id(),
        w.scene.company_id,
        account,
        MAY.date(),
        w.now,
    )
    charger = w.scene.place.ac.charger
    body = payload("charger", "telemetry", at=w.now)
    topic = f"ev/v1/{w.scene.place.station.code}/charger/{charger.code}/telemetry"
    row = (w.now, "unknown_connector", "", topic, charger.id, len(body), crypto.encrypt(letter_of(body)))
    await store_letters.add_letters([row])
    letter = await db.fetchval("SELECT max(id) FROM dead_letter")
    w.ids |= {"suspension": str(suspension), "letter": str(letter)}


async def _alarm(w: World, services: Services) -> None:
    """A smoke alarm: incident, task, messages to staff and to alice, whose car stands there."""
    await run_due_jobs(now=w.now, services=services)
    await smoke(w.scene.place.smoke, "alarm", now=w.now + timedelta(minutes=1), services=services)
    w.ids["incident"] = (await w.items("wang", "/v1/staff/incidents"))[0]["id"]
    w.ids["task"] = (await w.items("wang", "/v1/staff/tasks"))[0]["id"]
    w.ids["message"] = (await w.items("alice", "/v1/inbox"))[0]["id"]
