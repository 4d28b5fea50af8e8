"""Chapter three: a price with an edge ahead, a booked slot, a refusal with alternatives, the car arrives."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from sandbox.story.arithmetic import BEIJING
from sandbox.story.cast import STATION, Car, Story
from sandbox.story.client import wait_for
from sandbox.story.telling import expect

EDGE_AHEAD = timedelta(seconds=45)
"""How far ahead of now the story's price changes at least: the car has to arrive and charge before it."""


async def publish_prices(story: Story) -> None:
    """Publish a tariff whose band changes in a minute or two, so the story crosses an edge on a real clock."""
    with story.teller.step("An operator drafts new prices, a second person approves, they are published ahead") as told:
        now = datetime.now(UTC)
        edge = (now + EDGE_AHEAD).replace(second=0, microsecond=0) + timedelta(minutes=1)
        local = edge.astimezone(BEIJING)
        minute = local.hour * 60 + local.minute
        spans = [
            {"band": "flat", "from_min": 0, "to_min": minute},
            {"band": "peak", "from_min": minute, "to_min": 1440},
        ]
        if minute == 0:
            spans = [
                {"band": "flat", "from_min": 0, "to_min": 1439},
                {"band": "peak", "from_min": 1439, "to_min": 1440},
            ]
        prices = [
            {"user_class": user_class, "band": band, "energy_e4": energy, "service_e4": service}
            for user_class, service_by_band in (
                ("agreement", {"flat": 4500, "peak": 5000}),
                ("market", {"flat": 7000, "peak": 8000}),
            )
            for (band, energy), service in zip((("flat", 6813), ("peak", 9268)), service_by_band.values(), strict=True)
        ]
        effective_from = now + timedelta(seconds=3)
        body = {
            "station_id": story.station["id"],
            "supply_class": "1_10kv_two_part",
            "name": "Story",
            "effective_from": effective_from.isoformat(),
            "spans": spans,
            "prices": prices,
            "parking": {"free_min": 1440, "text_zh": "充电期间免停车费", "text_en": "No parking fee while charging"},
        }
        too_dear = {**body, "prices": [{**price, "service_e4": 5001} for price in prices]}
        refused = await story.li.send("POST", "/v1/operator/tariffs", json=too_dear)
        expect(refused.status_code == 422, "an agreement service price above 0.5 yuan/kWh cannot be entered", refused)
        told.say(f"0.5001 yuan/kWh for agreements is refused: {refused.json()['code']}")
        draft = await story.li.post("/v1/operator/tariffs", body)
        path = f"/v1/operator/tariffs/{draft['id']}"
        alone = await story.li.send("POST", f"{path}/approve")
        expect(alone.status_code in (403, 409, 422), "nobody approves their own draft", alone.status_code)
        await story.qian.post(f"{path}/approve")
        published = await story.qian.post(f"{path}/publish")
        expect(published["status"] == "published", "the version is published", published)
        story.tariff = {"spans": spans, "prices": prices, "edge": edge}
        await asyncio.sleep(max(0.0, (effective_from - datetime.now(UTC)).total_seconds()))
        told.say(f"flat until {local:%H:%M} Beijing time, peak from then on; drafted by Li, published by Qian")


