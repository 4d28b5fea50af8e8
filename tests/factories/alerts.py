"""A watched station as tests need it: the charging scene with its staff, and what can be read of alerts afterwards."""

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from backend.accounts import service as accounts
from backend.alerts import store_incidents
from backend.alerts.store_incidents import IncidentView, TaskView
from backend.charging.store import SessionView
from backend.core import db
from backend.core.auth import Staff
from backend.core.services import Services
from backend.stations.service import DeviceView
from tests.cast import LI, WANG, ZHAO, ZHOU, Person
from tests.factories.accounts import add_person
from tests.factories.charging import SECOND, add_charging_scene, answer, begin, report
from tests.factories.reservations import Resident, Scene
from tests.factories.stations import Gun
from tests.factories.telemetry import say
from tests.jobs import run_due_jobs


async def add_watched_scene(*, now: datetime) -> Scene:
    """The charging scene, with a guard, a lead and an operator, and an operator of another company."""
    scene = await add_charging_scene(now=now)
    for person in (WANG, ZHAO, LI, ZHOU):
        await add_person(person)
    return scene


async def staff_of(person: Person) -> Staff:
    """One of the staff with the roles of the database."""
    account_id = await add_person(person)
    return Staff(account_id, await accounts.load_grants(account_id))


async def charging(resident: Resident, gun: Gun, *, now: datetime, services: Services) -> SessionView:
    """A session that delivers."""
    session = await begin(resident, gun, now=now)
    await answer(gun, "start", now=now + SECOND)
    await report(gun, "session_started", now=now + SECOND, session=session, meter_wh=1_000_000)
    await run_due_jobs(now=now + SECOND, services=services)
    return session


async def smoke(detector: DeviceView, word: str, *, now: datetime, services: Services, state: bool = False) -> None:
    """Let a smoke detector speak, by an event or by its state, and everybody react."""
    if state:
        await say(detector, "state", now=now, status=word)
    else:
        await say(detector, "event", now=now, code=word)
    await run_due_jobs(now=now, services=services)


async def incidents_at(scene: Scene) -> list[IncidentView]:
    """The incidents of the scene's company, oldest first."""
    found = await store_incidents.list_incidents(company_ids=[scene.company_id], limit=50)
    return list(reversed(found))


async def tasks_at(scene: Scene) -> list[TaskView]:
    """The tasks of the scene's company, oldest first."""
    return list(reversed(await store_incidents.list_tasks(company_ids=[scene.company_id], limit=50)))


async def steps_of(incident_id: UUID) -> list[str]:
    """What an incident's time line says."""
    return [step.what for step in await store_incidents.list_steps(incident_id)]


async def messages_to(account_id: UUID) -> list[str]:
    """The templates of the messages a person got, oldest first."""
    rows = await db.fetch("SELECT template FROM inbox_message WHERE recipient_id = $1 ORDER BY id", account_id)
    return [row["template"] for row in rows]


async def open_codes() -> list[str]:
    """The codes of the open alerts."""
    rows = await db.fetch("SELECT code FROM alert WHERE cleared_at IS NULL ORDER BY id")
    return [row["code"] for row in rows]


async def log_of(code: str) -> list[dict[str, Any]]:
    """What the safety log says of a rule, oldest first."""
    rows = await db.fetch("SELECT what, level, detail FROM safety_log WHERE code = $1 ORDER BY id", code)
    return [{**dict(row), "detail": msgspec.json.decode(row["detail"])} for row in rows]
