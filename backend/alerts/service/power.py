"""Cut the power of connectors that charge without a session of ours (a card on site), and give it back afterwards.

A `stop` names a session, and theirs is not known to us; a limit of 0 W suspends any charge (mqtt.md, `set_limit`).
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from backend.alerts import store, store_incidents
from backend.alerts.service import actions
from backend.charging.service import sessions
from backend.core import db
from backend.core.errors import DomainError
from backend.stations import service as stations
from backend.stations.rules.topology import ConnectorView
from backend.telemetry import service as telemetry
from mqtt_bridge.messages import read_ts

DRAWING = ("preparing", "charging", "suspended")


async def cut(*, incident_id: UUID, connectors: Iterable[ConnectorView], actor: str, now: datetime) -> int:
    """Let no energy flow on connectors where a car draws it without a session of ours; returns how many."""
    by_id = {c.id: c for c in connectors}
    ours = {s.connector_id for s in await sessions.active_sessions(connector_ids=list(by_id))}
    states = await telemetry.connector_states(connector_ids=[c for c in by_id if c not in ours])
    done = 0
    for connector_id, state in states.items():
        if state.status not in DRAWING:
            continue
        detail = {"connector_id": str(connector_id)}
        try:
            async with db.transaction():
                await _limit(by_id[connector_id], 0, actor, now)
        except DomainError as error:  # one charger that cannot be told must not keep the others running
            failed = {**detail, "code": error.code}
            await store_incidents.add_step(incident_id, at=now, kind="action", what="power_cut_failed", detail=failed)
            continue
        await store_incidents.add_step(incident_id, at=now, kind="action", what="power_cut", detail=detail)
        await actions.follow(incident_id=incident_id, kind="cut_power", target_id=connector_id, now=now)
        done += 1
    return done


async def give_back(*, incident_id: UUID, actor: str, now: datetime) -> None:
    """Lift the limits this incident set, and see to it that each charger takes it: a missed one would stay at 0 W."""
    steps = await store_incidents.list_steps(incident_id)
    for connector_id in dict.fromkeys(UUID(str(s.detail["connector_id"])) for s in steps if s.what == "power_cut"):
        detail = {"connector_id": str(connector_id)}
        try:
            async with db.transaction():
                await restore(connector_id=connector_id, actor=actor, now=now)
        except DomainError as error:  # asked for again by the action that follows
            detail["code"] = error.code
        await store_incidents.add_step(incident_id, at=now, kind="action", what="power_restored", detail=detail)
        await actions.follow(incident_id=incident_id, kind="restore_power", target_id=connector_id, now=now)


async def restore(*, connector_id: UUID, actor: str, now: datetime) -> None:
    """Ask the charger to offer a connector's whole power again."""
    connector = await stations.get_connector(connector_id=connector_id)
    await _limit(connector, connector.max_power_w, actor, now)


async def _limit(connector: ConnectorView, power_w: int, actor: str, now: datetime) -> None:
    args = {"connector": connector.number, "power_w": power_w}
    await telemetry.send_command(device_code=connector.charger_code, name="set_limit", args=args, now=now, actor=actor)


async def note_limit(*, device_id: UUID, args: Mapping[str, Any], at: datetime, now: datetime) -> None:
    """Keep a limit that a charger acknowledged; an older answer than the one kept changes nothing."""
    device = await stations.get_device(device_id=device_id)
    connectors = await stations.list_connectors(station_id=device.station_id)
    number, power_w = args.get("connector"), args.get("power_w")
    for connector in connectors:
        if connector.charger_id == device.charger_id and connector.number == number and isinstance(power_w, int):
            await store.save_limit(connector.id, power_w, read_ts(args.get("until")), at, now)
