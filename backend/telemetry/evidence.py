"""What devices said, as they said it: for whoever recomputes a figure without trusting what was made of it."""

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from backend.core import crypto
from backend.stations import service as stations
from backend.telemetry import store_messages


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """One event of a device in its own words. `at` is when the service received it: no device's clock is believed."""

    device_id: UUID
    kind: str
    at: datetime
    words: dict[str, Any]


async def list_said(*, station_id: UUID, since: datetime, until: datetime) -> list[Said]:
    """Return the events of a station's devices received in `[since, until)`, oldest first.

    Messages of cameras lose their text after 30 days (plates); those are left out.
    """
    found: list[Said] = []
    devices = [device.id for device in await stations.list_devices(station_id=station_id)]
    for row in await store_messages.list_events(devices, since, until):
        text = crypto.decrypt_bytes(row["payload"]) if row["sealed"] else row["payload"]
        words = msgspec.json.decode(text, type=dict[str, Any])
        found.append(Said(device_id=row["device_id"], kind=row["kind"], at=row["received_at"], words=words))
    return found
