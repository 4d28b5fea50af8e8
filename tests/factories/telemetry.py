"""What devices say, as tests need it: payloads of the contract, delivered the way bridge and ingest deliver them."""

from datetime import datetime
from itertools import count
from typing import Any

import msgspec

from backend.core import db
from backend.stations.service import DeviceView
from backend.telemetry import contacts
from backend.telemetry.ingesting import Item, Outcome, store_batch
from mqtt_bridge import messages

_serial = count(1)

BODIES: dict[tuple[str, str], dict[str, Any]] = {
    ("charger", "state"): {"online": True, "firmware": "1.0", "connectors": {"1": "available"}},
    ("charger", "telemetry"): {
        "connector": 1,
        "status": "charging",
        "meter_wh": 1000,
        "power_w": 7000,
        "voltage_v": 220.0,
        "current_a": 31.8,
        "gun_temp_c": 30.0,
    },
    ("charger", "event"): {"code": "plugged", "connector": 1},
    ("lock", "state"): {"online": True, "position": "down", "car_present": False, "battery_pct": 90},
    ("lock", "event"): {"code": "forced"},
    ("camera", "state"): {"online": True, "bays": {}},
    ("camera", "event"): {"code": "plate_read", "plate": "京AD12345", "energy_type": "nev", "confidence": 0.97},
    ("smoke", "state"): {"online": True, "status": "normal", "battery_pct": 95},
    ("smoke", "event"): {"code": "alarm"},
}
BMS: dict[str, Any] = {
    "soc_pct": 50,
    "pack_v": 350.0,
    "pack_a": 100.0,
    "cell_v_max": 3.4,
    "temp_max_c": 35,
    "temp_min_c": 30,
    "remaining_min": 40,
    "flags": [],
}


def payload(kind: str, channel: str, *, at: datetime, boot: int = 1, seq: int | None = None, **fields: Any) -> bytes:
    """A payload of the contract with sensible values; `fields` replace or add. Each call is another message."""
    number = next(_serial)
    header = {"msg_id": f"m{number}", "boot": boot, "seq": number if seq is None else seq, "ts": messages.format_ts(at)}
    return msgspec.json.encode({**header, **BODIES.get((kind, channel), {}), **fields})


async def store_message(
    device: DeviceView, channel: str, body: bytes, *, received_at: datetime, retained: bool = False
) -> int | None:
    """Store a message of the safety lane with its job, as the bridge does; None for a repeat."""
    header = msgspec.json.decode(body)
    message_id: int | None = await db.fetchval(
        "INSERT INTO device_message (device_id, station_id, kind, channel, msg_id, boot, seq, received_at, retained,"
        " payload, sealed) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, false)"
        " ON CONFLICT (device_id, msg_id) DO NOTHING RETURNING id",
        device.id,
        device.station_id,
        device.kind,
        channel,
        header.get("msg_id") or f"will:{next(_serial)}",
        header.get("boot"),
        header.get("seq"),
        received_at,
        retained,
        body,
    )
    if message_id is not None:
        await db.execute(
            "INSERT INTO pgqueuer (priority, status, entrypoint, payload) VALUES (0, 'queued', $1, $2)",
            "telemetry.device_message",
            msgspec.json.encode({"message_id": message_id}),
        )
    return message_id


async def say(device: DeviceView, channel: str, *, now: datetime, **fields: Any) -> int | None:
    """Have a device say something over the safety lane now; the job that handles it is queued."""
    return await store_message(device, channel, payload(device.kind, channel, at=now, **fields), received_at=now)


async def ingest(device: DeviceView, *bodies: bytes, received_at: datetime, channel: str = "telemetry") -> Outcome:
    """Take payloads of one device in over the telemetry lane, in one batch."""
    info = await contacts.load_device(device_id=device.id)
    items = [Item(device.id, channel, received_at, body) for body in bodies]
    return await store_batch(items=items, directory={device.id: info}, now=received_at)


async def measure(device: DeviceView, *, now: datetime, **fields: Any) -> Outcome:
    """Have a charger report one sample over the telemetry lane now."""
    return await ingest(device, payload("charger", "telemetry", at=now, **fields), received_at=now)


async def see_everything(*, now: datetime) -> None:
    """Have a bridge and an ingest process report that they have seen without a break for a day."""
    await db.execute(
        "INSERT INTO platform_sight (name, role, sighted_since, seen_at, caught_up_to)"
        " VALUES ('b', 'bridge', $1::timestamptz - interval '1 day', $1, NULL),"
        " ('i', 'ingest', $1::timestamptz - interval '1 day', $1, $1)"
        " ON CONFLICT (name) DO UPDATE SET seen_at = excluded.seen_at, caught_up_to = excluded.caught_up_to",
        now,
    )
