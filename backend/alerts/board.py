"""The staff board: what is open now from PostgreSQL, then every change."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import suppress
from uuid import UUID

import msgspec

from backend.accounts import service as accounts
from backend.alerts import store
from backend.alerts.schemas import BoardMessage, BoardStation, SilentDevice, alert_out, incident_out, task_out
from backend.alerts.service import incidents, tasks
from backend.alerts.service.incidents import READERS
from backend.alerts.store import AlertView
from backend.core.auth import Staff
from backend.core.live import Live
from backend.stations import service as stations
from backend.telemetry import service as telemetry

QUIET_S = 20.0
SHOWN = 200


async def snapshot(*, staff: Staff) -> BoardMessage:
    """What people have to deal with at the caller's companies and stations."""
    handled = await incidents.list_incidents(staff=staff, handled_only=True, before=None, limit=SHOWN)
    todo = await tasks.list_tasks(staff=staff, status=None, before=None, limit=SHOWN)
    alerts = [
        alert
        for alert in await store.list_open_alerts(company_ids=staff.company_ids(*READERS))
        if staff.may(*READERS, operator_company_id=alert.operator_company_id, station_id=alert.station_id)
    ]
    silent = await _silent_devices(alerts)
    return BoardMessage(
        type="snapshot",
        incidents=[incident_out(incident) for incident in handled],
        tasks=[task_out(task) for task in todo if task.status != "resolved"],
        alerts=[alert_out(alert) for alert in alerts],
        stations=await _stations(staff, silent),
        silent_devices=silent,
    )


async def _silent_devices(alerts: list[AlertView]) -> list[SilentDevice]:
    quiet = {alert.device_id: alert for alert in alerts if alert.code == "device_silent"}
    known = await telemetry.device_states(device_ids=list(quiet))
    shown = []
    for device_id, alert in quiet.items():
        device = await stations.get_device(device_id=device_id)
        shown.append(
            SilentDevice(
                id=device.id,
                code=device.code,
                kind=device.kind,
                station_id=device.station_id,
                last_seen_at=known[device_id].last_seen_at if device_id in known else None,
                silent_since=alert.raised_at,
            )
        )
    return sorted(shown, key=lambda device: device.silent_since)


async def _stations(staff: Staff, silent: list[SilentDevice]) -> list[BoardStation]:
    own = [
        station
        for company_id in sorted(staff.company_ids(*READERS))
        for station in await stations.list_stations(operator_company_id=company_id)
        if station.has_devices
        and staff.may(*READERS, operator_company_id=station.operator_company_id, station_id=station.id)
    ]
    connectors = await stations.list_connectors_of(station_ids=[station.id for station in own])
    states = await telemetry.connector_states(connector_ids=[connector.id for connector in connectors])
    counts: dict[UUID, Counter[str]] = {station.id: Counter() for station in own}
    for connector in connectors:
        state = states.get(connector.id)
        counts[connector.station_id]["unknown" if state is None else state.status] += 1
    return [
        BoardStation(
            id=station.id,
            code=station.code,
            name=station.name,
            safety_hold=station.safety_hold,
            connectors=dict(counts[station.id]),
            silent=sum(device.station_id == station.id for device in silent),
        )
        for station in own
    ]


async def watch_board(*, staff: Staff, live: Live) -> AsyncGenerator[BoardMessage, None]:
    """Yield the board, then its news; subscribed before the snapshot is read, so that nothing is missed.

    Roles are read again before each message: whose role was taken away sees nothing more, and the board ends.
    """
    companies = {f"staff:{company_id}": company_id for company_id in staff.company_ids(*READERS)}
    subscription = await live.subscribed(*companies)
    try:
        yield await snapshot(staff=staff)
        while True:
            data: bytes | None = None
            with suppress(TimeoutError):
                async with asyncio.timeout(QUIET_S):
                    channel, data = await anext(subscription)
            staff = Staff(staff.account_id, await accounts.load_grants(staff.account_id))
            if not any(staff.may(*READERS, operator_company_id=company_id) for company_id in companies.values()):
                return
            if data is None:
                yield BoardMessage(type="ping")
                continue
            news = msgspec.json.decode(data)
            station_id = None if news.get("station_id") is None else UUID(str(news["station_id"]))
            if staff.may(*READERS, operator_company_id=companies[channel], station_id=station_id):
                yield BoardMessage(type="news", news=news)
    finally:
        subscription.close()
