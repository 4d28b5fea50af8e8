"""Chapter six: a hot battery, smoke, and a fuel car in a resident bay."""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from sandbox.story.booking import lock_of
from sandbox.story.cast import STATION, Car, Story
from sandbox.story.charging import bay_of, charging
from sandbox.story.client import LiveFeed, Person, wait_for
from sandbox.story.telling import NotAsItShouldBe, expect


async def _free_connectors(story: Story, person: Person, kind: str, zone: str) -> list[dict[str, Any]]:
    async def look() -> list[dict[str, Any]]:
        connectors = (await person.get(f"/v1/stations/{story.station['id']}/connectors"))["items"]
        return [c for c in connectors if c["kind"] == kind and c["zone"] == zone and c["status"] == "available"]

    found: list[dict[str, Any]] = await wait_for(f"a free {kind} connector in the {zone} zone", look)
    return found


async def _walk_up(story: Story, person: Person, car: Car, *, zone: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Scan free DC connectors until one is not booked too soon; returns the session and the connector."""
    for connector in await _free_connectors(story, person, "dc", zone):
        body = {"connector_id": connector["id"], "vehicle_id": car.vehicle_id}
        answer = await person.send("POST", "/v1/sessions", json=body)
        if answer.is_success:
            return answer.json(), connector
        booked = answer.json().get("code") in ("too_little_time_left", "connector_taken")
        expect(booked, "a walk-up may start where nothing is booked", answer.text[:300])
    raise NotAsItShouldBe("every DC connector is booked soon: ./dev up --fresh clears the tellings before this one")


async def _walk_up_and_charge(
    story: Story, person: Person, car: Car, *, zone: str
) -> tuple[dict[str, Any], LiveFeed, str]:
    soc = {"kind": "bev-ncm", "battery_wh": car.battery_wh, "soc_pct": 40}
    await story.sandbox.post("/cars", {"plate": car.plate, **soc})
    await story.sandbox.post(f"/cars/{car.plate}/approach", {"station": STATION})
    session, connector = await _walk_up(story, person, car, zone=zone)
    gun = f"{connector['charger_code']}/{connector['number']}"
    bay = await bay_of(story, gun)
    await story.sandbox.post(f"/cars/{car.plate}/park", {"station": STATION, "bay": bay})

    async def parked() -> bool:
        return bool((await story.sandbox.get(f"/cars/{car.plate}"))["state"] == "parked")

    await wait_for("the lock letting the car in", parked)
    await story.sandbox.post(f"/cars/{car.plate}/plug", {"connector": gun})
    feed = await person.open_live(f"/v1/sessions/{session['id']}/live")
    await feed.until("charging", charging, timeout_s=30)
    return session, feed, gun


async def battery(story: Story) -> None:
    """A battery over-temperature stops a session and its resident is told."""
    tell, bob = story.teller, story.bob
    tell.chapter("Danger")
    with tell.step(f"{bob.name} gives up the booking, walks up instead and charges on DC") as told:
        await bob.post(f"/v1/reservations/{story.bobs_booking['id']}/cancel")
        story.bobs_push_token = uuid4().hex * 2
        await bob.post("/v1/me/push-tokens", {"platform": "ios", "token": story.bobs_push_token})
        story.bobs_inbox = await bob.open_live("/v1/inbox/live")
        session, feed, gun = await _walk_up_and_charge(story, bob, story.bob_car, zone="resident")
        told.say(f"{gun}: charging")
    with tell.step("The battery overheats: the session is stopped and its resident told") as told:
        charger, _, number = gun.partition("/")
        since = datetime.now(UTC).isoformat()
        await story.sandbox.post(
            "/faults",
            {
                "device": charger,
                "fault": "battery_over_temperature",
                "connector": int(number),
                "to_c": 75,
                "within_s": 20,
            },
        )
        warned = await feed.until("the warning", lambda m: m.get("type") == "warning", timeout_s=60)
        told.say(f"on the session's live path: {warned['warning']}")
        ended = await feed.until(
            "the stop", lambda m: (m.get("session") or {}).get("status") in ("ended", "failed"), timeout_s=60
        )
        told.say(f"session {ended['session']['status']}: {ended['session']['end_reason']}")
        live = await story.bobs_inbox.until("the inbox message", _safety_of, timeout_s=30)
        told.say(f"inbox over WebSocket: {_safety_of(live)['title']}: {_safety_of(live)['body']}")
        inbox = (await bob.get("/v1/inbox"))["items"]
        expect(any(item["safety"] for item in inbox), "the message is in the inbox", inbox)
        push = await wait_for("the push at APNs", lambda: _push_titled(story, since, _safety_of(live)["title"]))
        expect(
            bob.phone not in str(push) and story.bob_car.plate not in str(push), "no personal data in the push", push
        )
        told.say(f"push over HTTP/2: {push['payload']['aps']['alert']}")
        await feed.close()
    with tell.step("The car drives away") as told:
        await story.sandbox.post("/faults", {"device": charger, "fault": "clear"})
        await story.sandbox.post(f"/cars/{story.bob_car.plate}/unplug")
        await story.sandbox.post(f"/cars/{story.bob_car.plate}/leave")
        told.say(session["id"])


def _safety_of(message: dict[str, Any]) -> dict[str, Any]:
    return next((item for item in message.get("items", []) if item["safety"]), {})


async def _push_titled(story: Story, since: str, title: str) -> dict[str, Any] | None:
    items = (await story.sandbox.get("/pushes", since=since, token=story.bobs_push_token))["items"]
    return next((item for item in items if item["payload"]["aps"]["alert"]["title"] == title), None)


async def smoke(story: Story) -> None:
    """A smoke alarm holds the station; the guard handles it."""
    tell, charlie = story.teller, story.charlie
    with tell.step(f"{charlie.name} charges on DC in the public zone") as told:
        session, feed, gun = await _walk_up_and_charge(story, charlie, story.charlie_car, zone="public")
        told.say(f"{gun}: charging")
    with tell.step("A smoke alarm: hold, stop, locks down, one incident, the guard's phone rings, a task") as told:
        station = await story.sandbox.get(f"/stations/{STATION}")
        detectors = [device["code"] for device in station["devices"] if device["kind"] == "smoke"]
        since = datetime.now(UTC).isoformat()
        known = {item["id"] for item in (await story.wang.get("/v1/staff/incidents"))["items"]}
        for detector in detectors:
            await story.sandbox.post("/faults", {"device": detector, "fault": "smoke_alarm"})
        ended = await feed.until(
            "the stop", lambda m: (m.get("session") or {}).get("status") in ("ended", "failed"), timeout_s=30
        )
        told.say(f"session {ended['session']['status']}: {ended['session']['end_reason']}")
        incident = await wait_for("the incident", lambda: _new_incident(story, known))
        told.say(f"incident {incident['id']}: {incident['kind']}, {incident['level']}, {incident['status']}")
        call = await wait_for("the ringing call", lambda: _call_since(story, story.wang.phone, since))
        told.say(f"the guard's phone rings: {call['text']}")
        for bay in [bay for bay in station["bays"] if bay["lock"]]:
            await wait_for(f"lock {bay['lock']} down", lambda lock=bay["lock"]: _is_down(story, lock), timeout_s=30)
        told.say(f"all {sum(bool(bay['lock']) for bay in station['bays'])} locks are down")
        tasks = (await story.wang.get("/v1/staff/tasks"))["items"]
        task = next((task for task in tasks if task.get("incident_id") == incident["id"]), None)
        expect(task is not None, "there is a task for the incident", tasks)
        refused = await story.bob.send(
            "POST",
            "/v1/sessions",
            json={"connector_id": story.booking["connector_id"], "vehicle_id": story.bob_car.vehicle_id},
        )
        expect(refused.status_code in (409, 503), "no session starts under the safety hold", refused.text[:200])
        told.say(f"a start is refused: {refused.json()['code']}")
    with tell.step("One incident, confirmed by the second detector; the guard acknowledges and resolves") as told:
        fresh = [item for item in (await story.wang.get("/v1/staff/incidents"))["items"] if item["id"] not in known]
        expect(len(fresh) == 1, "two detectors make one incident", fresh)
        path = f"/v1/staff/incidents/{incident['id']}"
        await story.wang.post(f"{path}/acknowledge")
        for detector in detectors:
            await story.sandbox.post("/faults", {"device": detector, "fault": "smoke_clear"})
        resolved = await story.wang.post(
            f"{path}/resolve", {"note": "Burnt toast in the guard room", "lift_hold": True}
        )
        expect(resolved["status"] == "resolved", "the incident is resolved", resolved["status"])
        told.say(f"{resolved['status']}; {len(resolved.get('steps', []))} steps on record")
        await feed.close()
        await story.sandbox.post(f"/cars/{story.charlie_car.plate}/unplug")
        await story.sandbox.post(f"/cars/{story.charlie_car.plate}/leave")
        told.say(session["id"])


async def _new_incident(story: Story, known: set[str]) -> dict[str, Any] | None:
    items = (await story.wang.get("/v1/staff/incidents"))["items"]
    return next((item for item in items if item["id"] not in known), None)


async def _call_since(story: Story, phone: str, since: str) -> dict[str, Any] | None:
    items = (await story.sandbox.get("/calls", phone=phone, since=since))["items"]
    return items[0] if items else None


async def _is_down(story: Story, lock: str) -> bool:
    return bool((await story.sandbox.get(f"/devices/{lock}"))["truth"]["position"] == "down")


async def fuel_car(story: Story) -> None:
    """A fuel car in a resident bay becomes a task."""
    with story.teller.step("A fuel car stands in a resident bay: a task for the guard") as told:
        connector = (await _free_connectors(story, story.alice, "ac", "resident"))[0]
        bay = await bay_of(story, f"{connector['charger_code']}/{connector['number']}")
        lock = await lock_of(story, bay)
        known = {task["id"] for task in (await story.wang.get("/v1/staff/tasks"))["items"]}
        devices = (await story.li.get("/v1/operator/devices", station_id=story.station["id"]))["items"]
        device_id = next(device["id"] for device in devices if device["code"] == lock)
        lower = {"name": "lower", "reason": "A delivery asked to be let in"}
        await story.wang.post(f"/v1/staff/devices/{device_id}/commands", lower)
        await wait_for("the lock the guard lowered", lambda: _is_down(story, lock))
        told.say(f"the guard lowers {lock} with a reason, on record; a fuel car slips in")
        await story.sandbox.post("/cars", {"plate": story.fuel_car.plate, "kind": "fuel"})
        await story.sandbox.post(f"/cars/{story.fuel_car.plate}/park", {"station": STATION, "bay": bay})

        async def task() -> dict[str, Any] | None:
            items = (await story.wang.get("/v1/staff/tasks"))["items"]
            return next((item for item in items if item["id"] not in known), None)

        found = await wait_for("the task", task, timeout_s=40)
        told.say(f"{found['kind']}: {found['status']}, bay {bay}")
        for step in ("accept", "arrive"):
            await story.wang.post(f"/v1/staff/tasks/{found['id']}/{step}")
        await story.sandbox.post(f"/cars/{story.fuel_car.plate}/leave")
        done = await story.wang.post(f"/v1/staff/tasks/{found['id']}/resolve", {"note": "The driver moved it"})
        told.say(f"accepted, arrived, {done['status']}")
