"""What a charge would cost, before it is started: the bill's own arithmetic over an assumed constant power."""

from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from backend.accounts import service as accounts
from backend.agreements import service as agreements
from backend.charging.rules.billing import Bill, MeterPoint, bill_session
from backend.charging.rules.parking import parking_fee_fen
from backend.charging.service.metering import price_periods
from backend.charging.service.start import find_connector
from backend.stations import service as stations
from backend.tariffs import service as tariffs
from backend.tariffs.rules.bands import PriceSnapshot, UserClass

LONGEST = timedelta(days=2)
"""Slower than any charger in service: what would take longer is quoted up to here."""


class Quote(msgspec.Struct, frozen=True, kw_only=True):
    """What a charge would cost; `user_class` and prices are those of a start at `starts_at`."""

    connector_id: UUID
    station_id: UUID
    user_class: UserClass
    tariff: PriceSnapshot
    starts_at: datetime
    ends_at: datetime
    power_w: int
    bill: Bill
    parking_fee_fen: int


async def quote(
    *,
    account_id: UUID,
    vehicle_id: UUID,
    energy_wh: int,
    now: datetime,
    connector_id: UUID | None = None,
    qr: str | None = None,
    starts_at: datetime | None = None,
    power_w: int | None = None,
) -> Quote:
    """Quote a charge of this energy for the account's vehicle, from now or from a booked start.

    Power is the connector's most, or less where the car takes less. Nothing is held and nothing is promised but the
    prices. Raises NotFound, NoTariff.
    """
    vehicle = await accounts.get_vehicle(account_id=account_id, vehicle_id=vehicle_id)
    connector = await find_connector(connector_id=connector_id, qr=qr)
    station = await stations.get_station(station_id=connector.station_id)
    start = now if starts_at is None else max(now, starts_at)
    agreement = await agreements.active_agreement(
        account_id=account_id,
        plate_hash=vehicle.plate_hash,
        operator_company_id=station.operator_company_id,
        at=start,
    )
    user_class: UserClass = "market" if agreement is None else "agreement"
    tariff = await tariffs.price_for(station_id=station.id, user_class=user_class, at=start)
    power = min(power_w or connector.max_power_w, connector.max_power_w)
    lasts = min(timedelta(seconds=-(-energy_wh * 3600 // power)), LONGEST)
    end = start + max(lasts, timedelta(seconds=1))
    points = [MeterPoint(start, 0), MeterPoint(end, energy_wh)]
    bill = bill_session(points, price_periods(tariff, start=start, end=end), capped=user_class == "agreement")
    return Quote(
        connector_id=connector.id,
        station_id=station.id,
        user_class=user_class,
        tariff=tariff,
        starts_at=start,
        ends_at=end,
        power_w=power,
        bill=bill,
        parking_fee_fen=parking_fee_fen(
            from_at=start,
            until=end,
            free_min=tariff.parking.free_min,
            fen_per_hour=tariff.parking.fen_per_hour,
            day_cap_fen=tariff.parking.day_cap_fen,
        ),
    )
