"""Reading the picture of stations from the features below."""

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from backend.discovery.rules.picture import GunPicture
from backend.reservations.service import claims
from backend.stations import service as stations
from backend.stations.service import ConnectorView, StationView
from backend.tariffs import service as tariffs
from backend.tariffs.service import StationPrices
from backend.telemetry import service as telemetry
from backend.waiting import service as waiting

HORIZON = timedelta(hours=24)
"""How far ahead claims are looked at; the board reads all of them again before that is over."""


class StationPicture(msgspec.Struct, frozen=True, kw_only=True):
    """A station with its guns in service, its prices as they were read."""

    station: StationView
    guns: tuple[GunPicture, ...]
    prices: StationPrices | None
    usable_at: datetime | None
    read_at: datetime

    @property
    def waiting(self) -> bool:
        """Whether the next arrival was predicted to wait."""
        return self.usable_at is not None and self.usable_at > self.read_at


async def read_pictures(*, station_ids: Collection[UUID] | None, now: datetime) -> dict[UUID, StationPicture]:
    """Read the pictures of these stations, or of all (None)."""
    if station_ids is None:
        views = await stations.list_stations()
        connectors = await stations.list_all_connectors()
    else:
        views = await stations.list_stations_of(station_ids=station_ids)
        connectors = await stations.list_connectors_of(station_ids=station_ids)
    ids = [view.id for view in views]
    guns = await _guns(connectors, {view.id for view in views if view.has_devices}, now)
    prices = await tariffs.current_prices(station_ids=ids, at=now)
    waits = await waiting.predicted_waits(station_ids=[view.id for view in views if view.has_devices], now=now)
    return {
        view.id: StationPicture(
            station=view,
            guns=tuple(guns.get(view.id, ())),
            prices=prices.get(view.id),
            usable_at=now + timedelta(seconds=waits[view.id]) if view.id in waits else None,
            read_at=now,
        )
        for view in views
    }


async def _guns(
    connectors: Iterable[ConnectorView], connected: Collection[UUID], now: datetime
) -> dict[UUID, list[GunPicture]]:
    in_service = [connector for connector in connectors if connector.in_service]
    live = [connector.id for connector in in_service if connector.station_id in connected]
    states = await telemetry.connector_states(connector_ids=live)
    held: dict[UUID, list[tuple[datetime, datetime]]] = {}
    for claim in await claims.claims_between(connector_ids=live, starts_at=now, ends_at=now + HORIZON):
        held.setdefault(claim.connector_id, []).append((claim.starts_at, claim.ends_at))
    found: dict[UUID, list[GunPicture]] = {}
    for connector in in_service:
        state = states.get(connector.id)
        found.setdefault(connector.station_id, []).append(
            GunPicture(
                id=connector.id,
                charger_code=connector.charger_code,
                number=connector.number,
                qr=connector.qr,
                kind=connector.kind,
                max_power_w=connector.max_power_w,
                zone=connector.zone,
                bay_ids=connector.bay_ids,
                status="unknown" if state is None else state.status,
                status_since=None if state is None else state.status_since,
                claims=tuple(held.get(connector.id, ())),
            )
        )
    return found
