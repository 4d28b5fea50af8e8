"""The staff board: what is open now from PostgreSQL, then every change."""

import asyncio
from collections.abc import AsyncGenerator

import msgspec

from backend.alerts import store
from backend.alerts.schemas import BoardMessage, alert_out, incident_out, task_out
from backend.alerts.service import incidents, tasks
from backend.alerts.service.incidents import READERS
from backend.core.auth import Staff
from backend.core.live import Live

QUIET_S = 20.0
SHOWN = 200


async def snapshot(*, staff: Staff) -> BoardMessage:
    """What people have to deal with at the caller's companies and stations."""
    handled = await incidents.list_incidents(staff=staff, handled_only=True, before=None, limit=SHOWN)
    todo = await tasks.list_tasks(staff=staff, status=None, before=None, limit=SHOWN)
    alerts = await store.list_open_alerts(company_ids=staff.company_ids(*READERS))
    return BoardMessage(
        type="snapshot",
        incidents=[incident_out(incident) for incident in handled],
        tasks=[task_out(task) for task in todo if task.status != "resolved"],
        alerts=[
            alert_out(alert)
            for alert in alerts
            if staff.may(*READERS, operator_company_id=alert.operator_company_id, station_id=alert.station_id)
        ],
    )


async def watch_board(*, staff: Staff, live: Live) -> AsyncGenerator[BoardMessage, None]:
    """Yield the board, then its news; subscribed before the snapshot is read, so that nothing is missed."""
    channels = [f"staff:{company_id}" for company_id in staff.company_ids(*READERS)]
    stations = {grant.station_id for grant in staff.grants}
    subscription = await live.subscribed(*channels)
    try:
        yield await snapshot(staff=staff)
        while True:
            try:
                async with asyncio.timeout(QUIET_S):
                    _, data = await anext(subscription)
            except TimeoutError:
                yield BoardMessage(type="ping")
                continue
            news = msgspec.json.decode(data)
            if None in stations or news.get("station_id") in {str(station_id) for station_id in stations}:
                yield BoardMessage(type="news", news=news)
    finally:
        subscription.close()
