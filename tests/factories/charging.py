"""Charges as tests need them: residents start them, the chargers of a demo station answer through telemetry."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from backend.agreements import service as agreements
from backend.charging import store, store_orders
from backend.charging.rules.billing import MeterPoint
from backend.charging.service import allowances, metering, orders, statements
from backend.charging.service.orders import OrderView
from backend.charging.service.start import start_session
from backend.charging.store import SessionView
from backend.core import db
from backend.core.ids import new_id
from backend.core.services import Services
from backend.tariffs import service as tariffs
from backend.tariffs.rules.bands import UserClass
from tests.factories.reservations import Resident, Scene, add_scene
from tests.factories.stations import Gun
from tests.factories.tariffs import publish_tariff
from tests.factories.telemetry import BMS, measure, say
from tests.jobs import run_due_jobs

SECOND = timedelta(seconds=1)


async def add_charging_scene(*, now: datetime) -> Scene:
    """The demo station with prices, every charger idle and in contact."""
    scene = await add_scene()
    await publish_tariff(operator_company_id=scene.company_id)
    for gun in (scene.place.ac, scene.place.dc, scene.place.public):
        await idle(gun, now=now)
    return scene


async def idle(gun: Gun, *, now: datetime, meter_wh: int = 1_000_000) -> None:
    """Let a charger report an idle connector."""
    await measure(gun.charger, now=now, status="available", meter_wh=meter_wh, power_w=0, current_a=0.0)


async def sample(gun: Gun, *, now: datetime, meter_wh: int, status: str = "charging", **fields: Any) -> None:
    """Let a charger report a sample; on DC with battery values."""
    if gun.connector.kind == "dc" and "bms" not in fields:
        fields["bms"] = BMS
    await measure(gun.charger, now=now, status=status, meter_wh=meter_wh, **fields)


async def begin(resident: Resident, gun: Gun, *, now: datetime, **wishes: Any) -> SessionView:
    """Start a charge as the resident would."""
    return await start_session(
        account_id=resident.account_id,
        vehicle_id=resident.vehicle.id,
        connector_id=gun.connector.id,
        now=now,
        **wishes,
    )


async def commands_to(gun: Gun, name: str) -> list[dict[str, Any]]:
    """The commands of this name that the gun's charger was sent, oldest first."""
    rows = await db.fetch(
        "SELECT id, name, args FROM command WHERE device_id = $1 AND name = $2 ORDER BY id", gun.charger.id, name
    )
    return [{**dict(row), "args": msgspec.json.decode(row["args"])} for row in rows]


async def answer(gun: Gun, name: str, *, now: datetime, ok: bool = True, error: str | None = None) -> None:
    """Let the charger answer the newest command of this name."""
    command = (await commands_to(gun, name))[-1]
    await db.execute("UPDATE command SET status = 'sent', sent_at = $2 WHERE id = $1", command["id"], now)
    fields = {} if error is None else {"error": error}
    await say(gun.charger, "ack", now=now, cmd_id=str(command["id"]), ok=ok, **fields)


async def report(gun: Gun, code: str, *, now: datetime, session: SessionView | None = None, **fields: Any) -> None:
    """Let the charger send an event."""
    if session is not None:
        fields["session_id"] = str(session.id)
    await say(gun.charger, "event", now=now, code=code, connector=gun.connector.number, **fields)


async def charge(
    resident: Resident,
    gun: Gun,
    *,
    start: datetime,
    minutes: int = 20,
    wh_per_sample: int = 100,
    every_s: int = 60,
    services: Services,
    meter_wh: int = 1_000_000,
) -> tuple[SessionView, datetime, int]:
    """Charge from start to end with a sample every minute; returns session, end and end meter. Jobs are run."""
    session = await begin(resident, gun, now=start)
    await answer(gun, "start", now=start + SECOND)
    await report(gun, "session_started", now=start + 2 * SECOND, session=session, meter_wh=meter_wh)
    await run_due_jobs(now=start + 2 * SECOND, services=services)
    at, meter = start, meter_wh
    for _ in range(minutes * 60 // every_s):
        at, meter = at + timedelta(seconds=every_s), meter + wh_per_sample
        await sample(gun, now=at, meter_wh=meter)
    end = at + SECOND
    await report(gun, "session_ended", now=end, session=session, meter_wh=meter, reason="target")
    await sample(gun, now=end + SECOND, meter_wh=meter, status="finishing", power_w=0)
    await run_due_jobs(now=end + SECOND, services=services)
    return session, end, meter


async def leave(gun: Gun, *, now: datetime, meter_wh: int, services: Services) -> None:
    """Let the car unplug and go: no device watches the bay here, so the idle gun tells it."""
    await report(gun, "unplugged", now=now)
    await idle(gun, now=now + SECOND, meter_wh=meter_wh)
    await run_due_jobs(now=now + SECOND, services=services)


async def order_of(session_id: UUID) -> OrderView:
    """The order of a session; fails where there is none."""
    order = await orders.find_order_of_session(session_id=session_id)
    assert order is not None, "the session has no order"
    return order


async def add_bill(
    scene: Scene, resident: Resident, *, start: datetime, energy_wh: int, minutes: int = 60, now: datetime | None = None
) -> OrderView:
    """A charge of this energy at constant power that was billed and closed, without its devices' messages.

    The bill is settled by what settling runs: price of the station, allowance of the package, rounding, cap.
    """
    gun = scene.place.ac
    agreement = await agreements.active_agreement(
        account_id=resident.account_id,
        plate_hash=resident.plate_hash,
        operator_company_id=scene.company_id,
        at=start,
    )
    user_class: UserClass = "market" if agreement is None else "agreement"
    station_id = gun.connector.station_id
    end = start + timedelta(minutes=minutes)
    session = SessionView(
        id=new_id(),
        account_id=resident.account_id,
        vehicle_id=resident.vehicle.id,
        plate_hash=resident.plate_hash,
        operator_company_id=scene.company_id,
        station_id=station_id,
        connector_id=gun.connector.id,
        charger_code=gun.connector.charger_code,
        connector_number=gun.connector.number,
        kind=gun.connector.kind,
        claim_id=None,
        reservation_id=None,
        agreement_id=None if agreement is None else agreement.id,
        user_class=user_class,
        tariff=await tariffs.price_for(station_id=station_id, user_class=user_class, at=start),
        status="ended",
        target_soc_pct=None,
        target_energy_wh=None,
        departs_at=None,
        limit_at=end,
        start_due_at=start,
        requested_at=start,
        accepted_at=start,
        started_at=start,
        start_meter_wh=0,
        ended_at=end,
        end_meter_wh=energy_wh,
        end_reason="target",
        left_at=end,
    )
    assert await store.add_session(session)
    points = [MeterPoint(start, 0), MeterPoint(end, energy_wh)]
    async with db.transaction():
        bill = metering.price(session, points, allowance=await allowances.allowance_of(session, lock=True))
        order = orders.new_order(session, bill, (), await orders.fee_from(session), end)
        assert await store_orders.add_order(order)
        period = await allowances.period_of(session, lock=False)
        await statements.expect(session, period=period, now=now or end)
    closed = await orders.close_if_due(session_id=session.id, now=now or end)
    assert closed is not None, "the car has left, so the bill closes"
    return closed
