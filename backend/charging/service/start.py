"""Start a charge: every check, the claim, the price and the command, in one transaction."""

from datetime import datetime, timedelta
from uuid import UUID

from backend.accounts import service as accounts
from backend.agreements import service as agreements
from backend.bays import service as bays
from backend.charging import store, store_orders
from backend.charging.rules.states import START_WITHIN
from backend.charging.service import statements, supplements
from backend.charging.service.sessions import SessionTimer, SessionView, send_start
from backend.core import db, jobs
from backend.core.errors import Conflict, Invalid, NotFound, Unavailable
from backend.core.ids import new_id
from backend.reservations.rules.words import ReservationView
from backend.reservations.service import bookings, claims
from backend.stations import service as stations
from backend.stations.rules.topology import ConnectorView
from backend.tariffs import service as tariffs
from backend.tariffs.rules.bands import UserClass
from backend.telemetry import service as telemetry


class UnpaidOrder(Conflict):
    """An earlier bill has not been paid; it stops new sessions, never the current one."""

    code = "unpaid_order"
    title_en = "An earlier bill is unpaid"
    title_zh = "有未支付的订单"
    detail_en = "Pay order {order_id} first, then start again."
    detail_zh = "请先支付订单 {order_id}，再开始充电。"


class NoBatteryData(Invalid):
    """A state-of-charge target needs battery data, which AC charging does not give (GB/T 27930 is DC only)."""

    code = "no_battery_data"
    title_en = "No battery data"
    title_zh = "无电池数据"
    detail_en = "AC charging gives no battery data: set target_energy_wh or departs_at instead of target_soc_pct."
    detail_zh = "交流充电没有电池数据，请改用 target_energy_wh 或 departs_at。"


class DepartureInvalid(Invalid):
    """The time of departure lies in the past."""

    code = "departure_invalid"
    title_en = "The departure is in the past"
    title_zh = "离开时间无效"
    detail_en = "departs_at must lie in the future."
    detail_zh = "departs_at 必须晚于当前时间。"


class ConnectorOutOfService(Conflict):
    """The connector cannot charge now."""

    code = "connector_out_of_service"
    title_en = "The connector cannot be used"
    title_zh = "充电枪不可用"
    detail_en = "Its state is {status}. Choose another connector."
    detail_zh = "当前状态为 {status}，请选择其他充电枪。"


class ConnectorOffline(Unavailable):
    """The charger is out of reach, so that nothing is known of it and it cannot be told to start."""

    code = "connector_offline"
    title_en = "The charger is offline"
    title_zh = "充电桩离线"
    detail_en = "The charger does not answer at the moment. Choose another one, or try again in a minute."
    detail_zh = "充电桩暂时无法通信，请选择其他充电桩或稍后重试。"


class SessionRunning(Conflict):
    """The connector or the car is in a session already."""

    code = "session_running"
    title_en = "A session is running already"
    title_zh = "已有充电正在进行"
    detail_en = "This connector or this car is charging already."
    detail_zh = "该充电枪或该车辆正在充电。"


async def find_connector(*, connector_id: UUID | None, qr: str | None) -> ConnectorView:
    """Return the connector a resident means, by id or by the QR code on it; raises NotFound, Invalid."""
    if qr is not None:
        found = await stations.find_connector_by_qr(qr=qr.strip())
        if found is None or (connector_id is not None and found.id != connector_id):
            raise NotFound(kind="connector")
        return found
    if connector_id is None:
        raise Invalid(field="connector_id")
    return await stations.get_connector(connector_id=connector_id)


