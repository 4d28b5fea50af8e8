"""What operators see of the device registry: access of each device, and which detector guards what."""

from collections.abc import Iterable
from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec

from backend.stations.rules.topology import DeviceKind

Access = Literal["granted", "revoked", "retired"]


class RegistryEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One device of the registry with the state of its credentials (never the password or its hash)."""

    id: UUID
    code: str
    kind: DeviceKind
    station_id: UUID
    station_code: str
    station_name: str
    operator_company_id: UUID
    report_interval_s: int
    charger_id: UUID | None
    bay_id: UUID | None
    role: str | None
    area: str | None
    lane: str | None
    active: bool
    model: str
    credentials_issued_at: datetime | None
    credentials_count: int
    revoked_at: datetime | None
    revoked_reason: str | None
    created_at: datetime

    @property
    def access(self) -> Access:
        """Whether broker and bridge let it in."""
        if not self.active:
            return "retired"
        return "granted" if self.revoked_at is None else "revoked"


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """A detector, a charger or a bay."""

    id: UUID
    code: str


class AreaMap(msgspec.Struct, frozen=True, kw_only=True):
    """One area of a station: its detectors, and what their alarm stops. `area` None: what is mapped to no area."""

    area: str | None
    detectors: tuple[Part, ...]
    chargers: tuple[Part, ...]
    bays: tuple[Part, ...]


class DetectorMap(msgspec.Struct, frozen=True, kw_only=True):
    """Which detector guards what. `faults` says what an operator should put right.

    An alarm of a detector without an area stops the whole station (domain.md "Safety").
    """

    areas: tuple[AreaMap, ...]
    whole_station_detectors: tuple[Part, ...]
    faults: tuple[str, ...]


def map_detectors(parts: Iterable[tuple[str | None, str, UUID, str]]) -> DetectorMap:
    """Put (area, what, id, code) together by area, and find areas without a detector or with nothing to guard."""
    by_area: dict[str | None, dict[str, list[Part]]] = {}
    for area, what, part_id, code in parts:
        kinds = by_area.setdefault(area, {"detector": [], "charger": [], "bay": []})
        kinds[what].append(Part(id=part_id, code=code))
    whole = tuple(by_area.get(None, {}).get("detector", ()))
    areas = tuple(
        AreaMap(
            area=area,
            detectors=() if area is None else tuple(kinds["detector"]),
            chargers=tuple(kinds["charger"]),
            bays=tuple(kinds["bay"]),
        )
        for area, kinds in sorted(by_area.items(), key=lambda item: (item[0] is None, item[0] or ""))
        if area is not None or kinds["charger"] or kinds["bay"]
    )
    faults = []
    for found in areas:
        if found.area is None:
            if not whole and found.chargers:
                codes = ", ".join(part.code for part in found.chargers)
                faults.append(f"no detector guards the chargers without an area: {codes}")
        elif not found.detectors and not whole:
            faults.append(f"area {found.area} has no detector")
        elif not found.chargers and not found.bays:
            faults.append(f"area {found.area} has a detector, and neither chargers nor bays: its alarm stops nothing")
    return DetectorMap(areas=areas, whole_station_detectors=whole, faults=tuple(faults))