async def book(story: Story) -> None:
    """The resident books; a second one is refused the same slot and offered another; the first one's car arrives."""
    tell, alice, bob = story.teller, story.alice, story.bob
    tell.chapter("A booking that holds")
    await publish_prices(story)
    with tell.step("The station's bookable slots of today") as told:
        slots = await _slots(story)
        told.say(f"{len(slots)} starts for fast charging; the first {slots[0]['starts_at']}")
    with tell.step(f"{alice.name} books the next slot") as told:
        starts_at = datetime.fromisoformat(slots[0]["starts_at"])
        expect(starts_at < datetime.now(UTC) + timedelta(minutes=15), "a slot within the next quarter hour", slots[0])
        wanted = {
            "station_id": story.station["id"],
            "starts_at": slots[0]["starts_at"],
            "ends_at": (starts_at + timedelta(minutes=30)).isoformat(),
            "power": "fast",
        }
        body = {**wanted, "vehicle_id": story.alice_car.vehicle_id}
        key = {"idempotency-key": f"story-{story.alice_car.plate[1:]}"}
        booked = await alice.call("POST", "/v1/reservations", json=body, headers=key)
        again = await alice.call("POST", "/v1/reservations", json=body, headers=key)
        expect(again["id"] == booked["id"], "an impatient second tap is the same booking", again)
        story.booking = booked
        where = booked["connector"]
        told.say(
            f"{where['charger_code']}/{where['number']}, bay {where['bay_code']}, held until {booked['hold_until']}"
        )
    with tell.step(f"{bob.name} is refused the same place at the same time, and offered others") as told:
        body = {**wanted, "vehicle_id": story.bob_car.vehicle_id, "connector_id": booked["connector_id"]}
        refused = await bob.send("POST", "/v1/reservations", json=body)
        expect(refused.status_code == 409, "the slot is taken", refused.text[:300])
        alternatives = refused.json()["alternatives"]
        expect(len(alternatives) >= 1, "alternatives are named", refused.json())
        told.say(f"{refused.json()['code']}: {len(alternatives)} alternatives, first {alternatives[0]['starts_at']}")
        other = {
            "station_id": alternatives[0].get("station_id", story.station["id"]),
            "vehicle_id": story.bob_car.vehicle_id,
            "starts_at": alternatives[0]["starts_at"],
            "ends_at": alternatives[0]["ends_at"],
            "power": alternatives[0].get("power", "fast"),
        }
        story.bobs_booking = await bob.post("/v1/reservations", other)
        told.say(f"{bob.name} takes it: {story.bobs_booking['starts_at']}")
    with tell.step("Nobody else sees the booking") as told:
        foreign = await bob.send("GET", f"/v1/reservations/{booked['id']}")
        expect(foreign.status_code == 404, "another resident's booking looks absent", foreign.status_code)
        told.say(f"{foreign.status_code} {foreign.json()['code']}")
    await arrive(story, story.alice_car, booked, soc_pct=20)


async def _slots(story: Story) -> list[dict[str, Any]]:
    today = datetime.now(UTC).astimezone(BEIJING)
    for day in (today, today + timedelta(days=1)):
        answer = await story.alice.get(
            f"/v1/stations/{story.station['id']}/slots", date=f"{day:%Y-%m-%d}", power="fast"
        )
        if answer["items"]:
            return list(answer["items"])
    expect(False, "there are slots today or tomorrow")
    return []


async def arrive(story: Story, car: Car, booking: dict[str, Any], *, soc_pct: float) -> None:
    """The car drives up: the approach camera reads its plate, the booking checks in, the lock of its bay goes down."""
    bay = booking["connector"]["bay_code"]
    with story.teller.step("The approach camera reads the plate: checked in, the ground lock goes down") as told:
        await story.sandbox.post(
            "/cars", {"plate": car.plate, "kind": "bev-ncm", "battery_wh": car.battery_wh, "soc_pct": soc_pct}
        )
        lock = await lock_of(story, bay)
        before = (await story.sandbox.get(f"/devices/{lock}"))["truth"]["position"]
        await story.sandbox.post(f"/cars/{car.plate}/approach", {"station": STATION})
        await wait_for("the lock going down", lambda: _lock_is(story, lock, "down"))
        seen = await wait_for("the check-in", lambda: _has_status(story, booking["id"], "checked_in"))
        told.say(f"lock {lock}: {before} → down; booking {seen['status']} by {seen['checked_in_by']}")
    with story.teller.step("The car parks and plugs in") as told:
        await story.sandbox.post(f"/cars/{car.plate}/park", {"station": STATION, "bay": bay})
        gun = f"{booking['connector']['charger_code']}/{booking['connector']['number']}"
        did = await story.sandbox.post(f"/cars/{car.plate}/plug", {"connector": gun})
        told.say(did["did"])


async def lock_of(story: Story, bay: str) -> str:
    """Return the code of the ground lock of a bay."""
    station = await story.sandbox.get(f"/stations/{STATION}")
    return str(next(item["lock"] for item in station["bays"] if item["code"] == bay))


async def _lock_is(story: Story, lock: str, position: str) -> bool:
    return bool((await story.sandbox.get(f"/devices/{lock}"))["truth"]["position"] == position)


async def _has_status(story: Story, booking_id: str, status: str) -> dict[str, Any] | None:
    owner = story.alice if booking_id == story.booking["id"] else story.bob
    booking: dict[str, Any] = await owner.get(f"/v1/reservations/{booking_id}")
    return booking if booking["status"] == status else None


async def lock_comes_up(story: Story, bay: str) -> str:
    """Wait until the lock of an emptied bay has risen; returns its code."""
    lock = await lock_of(story, bay)
    await wait_for(f"lock {lock} rising", lambda: _lock_is(story, lock, "up"), timeout_s=40)
    return lock
