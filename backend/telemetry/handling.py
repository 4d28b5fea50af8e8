"""From a stored message of the safety lane to its effects: state, events, answers to commands; in one transaction.

The message's row is claimed (`handled_at`) in the same transaction, so a job that runs twice does nothing the second
time. Late messages change no state, but no alarm is dropped for being late or wrongly dated.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from backend.accounts.rules import plates
from backend.core import crypto, db, jobs
from backend.core.errors import Invalid
from backend.stations import service as stations
from backend.telemetry import contacts, store, store_messages, store_states
from backend.telemetry.contacts import Contact, DeviceInfo, Placement
from backend.telemetry.events import (
    BayCameraCode,
    BayCameraReported,
    CameraDangerSeen,
    ChargerEventReported,
    CommandAcknowledged,
    CriticalSample,
    LockEventReported,
    LockReported,
    PlateRead,
    SmokeReported,
)
from mqtt_bridge import messages
from mqtt_bridge.messages import (
    Ack,
    CameraEvent,
    CameraState,
    ChargerEvent,
    ChargerState,
    ChargerTelemetry,
    LastWill,
    LockEvent,
    LockState,
    SmokeEvent,
    SmokeState,
)

State = ChargerState | LockState | CameraState | SmokeState
_BAY_CODES: dict[str, BayCameraCode] = {"occupied": "bay_occupied", "free": "bay_free", "unknown": "bay_unknown"}


class Told(msgspec.Struct):
    """One message while it is handled: whose, when, by which clock."""

    info: DeviceInfo
    placement: Placement
    received_at: datetime
    now: datetime

    def base(self) -> dict[str, Any]:
        """What every event of a device carries."""
        return {
            "device_id": self.info.id,
            "device_code": self.info.code,
            "station_id": self.info.station_id,
            "occurred_at": self.placement.occurred_at,
            "received_at": self.received_at,
            "clock_flagged": self.placement.flagged,
        }


async def handle_message(*, message_id: int, now: datetime) -> list[asyncpg.Record]:
    """Carry out one stored message; returns the connector states it changed (to be shown live after the commit)."""
    async with db.transaction():
        row = await store_messages.claim_message(message_id, now)
        if row is None:
            return []
        payload = crypto.decrypt_bytes(row["payload"]) if row["sealed"] else row["payload"]
        message = messages.parse(row["kind"], row["channel"], payload)
        info = await contacts.load_device(device_id=row["device_id"])
        contact = (await contacts.lock([(info, row["received_at"])]))[info.id]
        if isinstance(message, LastWill):
            return await _handle_will(contact, row["received_at"], retained=row["retained"], now=now)
        if isinstance(message, ChargerTelemetry):
            # The same sample comes down the telemetry lane, where it is counted.
            placed = _peek(contact, message, row["received_at"])
            await _handle_critical(Told(info, placed, row["received_at"], now), message)
            return []
        placed = contact.hear(
            boot=message.boot, seq=message.seq, ts=message.ts, received_at=row["received_at"], fresh=True
        )
        told = Told(info, placed, row["received_at"], now)
        await contacts.save([contact], now=now)
        if isinstance(message, ChargerState | LockState | CameraState | SmokeState):
            return await apply_state(contact, message, told)
        await _handle_event(told, message)
        return []


def _peek(contact: Contact, message: ChargerTelemetry, received_at: datetime) -> Placement:
    return replace(contact).hear(
        boot=message.boot, seq=message.seq, ts=message.ts, received_at=received_at, fresh=False
    )


async def apply_state(contact: Contact, message: State, told: Told) -> list[asyncpg.Record]:
    """Make a `state` the device's present one if it is the newest; tell what changed. Returns changed connectors."""
    newer = (message.boot, message.seq) > (contact.state_boot, contact.state_seq)
    if not newer:
        if isinstance(message, SmokeState) and message.status == "alarm":
            await _tell_smoke(told, message)
        return []
    previous = contact.state
    firmware = message.firmware[:120] if isinstance(message, ChargerState) else None
    battery = message.battery_pct if isinstance(message, LockState | SmokeState) else None
    text = messages.encode(message)
    await store_states.save_state(told.info.id, message.boot, message.seq, text.decode(), firmware, battery)
    contact.state_boot, contact.state_seq, contact.state = message.boot, message.seq, text
    if not message.online:
        return await _go_offline(contact, told.received_at, told)
    if not contact.online:
        # It was said before the last will that is handled already: kept, but not the present any more.
        if isinstance(message, SmokeState) and message.status == "alarm":
            await _tell_smoke(told, message)
        return []
    if isinstance(message, ChargerState):
        return await _apply_connectors(message, told)
    if isinstance(message, LockState):
        event = LockReported(
            **told.base(),
            bay_id=told.info.bay_id,
            position=message.position,
            car_present=message.car_present,
            online=True,
            battery_pct=message.battery_pct,
            error=message.error,
        )
        await jobs.emit(event, now=told.now)
    elif isinstance(message, CameraState):
        await _tell_bays(told, message, _bays_of(previous) if contact.back_since is None else {})
    else:
        await _tell_smoke(told, message)
    return []


