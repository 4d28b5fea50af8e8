"""Chapter four: charging by command over MQTT, live over WebSocket across a price-band edge; a walk-up beside it."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from sandbox.story.booking import lock_comes_up
from sandbox.story.cast import STATION, Story
from sandbox.story.client import LiveFeed, wait_for
from sandbox.story.telling import expect


def charging(message: dict[str, Any]) -> bool:
    """Say whether a live message shows a session that charges."""
    return bool((message.get("session") or {}).get("status") == "charging")


async def start(story: Story, person: Any, body: dict[str, Any]) -> tuple[dict[str, Any], LiveFeed]:
    """Start a session and watch it until the charger says that it charges."""
    session = await person.post("/v1/sessions", body)
    feed = await person.open_live(f"/v1/sessions/{session['id']}/live")
    shown = await feed.until("the charger's word that it charges", charging, timeout_s=30)
    return dict(shown["session"]), feed


async def charge(story: Story) -> None:
    """A DC session under the agreement, and an AC walk-up at the market price."""
    tell, alice, charlie = story.teller, story.alice, story.charlie
    tell.chapter("Charging")
    with tell.step("The session starts by command over MQTT") as told:
        refused = await charlie.send(
            "POST",
            "/v1/sessions",
            json={"connector_id": story.booking["connector_id"], "vehicle_id": story.charlie_car.vehicle_id},
        )
        expect(refused.status_code in (403, 409), "nobody else starts on a held connector", refused.text[:200])
        told.say(f"somebody else: {refused.status_code} {refused.json()['code']}")
        body = {"connector_id": story.booking["connector_id"], "vehicle_id": story.alice_car.vehicle_id}
        story.session, feed = await start(story, alice, {**body, "target_soc_pct": 90})
        expect(story.session["user_class"] == "agreement", "the agreement price applies", story.session)
        told.say(f"session {story.session['id']}: {story.session['status']}, price class agreement")
    with tell.step("Meter and battery values arrive live over WebSocket") as told:
        message = await feed.until("battery values", lambda m: (m.get("session") or {}).get("soc_pct"), timeout_s=30)
        shown = message["session"]
        expect(isinstance(shown["battery"], dict), "DC gives battery values", shown)
        told.say(
            f"{shown['power_w']} W, {shown['energy_wh']} Wh, {shown['soc_pct']} %, "
            f"hottest {shown['temp_max_c']} °C, {shown['cost']['total_fen']} fen so far"
        )
    await _walk_up(story)
    with tell.step("The price changes while it charges: the live bill gets a second line") as told:
        left = (story.tariff["edge"] - datetime.now(UTC)).total_seconds()
        if left > 0:
            told.say(f"waited {left:.0f} s for {story.tariff['edge']:%H:%M} UTC")
            await asyncio.sleep(left)
        message = await feed.until(
            "a line for each band",
            lambda m: len(((m.get("session") or {}).get("cost") or {}).get("lines", [])) >= 2,
            timeout_s=60,
        )
        for line in message["session"]["cost"]["lines"]:
            told.say(
                f"{line['band']}: {line['energy_wh']} Wh, {line['energy_fee_fen']} + {line['service_fee_fen']} fen"
            )
    await asyncio.sleep(5)  # a little energy in the second band
    await _end(story, feed)


async def _walk_up(story: Story) -> None:
    charlie, car = story.charlie, story.charlie_car
    with story.teller.step("Beside it a walk-up on AC in the public zone: no battery data") as told:
        connectors = (await charlie.get(f"/v1/stations/{story.station['id']}/connectors"))["items"]
        free = next(
            (c for c in connectors if c["kind"] == "ac" and c["zone"] == "public" and c["status"] == "available"), None
        )
        expect(free is not None, "a free AC connector in the public zone", connectors)
        assert free is not None
        await story.sandbox.post("/cars", {"plate": car.plate, "kind": "bev-lfp", "soc_pct": 50})
        await story.sandbox.post(f"/cars/{car.plate}/approach", {"station": STATION})
        gun = f"{free['charger_code']}/{free['number']}"
        bay = await bay_of(story, gun)
        body = {"connector_id": free["id"], "vehicle_id": car.vehicle_id}
        wrong = await charlie.send("POST", "/v1/sessions", json={**body, "target_soc_pct": 80})
        expect(wrong.status_code == 422, "a SOC target on AC is refused", wrong.text[:200])
        told.say(f"SOC target on AC: {wrong.status_code} {wrong.json()['code']}")
        await story.sandbox.post(f"/cars/{car.plate}/park", {"station": STATION, "bay": bay})
        session = await charlie.post("/v1/sessions", body)
        feed = await charlie.open_live(f"/v1/sessions/{session['id']}/live")
        await wait_for("the walk-up's car in its bay", lambda: _is_parked(story, car.plate))
        await story.sandbox.post(f"/cars/{car.plate}/plug", {"connector": gun})
        message = await feed.until("the AC session charging", charging, timeout_s=30)
        shown = message["session"]
        expect(shown["battery"] == "none" and shown["soc_pct"] is None, "AC gives no battery data", shown)
        expect("no battery data" in shown["battery_text"], "the app says so", shown["battery_text"])
        expect(shown["user_class"] == "market", "without an agreement the market price applies", shown)
        story.walk_up = {"session": shown, "feed": feed, "gun": gun, "bay": bay}
        told.say(f"{gun}: {shown['power_w']} W, “{shown['battery_text']}”, price class {shown['user_class']}")


async def bay_of(story: Story, gun: str) -> str:
    """Return the bay a connector's cable reaches."""
    station = await story.sandbox.get(f"/stations/{STATION}")
    return str(next(bay["code"] for bay in station["bays"] if gun in bay["connectors"]))


async def _is_parked(story: Story, plate: str) -> bool:
    return bool((await story.sandbox.get(f"/cars/{plate}"))["state"] == "parked")


async def _end(story: Story, feed: LiveFeed) -> None:
    tell = story.teller
    with tell.step("The sessions end: one by its resident, one by the driver pulling the plug") as told:
        await story.alice.post(f"/v1/sessions/{story.session['id']}/stop")
        ended = await feed.until("the end", lambda m: (m.get("session") or {}).get("status") == "ended", timeout_s=30)
        told.say(f"{story.alice.name}: {ended['session']['energy_wh']} Wh, {ended['session']['end_reason']}")
        await story.sandbox.post(f"/cars/{story.charlie_car.plate}/unplug")
        last = await story.walk_up["feed"].until(
            "the walk-up's end", lambda m: (m.get("session") or {}).get("status") == "ended", timeout_s=30
        )
        told.say(f"{story.charlie.name}: {last['session']['energy_wh']} Wh, {last['session']['end_reason']}")
        await feed.close()
        await story.walk_up["feed"].close()
    with tell.step("The cars leave; the lock rises when the bay is empty") as told:
        began = datetime.now(UTC)
        await story.sandbox.post(f"/cars/{story.alice_car.plate}/unplug")
        await story.sandbox.post(f"/cars/{story.alice_car.plate}/leave")
        await story.sandbox.post(f"/cars/{story.charlie_car.plate}/leave")
        lock = await lock_comes_up(story, story.booking["connector"]["bay_code"])
        took = datetime.now(UTC) - began
        expect(took >= timedelta(seconds=4), "it waits before it rises", took)
        told.say(f"lock {lock} is up {took.total_seconds():.0f} s after the bay was empty")
