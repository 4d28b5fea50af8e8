"""Dead letters are listed without what they said, and taken when the cause is mended."""

from datetime import datetime, timedelta
from typing import Any

import httpx
import msgspec
import pytest

from backend.core import crypto, db
from backend.core.services import Services
from backend.stations import store_devices
from backend.telemetry import letters, store_letters
from mqtt_bridge.bridge import letter_of
from mqtt_bridge.messages import MAX_PAYLOAD_BYTES
from tests.cast import LI, SUN, ZHOU
from tests.factories.accounts import log_in
from tests.factories.stations import DemoStation, add_demo_station
from tests.factories.telemetry import payload
from tests.jobs import run_due_jobs


@pytest.fixture
async def demo(database: object) -> DemoStation:
    return await add_demo_station()


async def keep(topic: str, body: bytes, *, device_id: Any, now: datetime, cause: str = "unknown_connector") -> int:
    """Keep a letter as the bridge does, and return its number."""
    row = (now, cause, "", topic, device_id, len(body), crypto.encrypt(letter_of(body)))
    await store_letters.add_letters([row])
    number: int = await db.fetchval("SELECT max(id) FROM dead_letter")
    return number


class TestReplay:
    async def test_takes_a_sample_at_the_time_it_arrived_and_only_once(self, demo: DemoStation, now: datetime) -> None:
        charger = demo.ac.charger
        topic = f"ev/v1/{demo.station.code}/charger/{charger.code}/telemetry"
        letter = await keep(topic, payload("charger", "telemetry", at=now), device_id=charger.id, now=now)
        view = await letters.replay(letter_id=letter, now=now + timedelta(hours=1))
        assert view.replay_outcome == "stored"
        assert await db.fetchval("SELECT received_at FROM telemetry_sample") == now
        with pytest.raises(letters.LetterNotReplayable):
            await letters.replay(letter_id=letter, now=now)

    async def test_takes_an_event_by_the_safety_lane(self, demo: DemoStation, now: datetime) -> None:
        topic = f"ev/v1/{demo.station.code}/smoke/{demo.smoke.code}/event"
        body = payload("smoke", "event", at=now)
        first = await keep(topic, body, device_id=None, now=now, cause="unknown_device")
        again = await keep(topic, body, device_id=None, now=now, cause="unknown_device")
        assert (await letters.replay(letter_id=first, now=now)).replay_outcome == "stored"
        assert (await letters.replay(letter_id=again, now=now)).replay_outcome == "repeat"
        ran = await run_due_jobs(now=now, only="telemetry.device_message")
        assert ran == ["telemetry.device_message"]
        assert await db.fetchval("SELECT name FROM domain_event ORDER BY occurred_at LIMIT 1") is not None

    async def test_says_what_still_stands_against_it(self, demo: DemoStation, now: datetime) -> None:
        smoke = f"ev/v1/{demo.station.code}/smoke"
        good = payload("smoke", "event", at=now)
        cases = {
            f"{smoke}/nobody/event": (good, "refused: unknown_device"),
            f"ev/v1/elsewhere/smoke/{demo.smoke.code}/event": (good, "refused: wrong_station"),
            f"{smoke}/{demo.smoke.code}/event": (b'{"msg_id": "x"}', "refused: missing_field"),
            f"{smoke}/{demo.smoke.code}/state": (b'{"online": false}', "refused: last_will"),
            "state": (good, "refused: bad_topic"),
        }
        found = {}
        for topic, (body, _) in cases.items():
            letter = await keep(topic, body, device_id=None, now=now)
            found[topic] = (await letters.replay(letter_id=letter, now=now)).replay_outcome
        assert found == {topic: outcome for topic, (_, outcome) in cases.items()}
        await store_devices.revoke(demo.smoke.id, "stolen", now)
        letter = await keep(f"{smoke}/{demo.smoke.code}/event", good, device_id=demo.smoke.id, now=now)
        assert (await letters.replay(letter_id=letter, now=now)).replay_outcome == "refused: revoked_device"

    async def test_takes_a_message_as_long_as_the_contract_allows(self, demo: DemoStation, now: datetime) -> None:
        topic = f"ev/v1/{demo.station.code}/smoke/{demo.smoke.code}/event"
        body = payload("smoke", "event", at=now, detail="")
        body = body.replace(b'"detail":""', b'"detail":"' + b"x" * (MAX_PAYLOAD_BYTES - len(body)) + b'"')
        assert len(body) == MAX_PAYLOAD_BYTES
        letter = await keep(topic, body, device_id=None, now=now, cause="unknown_device")
        assert (await letters.replay(letter_id=letter, now=now)).replay_outcome == "stored"
        assert crypto.decrypt_bytes(await db.fetchval("SELECT payload FROM device_message")) == body

    async def test_refuses_what_was_not_kept_whole(self, demo: DemoStation, now: datetime) -> None:
        topic = f"ev/v1/{demo.station.code}/smoke/{demo.smoke.code}/event"
        body = msgspec.json.encode({"msg_id": "x" * MAX_PAYLOAD_BYTES})
        letter = await keep(topic, body, device_id=demo.smoke.id, now=now)
        with pytest.raises(letters.LetterNotReplayable):
            await letters.replay(letter_id=letter, now=now)


class TestApi:
    async def test_shows_operators_their_own_letters_and_lets_them_replay(
        self, api: httpx.AsyncClient, services: Services, demo: DemoStation, now: datetime
    ) -> None:
        heads = {p.key: (await log_in(p, services=services, now=now)).headers for p in (LI, SUN, ZHOU)}
        topic = f"ev/v1/{demo.station.code}/smoke/{demo.smoke.code}/event"
        letter = await keep(topic, payload("smoke", "event", at=now), device_id=demo.smoke.id, now=now)
        await keep("ev/v1/x/smoke/nobody/event", b"secret", device_id=None, now=now, cause="unknown_device")
        shown = await api.get("/v1/operator/dead-letters", headers=heads["sun"])
        assert [item["id"] for item in shown.json()["items"]] == [letter]
        assert (await api.get("/v1/operator/dead-letters", headers=heads["zhou"])).json()["items"] == []
        path = f"/v1/operator/dead-letters/{letter}/replay"
        assert (await api.post(path, headers=heads["zhou"])).status_code == 404
        assert (await api.post(path, headers=heads["sun"])).status_code == 403
        assert (await api.post(path, headers=heads["li"])).json()["replay_outcome"] == "stored"
        asked = await api.get("/v1/operator/dead-letters", params={"waiting": True}, headers=heads["li"])
        assert asked.json()["items"] == []
        assert await db.fetchval("SELECT count(*) FROM audit_entry WHERE action = 'dead_letter.replayed'") == 1