async def _apply_connectors(message: ChargerState, told: Told) -> list[asyncpg.Record]:
    rows = status_rows(told.info, message, told.placement.occurred_at)
    changed = await store_states.upsert_statuses(rows)
    told_rows = [(row, told.received_at, told.placement.flagged) for row in changed]
    await contacts.tell_statuses(told_rows, devices={told.info.id: told.info}, now=told.now)
    return changed


def status_rows(info: DeviceInfo, message: ChargerState, occurred_at: datetime) -> list[tuple[Any, ...]]:
    """Rows for `store_states.upsert_statuses`; connectors the registry does not know are passed over."""
    rows = []
    for number, status in message.connectors.items():
        connector_id = info.connectors.get(int(number)) if number.isascii() and number.isdigit() else None
        if connector_id is not None:
            rows.append(
                (connector_id, info.id, info.station_id, int(number), status, message.boot, message.seq, occurred_at)
            )
    return rows


def _bays_of(state: bytes | None) -> dict[str, str]:
    if state is None:
        return {}
    bays: dict[str, str] = msgspec.json.decode(state).get("bays", {})
    return bays


async def _tell_bays(told: Told, message: CameraState, before: dict[str, str]) -> None:
    for code, seen in message.bays.items():
        if before.get(code) != seen:
            event = BayCameraReported(
                **told.base(), bay_id=await _bay_id(told.info, code), code=_BAY_CODES[seen], confidence=1.0
            )
            await jobs.emit(event, now=told.now)


async def _bay_id(info: DeviceInfo, code: str | None) -> UUID | None:
    if code is None:
        return None
    bay = await stations.find_bay(station_id=info.station_id, code=code)
    return None if bay is None else bay.id


async def _tell_smoke(told: Told, message: SmokeState) -> None:
    event = SmokeReported(**told.base(), status=message.status, battery_pct=message.battery_pct)
    await jobs.emit(event, now=told.now)


async def _handle_will(
    contact: Contact, received_at: datetime, *, retained: bool, now: datetime
) -> list[asyncpg.Record]:
    """A last will counts by arrival. Heard of since, the device is back already.

    A retained one read at a bridge's start may be old news: a device that spoke within its silence window is there.
    """
    slack = timedelta(seconds=contact.info.window_s) if retained else timedelta()
    if contact.last_seen_at + slack > received_at or not contact.online:
        return []
    placed = Placement(received_at, False, True)
    return await _go_offline(contact, received_at, Told(contact.info, placed, received_at, now))


async def _go_offline(contact: Contact, at: datetime, told: Told) -> list[asyncpg.Record]:
    """Take the device's last values back: its state is not known while it is away."""
    info = contact.info
    await store_states.mark_offline(info.id, at)
    await store.open_outage(
        subject="device", device_id=info.id, connector_id=None, station_id=info.station_id, reason="offline", at=at
    )
    return await forget_state(info, contact.state, told)


async def forget_state(info: DeviceInfo, state: bytes | None, told: Told) -> list[asyncpg.Record]:
    """Tell that what a device last said is no longer known, each kind in its own words; returns changed connectors."""
    if info.kind == "charger":
        changed = await store_states.forget_statuses(info.id, told.placement.occurred_at)
        told_rows = [(row, told.received_at, False) for row in changed]
        await contacts.tell_statuses(told_rows, devices={info.id: info}, now=told.now)
        return changed
    if info.kind == "lock":
        last = msgspec.json.decode(state) if state is not None else {}
        event = LockReported(
            **told.base(),
            bay_id=info.bay_id,
            position=last.get("position", "unknown"),
            car_present=None,
            online=False,
            battery_pct=last.get("battery_pct"),
        )
        await jobs.emit(event, now=told.now)
    elif info.kind == "camera":
        for code in _bays_of(state):
            seen = BayCameraReported(**told.base(), bay_id=await _bay_id(info, code), code="bay_unknown")
            await jobs.emit(seen, now=told.now)
    else:
        await jobs.emit(SmokeReported(**told.base(), online=False), now=told.now)
    return []


