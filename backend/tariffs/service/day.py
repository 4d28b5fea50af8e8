"""What a day costs, as stretches that an app draws one after the other."""

from datetime import datetime
from itertools import pairwise
from uuid import UUID

import msgspec

from backend.tariffs.rules.bands import BandName, ParkingTerms, UserClass, band_at, split_by_band
from backend.tariffs.service import NoTariff, prices_ahead

USER_CLASSES: tuple[UserClass, UserClass] = ("market", "agreement")


class Stretch(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of time at one price for both user classes, 1/10000 yuan per kWh."""

    starts_at: datetime
    ends_at: datetime
    band: BandName
    energy_e4: int
    market_service_e4: int
    agreement_service_e4: int
    parking: ParkingTerms
    version_id: UUID


async def stretches_between(*, station_id: UUID, starts_at: datetime, ends_at: datetime) -> list[Stretch]:
    """Return the prices of `[starts_at, ends_at)` by band, also over a change of versions within; raises NoTariff.

    What is shown at an instant is what a session pays that starts then.
    """
    market, agreement = [
        await prices_ahead(station_id=station_id, user_class=user_class, starts_at=starts_at, ends_at=ends_at)
        for user_class in USER_CLASSES
    ]
    edges = {starts_at, ends_at}
    for version, _ in market.versions:
        changes = (version.effective_from, version.effective_to)
        edges |= {edge for edge in changes if edge is not None and starts_at < edge < ends_at}
    found: list[Stretch] = []
    for start, end in pairwise(sorted(edges)):
        prices, terms = market.at(start), agreement.at(start)
        if prices is None or terms is None:
            continue
        found.extend(
            Stretch(
                starts_at=piece.starts_at,
                ends_at=piece.ends_at,
                band=piece.band.name,
                energy_e4=piece.band.energy_e4,
                market_service_e4=piece.band.service_e4,
                agreement_service_e4=band_at(terms, piece.starts_at).service_e4,
                parking=prices.parking,
                version_id=prices.version_id,
            )
            for piece in split_by_band(prices, start, end)
        )
    if not found:
        raise NoTariff(station_id=str(station_id))
    return found
