"""End what was raised about a car whose charge is over: no new battery sample will ever come to clear it."""

from datetime import datetime
from uuid import UUID

from backend.alerts import store
from backend.alerts.rules.table import BY_CODE
from backend.alerts.rules.watch import is_of_car
from backend.alerts.service.raising import clear_alert
from backend.charging.service import sessions
from backend.core import db
from backend.telemetry import service as telemetry


async def clear_after_session(*, connector_id: UUID, now: datetime) -> int:
    """Clear the car's alerts when no session runs on the connector and it is available; returns how many.

    Both are looked at whichever was told last. `available` means unplugged: the car is no danger at this gun any more,
    while its incident stays with the people who handle it. Each is cleared with its reason in log and time line.
    """
    if not await store.list_open_on_connector(connector_id):
        return 0
    async with db.transaction():
        if await sessions.active_sessions(connector_ids=[connector_id]):
            return 0
        state = (await telemetry.connector_states(connector_ids=[connector_id])).get(connector_id)
        if state is None or state.status != "available":
            return 0
        cleared = 0
        for alert in await store.list_open_on_connector(connector_id):
            rule = BY_CODE.get(alert.code)
            if rule is not None and is_of_car(rule):
                cleared += await clear_alert(
                    device_id=alert.device_id,
                    connector_id=connector_id,
                    code=alert.code,
                    occurred_at=now,
                    now=now,
                    bay_id=alert.bay_id,
                    why="session_over",
                )
    return cleared
