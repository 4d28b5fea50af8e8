"""Chapter one: log in, say where home is, find a station; chapter two: the agreement."""

import hashlib
from typing import Any

from sandbox.story.cast import Story
from sandbox.story.client import Person, wait_for
from sandbox.story.telling import Told, expect

COMPOUND = "东直门内北小街"


async def find(story: Story) -> None:
    """A resident logs in, sets a real Beijing compound as home and finds pilot stations within 500 m."""
    tell, alice = story.teller, story.alice
    tell.chapter("Finding a charger near home")
    with tell.step("A resident logs in by SMS code") as told:
        await alice.log_in()
        me = await alice.get("/v1/me")
        told.say(f"account {me['id']}, phone known only to herself: {me['phone']}")
    with tell.step("She sets a real Beijing compound as her home") as told:
        found = (await alice.get("/v1/communities", q=COMPOUND))["items"]
        expect(bool(found), f"the compound {COMPOUND} is in the list of compounds", found)
        story.home = found[0]
        await alice.call("PUT", "/v1/me/home", json={"community_id": story.home["id"]})
        told.say(f"{story.home['name']}, {story.home['district']}")
    with tell.step(
        "She finds pilot stations within 500 m, with live free connectors and both parts of the price"
    ) as told:
        story.station = await wait_for("the story's station with free connectors", lambda: _nearby(story, told))


async def _nearby(story: Story, told: Told) -> dict[str, Any] | None:
    answer = await story.alice.get("/v1/stations", near="home")
    items = answer["items"]
    expect(len(items) >= 2, "both stations beside the compound are within 500 m", items)
    for item in items:
        expect(item["pilot"] is True and item["distance_m"] <= 500, "every station found is a pilot within 500 m", item)
    name = f"{COMPOUND}充电站（一）"
    station = next((item for item in items if item["name"] == name), None)
    expect(station is not None, f"{name} is among them", [item["name"] for item in items])
    assert station is not None
    zones = station["connectors"]
    if zones["resident"]["unknown"] or zones["public"]["unknown"]:
        return None  # the devices are still reporting in
    expect(zones["resident"]["free"] >= 4, "its resident zone has free connectors", zones)
    price = station["price"]
    expect(price["agreement_service_e4"] <= 5000, "the service fee under an agreement is at most 0.5 yuan/kWh", price)
    expect(
        price["energy_e4"] > 0 and price["service_e4"] > price["agreement_service_e4"], "both parts are shown", price
    )
    for item in items:
        free = {zone: counts["free"] for zone, counts in item["connectors"].items()}
        told.say(f"{item['name']}: {item['distance_m']} m, free {free}, wait {item['wait_s']} s")
    told.say(
        f"{price['band']}: energy {price['energy_e4'] / 10_000:.4f} + service {price['service_e4'] / 10_000:.2f} "
        f"(agreement {price['agreement_service_e4'] / 10_000:.2f}) yuan/kWh"
    )
    return dict(station)


async def sign(story: Story) -> None:
    """An operator approves the agreement, the resident signs it."""
    tell = story.teller
    tell.chapter("The beneficial-charging agreement")
    with tell.step("The staff log in") as told:
        for person in (story.li, story.qian, story.wang):
            await story.log_in_again(person)
            roles = [role["role"] for role in (await person.get("/v1/me"))["roles"]]
            told.say(f"{person.name}: {', '.join(roles)}")
    for person, story_car in ((story.alice, story.alice_car), (story.bob, story.bob_car)):
        await _agree(story, person, story_car)
    with tell.step("A third resident, without an agreement, logs in and lists her car") as told:
        await story.charlie.log_in()
        vehicle = await story.charlie.post("/v1/me/vehicles", {"plate": story.charlie_car.plate, "battery_wh": 60_000})
        story.charlie_car.vehicle_id = vehicle["id"]
        told.say(f"{story.charlie.name} pays the market price")


async def _agree(story: Story, person: Person, car: Any) -> None:
    tell = story.teller
    with tell.step(f"{person.name} lists a car and applies") as told:
        if not person.token:
            await person.log_in()
            await person.call("PUT", "/v1/me/home", json={"community_id": story.home["id"]})
        body = {"plate": car.plate, "battery_wh": car.battery_wh, "chemistry": "ncm"}
        car.vehicle_id = (await person.post("/v1/me/vehicles", body))["id"]
        declaration = {
            "name": f"{person.name} 故事",
            "long_term_resident": True,
            "has_own_bay": False,
            "has_private_charger": False,
            "vehicle_use": "owner",
            "vehicle_energy": "battery",
        }
        agreement = await person.post("/v1/agreements", {"vehicle_id": car.vehicle_id, "declaration": declaration})
        expect(agreement["status"] == "submitted", "the application is submitted", agreement["status"])
        told.say(f"agreement {agreement['id']}: {agreement['status']}")
    path = f"/v1/agreements/{agreement['id']}"
    with tell.step("An operator approves it") as told:
        foreign = await story.charlie_or_nobody().send("GET", path)
        expect(foreign.status_code in (401, 404), "nobody else sees it", foreign.status_code)
        approved = await story.li.post(f"/v1/operator/agreements/{agreement['id']}/approve")
        told.say(f"{story.li.name}: {approved['status']}")
    with tell.step(f"{person.name} signs exactly the text shown, with a code sent to the phone") as told:
        shown = await person.get(path)
        text = shown["text"]
        expect(
            hashlib.sha256(text["body"].encode()).hexdigest() == text["sha256"], "the hash is that of the text shown"
        )
        seen = await story.sandbox.sms_count(person.phone)
        await person.post(f"{path}/signing-code")
        code = await story.sandbox.next_code(person.phone, after=seen)
        signed = await person.post(f"{path}/sign", {"text_sha256": text["sha256"], "code": code})
        expect(signed["status"] == "signed" and signed["in_force"], "the agreement is in force", signed)
        document = await person.get(f"{path}/document")
        expect(document[:5] == b"%PDF-", "the contract is a PDF", document[:20])
        told.say(f"in force; contract of {len(document)} bytes, text {text['sha256'][:16]}…")
