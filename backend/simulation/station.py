"""The station of a simulation: guns with their bays, and the numbers it has set for itself."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal
from uuid import UUID

from backend.reservations.rules.periods import BookingTerms
from backend.reservations.service.claims import terms_of
from backend.stations.rules.settings import StationSettings
from backend.stations.rules.topology import ConnectorView, StationView

Power = Literal["ac", "dc"]
Zone = Literal["resident", "public"]

STATION_ID = UUID(int=1)


@dataclass(frozen=True)
class Gun:
    """A connector; without bays on record, its car stands nowhere in particular."""

    id: UUID
    label: str
    zone: Zone
    kind: Power
    max_power_w: int
    bay_ids: tuple[UUID, ...]


@dataclass(frozen=True)
class SimulatedStation:
    """What a week is simulated at."""

    name: str
    guns: tuple[Gun, ...]
    settings: StationSettings = field(default_factory=StationSettings)
    id: UUID = STATION_ID
    terms: BookingTerms = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "terms", terms_of(self.settings))


def made_up(
    *,
    resident_dc: int = 4,
    resident_ac: int = 6,
    public_dc: int = 2,
    public_ac: int = 0,
    settings: StationSettings | None = None,
    name: str = "made-up station",
) -> SimulatedStation:
    """Return a station with so many guns, each with a bay of its own; DC 60 kW, AC 7 kW."""
    guns: list[Gun] = []
    counts: tuple[tuple[Zone, Power, int], ...] = (
        ("resident", "dc", resident_dc),
        ("resident", "ac", resident_ac),
        ("public", "dc", public_dc),
        ("public", "ac", public_ac),
    )
    for zone, kind, count in counts:
        for number in range(1, count + 1):
            n = len(guns) + 1
            power_w = 60_000 if kind == "dc" else 7_000
            label = f"{zone} {kind.upper()} {number}"
            guns.append(Gun(UUID(int=1000 + n), label, zone, kind, power_w, (UUID(int=2000 + n),)))
    return SimulatedStation(name, tuple(guns), settings or StationSettings())


def from_registry(*, station: StationView, connectors: Sequence[ConnectorView]) -> SimulatedStation:
    """Return a registered station as it stands: its connectors in service, its bays and its own settings."""
    guns = tuple(
        Gun(
            id=c.id,
            label=f"{c.charger_code}-{c.number}",
            zone=c.zone,
            kind=c.kind,
            max_power_w=c.max_power_w,
            bay_ids=c.bay_ids,
        )
        for c in connectors
        if c.in_service
    )
    return SimulatedStation(station.name, guns, station.settings, station.id)