async def start_session(
    *,
    account_id: UUID,
    vehicle_id: UUID,
    now: datetime,
    connector_id: UUID | None = None,
    qr: str | None = None,
    target_soc_pct: float | None = None,
    target_energy_wh: int | None = None,
    departs_at: datetime | None = None,
) -> SessionView:
    """Start a charge for the account's vehicle: under its booking, or as a walk-up that holds a claim of its own.

    User class and price are those of this second, for the whole session (domain.md "Agreements", "Money"). Raises
    NotFound, NoBatteryData, DepartureInvalid, UnpaidOrder, UnpaidStatement, StationUnderSafetyHold, ConnectorOffline,
    ConnectorOutOfService, SessionRunning, NoTariff and what claims raise.
    """
    vehicle = await accounts.get_vehicle(account_id=account_id, vehicle_id=vehicle_id)
    connector = await find_connector(connector_id=connector_id, qr=qr)
    if target_soc_pct is not None and connector.kind == "ac":
        raise NoBatteryData(field="target_soc_pct")
    if departs_at is not None and departs_at <= now:
        raise DepartureInvalid(field="departs_at")
    station = await stations.get_station(station_id=connector.station_id)
    async with db.transaction():
        if await stations.has_safety_hold(station_id=station.id, lock=True):
            raise stations.StationUnderSafetyHold
        unpaid = await store_orders.find_unpaid(account_id)
        if unpaid is not None:
            raise UnpaidOrder(order_id=str(unpaid))
        more = await supplements.unpaid_of(account_id=account_id)
        if more is not None and more.order_id is not None:
            raise UnpaidOrder(order_id=str(more.order_id))
        await statements.check_paid(account_id=account_id)
        if await store.list_open(connector_ids=[connector.id]) or await store.list_open(plate_hash=vehicle.plate_hash):
            raise SessionRunning
        await _check_connector(connector)
        agreement = await agreements.active_agreement(
            account_id=account_id,
            plate_hash=vehicle.plate_hash,
            operator_company_id=station.operator_company_id,
            at=now,
        )
        session_id = new_id()
        booking = await claims.current_reservation(connector_id=connector.id, at=now)
        if booking is not None and (
            booking.plate_hash != vehicle.plate_hash or (booking.account_id != account_id and agreement is None)
        ):
            booking = None  # whoever typed the plate of a booking has no right to it (decision 010); its people have
        claim_id, limit_at = await _hold(
            connector, vehicle.plate_hash, booking, session_id, agreement is not None, departs_at, now
        )
        user_class: UserClass = "market" if agreement is None else "agreement"
        session = SessionView(
            id=session_id,
            account_id=account_id,
            vehicle_id=vehicle_id,
            plate_hash=vehicle.plate_hash,
            operator_company_id=station.operator_company_id,
            station_id=station.id,
            connector_id=connector.id,
            charger_code=connector.charger_code,
            connector_number=connector.number,
            kind=connector.kind,
            claim_id=claim_id,
            reservation_id=None if booking is None else booking.id,
            agreement_id=None if agreement is None else agreement.id,
            user_class=user_class,
            tariff=await tariffs.price_for(station_id=station.id, user_class=user_class, at=now),
            status="requested",
            target_soc_pct=target_soc_pct,
            target_energy_wh=target_energy_wh,
            departs_at=departs_at,
            limit_at=limit_at,
            start_due_at=now + START_WITHIN,
            requested_at=now,
            starts_sent=1,
        )
        if not await store.add_session(session):
            raise SessionRunning
        await _lower_locks(connector, claim_id, account_id, now)
        await send_start(session, now=now)
        timer = SessionTimer(session_id)
        await jobs.schedule("charging.start_overdue", timer, due_at=session.start_due_at, now=now)
        await jobs.schedule("charging.limit_reached", timer, due_at=limit_at, now=now)
    return session


async def _check_connector(connector: ConnectorView) -> None:
    if not connector.in_service:
        raise ConnectorOutOfService(status="out_of_service")
    state = (await telemetry.connector_states(connector_ids=[connector.id])).get(connector.id)
    if state is None or not state.online:
        raise ConnectorOffline
    if state.status not in ("available", "preparing", "finishing"):
        raise ConnectorOutOfService(status=state.status)


async def _hold(
    connector: ConnectorView,
    plate_hash: bytes,
    booking: ReservationView | None,
    session_id: UUID,
    has_agreement: bool,
    departs_at: datetime | None,
    now: datetime,
) -> tuple[UUID, datetime]:
    """The claim under which the session runs, and when it ends."""
    if booking is not None:
        arrived = await bookings.check_in(reservation_id=booking.id, means="qr", now=now)
        return arrived.claim_id, arrived.ends_at
    longest = None if departs_at is None else max(departs_at - now, timedelta(minutes=1))
    until = await claims.walk_up_until(connector_id=connector.id, has_agreement=has_agreement, now=now)
    if longest is not None:
        until = min(until, now + longest)
    claim_id = await claims.claim(
        connector_id=connector.id,
        plate_hash=plate_hash,
        starts_at=now,
        ends_at=until,
        kind="walk_up",
        reference_id=session_id,
        now=now,
    )
    return claim_id, until


async def _lower_locks(connector: ConnectorView, claim_id: UUID, account_id: UUID, now: datetime) -> None:
    """A walk-up scan and a check-in lower the lock of the bay that the claim holds (domain.md "Booking")."""
    claim = await claims.find_claim(claim_id=claim_id)
    held = connector.bay_ids if claim is None or claim.bay_id is None else (claim.bay_id,)
    for bay_id in held:
        bay = await stations.get_bay(bay_id=bay_id)
        if bay.lock_device_id is not None:
            await bays.lower_lock(bay_id=bay_id, reason="session", actor=str(account_id), now=now)
