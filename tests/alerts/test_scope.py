"""What a guard of one station sees of a company with many: all of it that is theirs, and only while they work there."""

from datetime import datetime

import pytest

from backend.accounts import service as accounts
from backend.alerts import store_incidents
from backend.alerts.board import watch_board
from backend.alerts.service import incidents, tasks
from backend.alerts.store_incidents import IncidentView
from backend.core import db
from backend.core.auth import Grant, Staff
from backend.core.ids import new_id
from backend.core.live import Live
from backend.core.services import Services
from tests.cast import WANG
from tests.factories.accounts import add_company, add_person
from tests.factories.stations import add_station

pytestmark = pytest.mark.usefixtures("database")


async def add_incident(company_id: object, station_id: object, *, now: datetime) -> None:
    await store_incidents.add_incident(
        IncidentView(
            id=new_id(),
            station_id=station_id,  # type: ignore[arg-type]
            operator_company_id=company_id,  # type: ignore[arg-type]
            kind="fire",
            level="critical",
            code="smoke_alarm",
            area=None,
            connector_id=None,
            device_id=None,
            status="resolved",
            resolved_at=now,
            confirmed=False,
            escalated=0,
            opened_at=now,
        )
    )


class TestAGuardOfOneStation:
    async def test_sees_the_own_old_ones_behind_pages_of_the_other_stations(self, now: datetime) -> None:
        company = await add_company()
        mine, other = (
            (await add_station(operator_company_id=company)).id,
            (await add_station(operator_company_id=company)).id,
        )
        for station_id in (mine, *[other] * 7, mine, *[other] * 4):
            await store_incidents.add_task(
                operator_company_id=company, station_id=station_id, kind="patrol", level="info", now=now
            )
            await add_incident(company, station_id, now=now)
        guard = Staff(new_id(), (Grant("guard", company, mine),))
        page = await tasks.list_tasks(staff=guard, status=None, before=None, limit=2)
        assert [task.station_id for task in page] == [mine, mine]
        assert await tasks.list_tasks(staff=guard, status=None, before=page[-1].id, limit=2) == []
        seen = await incidents.list_incidents(staff=guard, handled_only=False, before=None, limit=2)
        assert [incident.station_id for incident in seen] == [mine, mine]


class TestTheBoard:
    async def test_ends_for_whoever_has_lost_the_role(self, services: Services, now: datetime) -> None:
        account_id = await add_person(WANG)
        company = await add_company(name=WANG.company or "")
        station = await add_station(operator_company_id=company)
        live = services.get(Live)
        board = watch_board(staff=Staff(account_id, await accounts.load_grants(account_id)), live=live)
        assert (await anext(board)).type == "snapshot"
        news = {"type": "task", "station_id": str(station.id)}
        await live.publish(f"staff:{company}", news)
        assert (await anext(board)).news == news
        await db.execute("UPDATE staff_grant SET revoked_at = $2 WHERE account_id = $1", account_id, now)
        await live.publish(f"staff:{company}", news)
        with pytest.raises(StopAsyncIteration):
            await anext(board)