async def _handle_critical(told: Told, message: ChargerTelemetry) -> None:
    connector_id = told.info.connectors.get(message.connector)
    if connector_id is not None:
        await jobs.emit(CriticalSample(**told.base(), connector_id=connector_id, sample=message), now=told.now)


async def _handle_event(told: Told, message: ChargerEvent | LockEvent | CameraEvent | SmokeEvent | Ack) -> None:
    info, now = told.info, told.now
    if isinstance(message, ChargerEvent):
        bms = message.bms
        if bms is not None and bms.vin is not None:
            bms = msgspec.structs.replace(bms, vin=None)
        event = ChargerEventReported(
            **told.base(),
            connector_id=None if message.connector is None else info.connectors.get(message.connector),
            code=message.code,
            session_id=message.session_id,
            meter_wh=message.meter_wh,
            reason=message.reason,
            bms=bms,
            detail=message.detail,
        )
        await jobs.emit(event, now=now, first=messages.tells_of_danger(message))
    elif isinstance(message, LockEvent):
        await jobs.emit(LockEventReported(**told.base(), bay_id=info.bay_id, code=message.code), now=now)
    elif isinstance(message, CameraEvent):
        await _handle_camera(told, message)
    elif isinstance(message, SmokeEvent):
        await jobs.emit(SmokeReported(**told.base(), code=message.code), now=now)
    else:
        await _handle_ack(told, message)


async def _handle_camera(told: Told, message: CameraEvent) -> None:
    bay_id = await _bay_id(told.info, message.bay)
    plate_hash, plate_cipher = _read_plate(message.plate)
    event: CameraDangerSeen | PlateRead | BayCameraReported
    match message.code:
        case "smoke" | "flame" | "person" as danger:
            event = CameraDangerSeen(
                **told.base(),
                code=danger,
                bay_id=bay_id,
                image_ref=message.image_ref,
                confidence=message.confidence,
            )
        case "bay_occupied" | "bay_free" | "unreadable" as seen if message.bay is not None or seen != "unreadable":
            event = BayCameraReported(
                **told.base(),
                bay_id=bay_id,
                code=seen,
                plate_hash=plate_hash,
                plate_cipher=plate_cipher,
                energy_type=message.energy_type,
                confidence=message.confidence,
                image_ref=message.image_ref,
            )
        case _:
            event = PlateRead(
                **told.base(),
                lane=message.lane or told.info.lane,
                plate_hash=plate_hash,
                plate_cipher=plate_cipher,
                energy_type=message.energy_type,
                confidence=message.confidence if plate_hash is not None else 0.0,
                image_ref=message.image_ref,
            )
    await jobs.emit(event, now=told.now)


def _read_plate(text: str | None) -> tuple[bytes | None, bytes | None]:
    """The lookup hash and the encrypted form of a plate; a text that is no plate counts as not read."""
    if not text:
        return None, None
    try:
        plate = plates.normalise(text)
    except Invalid:
        return None, None
    return crypto.lookup_hash(plate), crypto.encrypt(plate)


async def _handle_ack(told: Told, message: Ack) -> None:
    """Take a device's answer to one of its own commands; the first answer counts, a late one too."""
    try:
        command_id = UUID(message.cmd_id)
    except ValueError:
        return
    command = await store.find_command(command_id, lock=True)
    if command is None or command["device_id"] != told.info.id or command["acked_at"] is not None:
        return
    await store.mark_command_acknowledged(command_id, ok=message.ok, error=message.error, at=told.now)
    event = CommandAcknowledged(
        **told.base(),
        command_id=command_id,
        name=command["name"],
        args=msgspec.json.decode(command["args"]),
        ok=message.ok,
        error=message.error,
    )
    await jobs.emit(event, now=told.now)
