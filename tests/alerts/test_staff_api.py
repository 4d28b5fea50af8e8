"""Tasks, incidents, commands and the board over HTTP, each company its own."""

from datetime import datetime, timedelta

import httpx
from piccolo.engine.postgres import PostgresEngine

from backend.alerts.board import watch_board
from backend.charging.service import sessions
from backend.core import db, jobs
from backend.core.live import Live
from backend.core.services import Services
from backend.telemetry.events import DeviceWentSilent
from tests.cast import ALICE, WANG, ZHOU
from tests.factories.accounts import log_in
from tests.factories.alerts import add_watched_scene, charging, smoke, staff_of
from tests.factories.charging import commands_to, sample
from tests.jobs import run_due_jobs

MINUTE = timedelta(minutes=1)


class TestStaffOverHttp:
    async def test_see_and_handle_their_own_incidents_only(
        self, api: httpx.AsyncClient, services: Services, now: datetime
    ) -> None:
        scene = await add_watched_scene(now=now)
        await smoke(scene.place.smoke, "alarm", now=now, services=services)
        wang = (await log_in(WANG, services=services, now=now)).headers
        zhou = (await log_in(ZHOU, services=services, now=now)).headers
        alice = (await log_in(ALICE, services=services, now=now)).headers
        listed = (await api.get("/v1/staff/incidents", headers=wang)).json()["items"]
        assert [(i["kind"], i["status"], i["level"]) for i in listed] == [("fire", "open", "critical")]
        path = f"/v1/staff/incidents/{listed[0]['id']}"
        assert (await api.get("/v1/staff/incidents", headers=zhou)).json()["items"] == []
        assert (await api.get(path, headers=zhou)).status_code == 404
        assert (await api.post(f"{path}/acknowledge", headers=zhou)).status_code == 404
        assert (await api.get("/v1/staff/incidents", headers=alice)).status_code == 403
        assert (await api.get("/v1/staff/incidents")).status_code == 401
        early = await api.post(f"{path}/resolve", json={"note": "?"}, headers=wang)
        assert (early.status_code, early.json()["code"]) == (409, "incident_state")
        assert (await api.post(f"{path}/acknowledge", headers=wang)).json()["status"] == "acknowledged"
        assert (await api.post(f"{path}/explode", json={}, headers=wang)).status_code == 404
        whole = (await api.get(path, headers=wang)).json()
        assert whole["safety_hold"] is True
        assert [a["code"] for a in whole["open_alerts"]] == ["smoke_alarm"]
        resolved = (await api.post(f"{path}/resolve", json={"note": "burnt toast"}, headers=wang)).json()
        assert (resolved["status"], resolved["safety_hold"]) == ("resolved", False)
        person = [s for s in resolved["steps"] if s["what"] == "resolved"]
        assert [(s["kind"], s["detail"]["note"]) for s in person] == [("person", "burnt toast")]

    async def test_take_a_task_from_the_list_to_its_end(
        self, api: httpx.AsyncClient, services: Services, now: datetime
    ) -> None:
        scene = await add_watched_scene(now=now)
        await smoke(scene.place.smoke, "removed", now=now, services=services)
        wang = (await log_in(WANG, services=services, now=now)).headers
        zhou = (await log_in(ZHOU, services=services, now=now)).headers
        first = await api.get("/v1/staff/tasks?status=open", headers=wang)
        (task,) = first.json()["items"]
        same = await api.get("/v1/staff/tasks?status=open", headers={**wang, "If-None-Match": first.headers["etag"]})
        assert same.status_code == 304
        path = f"/v1/staff/tasks/{task['id']}"
        assert (await api.post(f"{path}/accept", headers=zhou)).status_code == 404
        for step, status in (("accept", "accepted"), ("arrive", "on_site"), ("resolve", "resolved")):
            moved = await api.post(f"{path}/{step}", json={"note": "put back"}, headers=wang)
            assert (moved.status_code, moved.json()["status"]) == (200, status)
        assert (await api.post(f"{path}/accept", headers=wang)).json()["code"] == "task_state"

    async def test_command_devices_with_a_reason_on_record(
        self, api: httpx.AsyncClient, services: Services, now: datetime
    ) -> None:
        scene = await add_watched_scene(now=now)
        gun = scene.place.ac
        assert gun.lock is not None
        session = await charging(scene.alice, gun, now=now, services=services)
        wang = (await log_in(WANG, services=services, now=now)).headers
        zhou = (await log_in(ZHOU, services=services, now=now)).headers
        lock, charger, detector = (
            f"/v1/staff/devices/{device.id}/commands" for device in (gun.lock, gun.charger, scene.place.smoke)
        )
        body = {"name": "lower", "reason": "ambulance"}
        assert (await api.post(lock, json=body, headers=zhou)).status_code == 404
        lowered = await api.post(lock, json=body, headers=wang)
        assert (lowered.status_code, lowered.json()["asked"]) == (202, True)
        stopped = await api.post(charger, json={"name": "stop", "reason": "smell", "connector": 1}, headers=wang)
        assert stopped.json()["sessions"] == [str(session.id)]
        assert (await sessions.get_session(session_id=session.id)).end_reason == "staff"
        assert [c["args"]["reason"] for c in await commands_to(gun, "stop")] == ["staff"]
        silenced = await api.post(detector, json={"name": "silence", "reason": "drill"}, headers=wang)
        assert silenced.json()["command_id"] is not None
        wrong = await api.post(detector, json={"name": "raise", "reason": "x"}, headers=wang)
        assert (wrong.status_code, wrong.json()["code"]) == (422, "command_unknown")
        kept = await db.fetch("SELECT action FROM audit_entry WHERE object_kind = 'device' ORDER BY id")
        assert [row["action"] for row in kept] == ["device.lower", "device.stop", "device.silence"]

    async def test_watch_the_board(self, api: httpx.AsyncClient, services: Services, now: datetime) -> None:
        scene = await add_watched_scene(now=now)
        await smoke(scene.place.smoke, "alarm", now=now, services=services)
        board = watch_board(staff=await staff_of(WANG), live=services.get(Live))
        other = watch_board(staff=await staff_of(ZHOU), live=services.get(Live))
        snapshot, empty = await anext(board), await anext(other)
        assert [i.kind for i in snapshot.incidents] == ["fire"]
        assert [t.kind for t in snapshot.tasks] == [a.code for a in snapshot.alerts] == ["smoke_alarm"]
        assert (empty.incidents, empty.tasks, empty.alerts, empty.stations) == ([], [], [], [])
        (station,) = snapshot.stations
        assert (station.id, station.safety_hold) == (scene.place.station.id, True)
        assert station.connectors == {"available": 3}
        await smoke(scene.place.smoke, "alarm_cleared", now=now + MINUTE / 2, services=services)
        news = await anext(board)
        assert news.news is not None
        assert (news.type, news.news["type"], news.news["change"]) == ("news", "alert", "cleared")
        await board.aclose()
        await other.aclose()

    async def test_see_silent_devices_and_connectors_change_on_the_board(
        self, database: PostgresEngine, services: Services, now: datetime
    ) -> None:
        scene = await add_watched_scene(now=now)
        device, gun = scene.place.smoke, scene.place.ac
        silence = DeviceWentSilent(
            device_id=device.id,
            device_code=device.code,
            station_id=device.station_id,
            occurred_at=now,
            received_at=now,
            kind="smoke",
            last_seen_at=None,
        )
        await run_due_jobs(now=now, services=services)
        async with db.transaction():
            await jobs.emit(silence, now=now)
        await run_due_jobs(now=now, services=services)
        board = watch_board(staff=await staff_of(WANG), live=services.get(Live))
        snapshot = await anext(board)
        assert [(d.code, d.kind) for d in snapshot.silent_devices] == [(device.code, "smoke")]
        assert snapshot.stations[0].silent == 1
        await sample(gun, now=now + MINUTE, meter_wh=1_000_000)
        await run_due_jobs(now=now + MINUTE, services=services)
        while (news := (await anext(board)).news) is None or news["type"] != "connector":
            pass
        assert (news["connector_id"], news["status"]) == (str(gun.connector.id), "charging")
        await board.aclose()
