"""Answers of the fleet view and of the dead letters."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from backend.telemetry.fleet import FleetDevice
from backend.telemetry.rules.fleet import Health, Problem


class HealthAnswer(msgspec.Struct, kw_only=True):
    """How a device does."""

    state: Annotated[
        Health,
        Meta(
            description="ok; troubled (see problems); silent (nothing for three of its intervals); offline (its last"
            " will came); never_heard; revoked; retired"
        ),
    ]
    problems: Annotated[
        list[Problem],
        Meta(description="clock_off: more than 60 s; losing_messages: more than 1 %; low_battery: < 15 %"),
    ]
    last_seen_at: datetime | None
    silent_since: datetime | None
    firmware: str | None
    battery_pct: Annotated[float | None, Meta(description="Percent, of devices that say it")]
    clock_offset_ms: Annotated[int | None, Meta(description="Its clock minus true time, ms; null until known")]
    messages_lost: Annotated[int, Meta(description="Gaps in seq since it was first heard")]
    loss_per_mille: Annotated[float | None, Meta(description="Lost of 1000 messages of the present boot")]
    boot: Annotated[int | None, Meta(description="Its present boot number")]
    messages_refused: Annotated[int, Meta(description="Refused messages of it that are kept as dead letters")]


class FleetAnswer(msgspec.Struct, kw_only=True):
    """A device of the registry."""

    id: UUID
    code: str
    kind: Literal["charger", "lock", "camera", "smoke"]
    station_id: UUID
    station_code: str
    station_name: str
    report_interval_s: Annotated[int, Meta(description="Seconds between its reports")]
    charger_id: UUID | None
    bay_id: UUID | None
    role: str | None
    area: str | None
    lane: str | None
    model: str
    active: Annotated[bool, Meta(description="False: retired")]
    credentials_issued_at: datetime | None
    credentials_count: Annotated[int, Meta(description="How many passwords it has had")]
    revoked_at: datetime | None
    revoked_reason: str | None
    health: HealthAnswer

    @classmethod
    def of(cls, device: FleetDevice) -> "FleetAnswer":
        """Make the answer of a view."""
        fields = {name: getattr(device.entry, name) for name in cls.__struct_fields__ if name != "health"}
        health = msgspec.structs.asdict(device.health)
        return cls(**fields, health=HealthAnswer(**{**health, "problems": list(device.health.problems)}))


class FleetCounts(msgspec.Struct, kw_only=True):
    """How many devices do how well."""

    kinds: Annotated[dict[str, dict[str, int]], Meta(description="By kind, by state of health; retired ones left out")]
