"""`billing`: bills a second for a 2-hour session of 480 readings over 3 bands.

The limit reads the same readings (time and meter) from the same PostgreSQL and sums them. Ours is what settling runs:
the start meter, the readings, the doubts, the bands, interpolation at their edges, rounding and the cap.
"""

import os
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from uuid import UUID

import uvloop

from backend.charging.service import metering
from backend.charging.store import SessionView
from backend.core import db
from backend.core.clock import SystemClock
from backend.core.ids import new_id
from backend.tariffs import service as tariffs
from backend.tariffs.rules.bands import PriceSnapshot
from backend.tariffs.rules.versions import Span
from bench import figures
from bench.ground import Ground, ground
from tests.factories.reservations import Resident, add_resident
from tests.factories.stations import Gun, add_gun, add_station
from tests.factories.tariffs import publish_tariff

BILLS = int(os.environ.get("LINLI_BENCH_BILLS", "1500"))
GUNS = 30
READINGS, EVERY = 480, timedelta(seconds=15)
SPANS = (
    Span(band="valley", from_min=0, to_min=7 * 60),
    Span(band="flat", from_min=7 * 60, to_min=10 * 60),
    Span(band="peak", from_min=10 * 60, to_min=11 * 60),
    Span(band="sharp", from_min=11 * 60, to_min=13 * 60),
    Span(band="flat", from_min=13 * 60, to_min=24 * 60),
)
WH_PER_READING = 29


def start_of_day() -> datetime:
    """09:30 in Beijing today: half an hour flat, an hour peak, half an hour sharp; history has today's partition."""
    return SystemClock().now().replace(hour=1, minute=30, second=0, microsecond=0)


async def add_readings(connector_ids: Sequence[UUID], *, start: datetime, count: int, boot: int = 1) -> None:
    """Write readings from just before `start` on, as history holds them; the last one lies after the session's end."""
    today = datetime.now(UTC).date()
    rows = [
        (
            connector_id,
            today,
            boot,
            n,
            start + (n - 1) * EVERY + timedelta(seconds=7),
            start + (n - 1) * EVERY + timedelta(seconds=7, milliseconds=80),
            False,
            "charging",
            1_000_000 + n * WH_PER_READING,
            6_950,
            221.7,
            31.4,
            41.5,
        )
        for connector_id in connector_ids
        for n in range(count + 2)
    ]
    names = (
        "connector_id", "received_on", "boot", "seq", "occurred_at", "received_at", "clock_flagged", "status",
        "meter_wh", "power_w", "voltage_v", "current_a", "gun_temp_c",
    )  # fmt: skip
    await db.copy_records("telemetry_sample", records=rows, columns=names)


def ended_session(
    resident: Resident, gun: Gun, *, start: datetime, readings: int, tariff: PriceSnapshot, company_id: UUID
) -> SessionView:
    """A session that ended after so many readings; its car has left."""
    end = start + readings * EVERY
    return SessionView(
        id=new_id(),
        account_id=resident.account_id,
        vehicle_id=resident.vehicle.id,
        plate_hash=resident.plate_hash,
        operator_company_id=company_id,
        station_id=gun.connector.station_id,
        connector_id=gun.connector.id,
        charger_code=gun.connector.charger_code,
        connector_number=1,
        kind=gun.connector.kind,
        claim_id=None,
        reservation_id=None,
        agreement_id=resident.agreement_id,
        user_class="agreement",
        tariff=tariff,
        status="ended",
        target_soc_pct=None,
        target_energy_wh=None,
        departs_at=None,
        limit_at=end + timedelta(hours=1),
        start_due_at=start + timedelta(minutes=1),
        requested_at=start - timedelta(seconds=2),
        accepted_at=start,
        started_at=start + timedelta(seconds=1),
        start_meter_wh=1_000_000,
        ended_at=end,
        end_meter_wh=1_000_000 + readings * WH_PER_READING + WH_PER_READING // 2,
        end_reason="target",
        left_at=end + timedelta(minutes=3),
    )


async def run(made: Ground) -> None:
    """Measure both, each bill on its own, turn about."""
    start = start_of_day()
    async with made.opened():
        station = await add_station()
        company_id = station.operator_company_id
        guns = [await add_gun(station_id=station.id, with_lock=False) for _ in range(GUNS)]
        await publish_tariff(operator_company_id=company_id, spans=SPANS)
        tariff = await tariffs.price_for(station_id=station.id, user_class="agreement", at=start)
        resident = await add_resident(company_id=company_id)
        await add_readings([gun.connector.id for gun in guns], start=start, count=READINGS)
        sessions = [
            ended_session(resident, gun, start=start, readings=READINGS, tariff=tariff, company_id=company_id)
            for gun in guns
        ]
        await db.execute("ANALYZE telemetry_sample")
        limit_s, ours_s = 0.0, 0.0
        took: list[float] = []
        for n in range(BILLS):
            session = sessions[n % GUNS]
            began = time.perf_counter()
            total = await read_and_sum(session)
            between = time.perf_counter()
            measured = await metering.measure(session, until=start + timedelta(hours=3))
            bill = metering.price(session, measured.points)
            ended = time.perf_counter()
            limit_s += between - began
            ours_s += ended - between
            took.append((ended - between) * 1000)
            assert len(bill.lines) == 3, bill
            assert not measured.doubts, measured.doubts
            assert abs(bill.energy_wh - total) <= 2 * WH_PER_READING, (bill.energy_wh, total)
    figures.say("billing", ours=BILLS / ours_s, limit=BILLS / limit_s, unit="bills/s", took_ms=took)


async def read_and_sum(session: SessionView) -> int:
    """Read the readings of the session in one query and add up what each adds to the meter."""
    rows = await db.fetch(
        "SELECT occurred_at, meter_wh FROM telemetry_sample WHERE connector_id = $1 AND occurred_at >= $2"
        " AND occurred_at < $3 AND received_on >= $4 ORDER BY boot, seq",
        session.connector_id,
        session.accepted_at,
        session.ended_at,
        session.requested_at.date() - timedelta(days=1),
    )
    meters = [row["meter_wh"] for row in rows]
    return sum(after - before for before, after in pairwise(meters))


def main() -> None:
    """Run the benchmark and print its line."""
    with ground() as made:
        uvloop.run(run(made))


if __name__ == "__main__":
    main()
