"""Devices that say nothing: found by an index of due checks, told once, never while the platform itself was blind."""

from datetime import datetime, timedelta
from uuid import UUID

import asyncpg

from backend.core import db, jobs
from backend.core.errors import NotFound
from backend.telemetry import contacts, store, store_states
from backend.telemetry.contacts import DeviceInfo, Placement
from backend.telemetry.events import DeviceWentSilent
from backend.telemetry.handling import Told, forget_state

PROCESS_ALIVE_S = 10
"""A bridge or ingest process that did not report for so long sees nothing."""

BATCH = 200


async def find_silent(*, now: datetime) -> list[asyncpg.Record]:
    """Judge the devices whose check is due; returns the connector states that became unknown.

    A device is silent when neither it spoke nor the platform was blind within its window: after a blind spell each
    device has a full window to be heard again. The check of a device that spoke moves on, so one that reports is
    looked at once per window.
    """
    sighted_since = await store_states.find_sighted_since(now, PROCESS_ALIVE_S)
    if sighted_since is None:
        return []
    changed: list[asyncpg.Record] = []
    await store_states.postpone_silence_checks(now, sighted_since)
    overdue = await store_states.list_overdue(now, BATCH)
    for row in overdue:
        async with db.transaction():
            changed += await _judge(row["device_id"], sighted_since, now)
    return changed


async def _judge(device_id: UUID, sighted_since: datetime, now: datetime) -> list[asyncpg.Record]:
    info: DeviceInfo | None
    try:
        info = await contacts.load_device(device_id=device_id)
    except NotFound:
        info = None
    if info is None or not info.active:
        await store_states.move_silence_checks([(device_id, now + timedelta(days=1))])
        return []
    contact = (await contacts.lock([(info, now)]))[device_id]
    if contact.silent_since is not None:
        return []
    due_at = max(contact.last_seen_at, sighted_since) + timedelta(seconds=info.window_s)
    if due_at > now:
        await store_states.move_silence_checks([(device_id, due_at)])
        return []
    since = contact.last_seen_at
    await store_states.mark_silent(device_id, since)
    await store.open_outage(
        subject="device", device_id=device_id, connector_id=None, station_id=info.station_id, reason="silent", at=since
    )
    told = Told(info, Placement(now, False, True), now, now)
    changed = await forget_state(info, contact.state, told) if contact.online else []
    await jobs.emit(DeviceWentSilent(**told.base(), kind=info.kind, last_seen_at=since), now=now)
    return changed
