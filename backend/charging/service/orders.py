"""Bills: settled from the readings when a session has ended, closed when the car has left, paid, disputed."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from backend.charging import store, store_orders
from backend.charging.events import OrderClosed
from backend.charging.rules.billing import Bill
from backend.charging.rules.overstay import OverstayTerms, ZoneLook, charged_from, overstay_fee_fen
from backend.charging.rules.parking import parking_fee_fen
from backend.charging.rules.settling import Evidence, decide_settlement, next_try
from backend.charging.rules.words import kwh, yuan
from backend.charging.service import allowances, credits, metering, statements, supplements
from backend.charging.service.sessions import SessionTimer
from backend.charging.store import SessionView
from backend.charging.store_orders import DisputeView, OrderView
from backend.core import audit, db, jobs
from backend.core.errors import Conflict, NotFound
from backend.core.ids import new_id
from backend.core.services import Services
from backend.notifications import service as notifications
from backend.payments import service as payments
from backend.payments.service import PaymentSheet, ledger
from backend.reservations.service import claims
from backend.stations import service as stations
from backend.stations.rules.settings import StationSettings
from backend.telemetry import service as telemetry

__all__ = ["DisputeView", "OrderView", "kwh", "yuan"]

CLOSING = (
    "overstay_fee_fen",
    "parking_fee_fen",
    "parked_until_at",
    "discount_fen",
    "total_fen",
    "status",
    "closed_at",
)
"""What closing an order writes."""


class OrderNotPayable(Conflict):
    """The bill is not (or no longer) to be paid."""

    code = "order_not_payable"
    title_en = "The bill cannot be paid now"
    title_zh = "订单当前不可支付"
    detail_en = "Its status is {status}: open ends when the car has left, review when a person has looked at it."
    detail_zh = "订单状态为 {status}：车辆驶离后生成最终账单，复核中的订单须等待处理。"


class DisputeOpen(Conflict):
    """The bill is disputed already."""

    code = "dispute_open"
    title_en = "The bill is disputed already"
    title_zh = "该订单已有申诉"
    detail_en = "Wait for the operator's answer before you dispute it again."
    detail_zh = "请等待运营方答复后再次申诉。"


class NothingToDecide(Conflict):
    """The order is not in the state the operator wants to decide on."""

    code = "order_nothing_to_decide"
    title_en = "There is nothing to decide"
    title_zh = "无需处理"
    detail_en = "The order has no open {what}."
    detail_zh = "该订单没有待处理的{what}。"


def terms_of(settings: StationSettings) -> OverstayTerms:
    """The station's own overstay numbers."""
    return OverstayTerms(
        grace_s=settings.overstay_grace_s,
        fen_per_min=settings.overstay_fee_fen_per_min,
        cap_fen=settings.overstay_cap_fen,
        free_from_min=settings.overstay_free_from_min,
        free_to_min=settings.overstay_free_to_min,
    )


async def settle(*, session_id: UUID, now: datetime) -> OrderView | None:
    """Bill an ended session from its readings, wait for those that are late, or hand it to a person.

    Returns the order once there is one; settling twice gives the same order. Nothing is guessed: a rollback, a reset
    or a gap over a price change goes to review with its reasons.
    """
    session = await store.find_session(session_id)
    if session is None or session.status != "ended" or session.ended_at is None:
        return None
    present = await store_orders.find_order_of_session(session_id)
    if present is not None:
        return present
    measured = await metering.measure(session, until=now)
    states = await telemetry.connector_states(connector_ids=[session.connector_id])
    state = states.get(session.connector_id)
    age = now - session.ended_at
    verdict, reasons = decide_settlement(
        Evidence(
            age=age,
            has_start=measured.start is not None,
            has_end=session.end_meter_wh is not None
            or (bool(measured.points) and measured.points[-1].at >= session.ended_at),
            has_reading_after_end=measured.has_reading_after_end,
            doubts=measured.doubts,
            online=state is not None and state.online,
            end_unclear=session.end_unclear,
        )
    )
    if verdict == "wait":
        async with db.transaction():
            await jobs.schedule("charging.settle_again", SessionTimer(session_id), due_at=now + next_try(age), now=now)
        return None
    async with db.transaction():
        bill = Bill(lines=())
        period = await allowances.period_of(session, lock=True)
        if verdict == "bill":
            bill = metering.price(session, measured.points, allowance=await allowances.left_of(period))
        order = new_order(session, bill, reasons, await fee_from(session), now)
        if not await store_orders.add_order(order):
            return await store_orders.find_order_of_session(session_id)
        await statements.expect(session, period=period, now=now)
    closed = await close_if_due(session_id=session_id, now=now) if verdict == "bill" else None
    return closed or order


def new_order(
    session: SessionView, bill: Bill, reasons: Sequence[str], overstay_from_at: datetime, now: datetime
) -> OrderView:
    """The order of an ended session: `open` until the car has left, or under `review` for these reasons."""
    return OrderView(
        id=new_id(),
        session_id=session.id,
        account_id=session.account_id,
        operator_company_id=session.operator_company_id,
        station_id=session.station_id,
        user_class=session.user_class,
        tariff=session.tariff,
        status="review" if reasons else "open",
        energy_wh=bill.energy_wh,
        energy_fee_fen=bill.energy_fee_fen,
        service_fee_fen=bill.service_fee_fen,
        total_fen=bill.total_fen,
        review_reasons=tuple(reasons),
        starts_at=session.started_at,
        ends_at=session.ended_at,
        overstay_from_at=overstay_from_at,
        opened_at=now,
        lines=bill.lines,
    )


async def fee_from(session: SessionView) -> datetime:
    """From when the car's stay may cost: a booking's own end counts, a walk-up has no booked time."""
    station = await stations.get_station(station_id=session.station_id)
    ended_at = session.ended_at or session.requested_at
    booked_until = session.limit_at if session.reservation_id is not None else None
    return charged_from(charging_ended_at=ended_at, booked_until=booked_until, terms=terms_of(station.settings))


async def current_overstay_fee(session: SessionView, *, overstay_from_at: datetime, until: datetime) -> int:
    """The overstay fee from what was seen of the zone up to `until` (the car's leaving, where it is known)."""
    station = await stations.get_station(station_id=session.station_id)
    return await _overstay_fee(session, station.settings, overstay_from_at=overstay_from_at, until=until)


async def _overstay_fee(
    session: SessionView, settings: StationSettings, *, overstay_from_at: datetime, until: datetime
) -> int:
    looks = [ZoneLook(look.at, look.other_free) for look in await store.list_looks(session.id)]
    upto = until if session.left_at is None else min(until, session.left_at)
    return overstay_fee_fen(looks=looks, from_at=overstay_from_at, until=upto, terms=terms_of(settings))


def parking_fee(session: SessionView, *, until: datetime) -> int:
    """The parking fee of the car from the start of charging to its leaving, or to `until` where it is still there.

    Before the start nothing tells that the car stood there, and what is not known is not charged.
    """
    if session.started_at is None:
        return 0
    terms = session.tariff.parking
    return parking_fee_fen(
        from_at=session.started_at,
        until=until if session.left_at is None else min(until, session.left_at),
        free_min=terms.free_min,
        fen_per_hour=terms.fen_per_hour,
        day_cap_fen=terms.day_cap_fen,
    )


async def close_if_due(*, session_id: UUID, now: datetime) -> OrderView | None:
    """Close an open order when the car has left or the overstay fee has reached its cap; None while neither is so."""
    async with db.transaction():
        session = await store.find_session(session_id, lock=True)
        order = await store_orders.find_order_of_session(session_id, lock=True)
        if session is None or order is None or order.status != "open":
            return None
        station = await stations.get_station(station_id=session.station_id)
        fee = await _overstay_fee(session, station.settings, overstay_from_at=order.overstay_from_at or now, until=now)
        cap_reached = fee >= station.settings.overstay_cap_fen > 0
        if session.left_at is None and not cap_reached:
            return None
        parked_until = session.left_at or now
        parking = parking_fee(session, until=parked_until)
        if order.energy_wh == 0:
            fee = parking = 0  # a session without energy costs nothing at all
        order = msgspec.structs.replace(order, parking_fee_fen=parking, parked_until_at=parked_until)
        total = order.energy_fee_fen + order.service_fee_fen + fee + parking - order.discount_fen
        discount = await credits.take(
            account_id=order.account_id,
            operator_company_id=order.operator_company_id,
            order_id=order.id,
            most_fen=total,
            now=now,
        )
        order = msgspec.structs.replace(order, discount_fen=order.discount_fen + discount)
        return await _close(order, overstay_fee_fen=fee, total_fen=total - discount, station_name=station.name, now=now)


async def _close(
    order: OrderView, *, overstay_fee_fen: int, total_fen: int, station_name: str, now: datetime
) -> OrderView:
    order = msgspec.structs.replace(
        order,
        overstay_fee_fen=overstay_fee_fen,
        total_fen=total_fen,
        status="unpaid" if total_fen > 0 else "free",
        closed_at=now,
    )
    await store_orders.save_order(order.id, {name: getattr(order, name) for name in CLOSING})
    if total_fen > 0 or order.discount_fen > 0:
        await ledger.post_entry(
            kind="order_closed",
            reference_id=order.id,
            legs=[
                (account, amount)
                for account, amount in (
                    ("receivable", total_fen),
                    ("discount", order.discount_fen),
                    ("energy_fee", -order.energy_fee_fen),
                    ("service_fee", -order.service_fee_fen),
                    ("overstay_fee", -overstay_fee_fen),
                    ("parking_fee", -order.parking_fee_fen),
                )
                if amount
            ],
            operator_company_id=order.operator_company_id,
            now=now,
        )
    await jobs.emit(
        OrderClosed(
            order_id=order.id,
            session_id=order.session_id,
            account_id=order.account_id,
            operator_company_id=order.operator_company_id,
            station_id=order.station_id,
            total_fen=total_fen,
            at=now,
        ),
        now=now,
    )
    if total_fen > 0:
        await notifications.notify(
            recipient=order.account_id,
            event_key=f"order:{order.id}:ready",
            template="order_ready",
            params={"station": station_name, "energy_kwh": kwh(order.energy_wh), "total_yuan": yuan(total_fen)},
            safety=False,
            now=now,
        )
    return order


async def car_left(*, session_id: UUID, at: datetime, now: datetime) -> None:
    """The bay of an ended session is empty: note it, give the connector back and close the bill."""
    async with db.transaction():
        session = await store.find_session(session_id, lock=True)
        if session is None or session.status != "ended" or session.left_at is not None:
            return
        left_at = max(at, session.ended_at or at)
        await store.save_session(session_id, {"left_at": left_at})
        if session.claim_id is not None:
            await claims.release_claim(claim_id=session.claim_id, now=now)
    await close_if_due(session_id=session_id, now=now)


async def get_order(*, order_id: UUID, account_id: UUID) -> OrderView:
    """Return the account's order; raises NotFound, also for another resident's."""
    order = await store_orders.find_order(order_id)
    if order is None or order.account_id != account_id:
        raise NotFound(kind="order")
    return order


async def get_company_order(*, order_id: UUID, company_ids: frozenset[UUID]) -> OrderView:
    """Return an order of one of these operator companies; raises NotFound."""
    order = await store_orders.find_order(order_id)
    if order is None or order.operator_company_id not in company_ids:
        raise NotFound(kind="order")
    return order


async def list_orders(
    *,
    account_id: UUID | None = None,
    company_ids: frozenset[UUID] | None = None,
    status: str | None = None,
    before: UUID | None = None,
    limit: int,
) -> list[OrderView]:
    """Return orders of an account or of operator companies, newest first."""
    return await store_orders.list_orders(
        account_id=account_id, company_ids=company_ids, status=status, before=before, limit=limit
    )


async def find_order_of_session(*, session_id: UUID) -> OrderView | None:
    """Return the order of a session, or None before it is settled."""
    return await store_orders.find_order_of_session(session_id)


async def pay_order(
    *, order_id: UUID, account_id: UUID, channel: str, services: Services, now: datetime
) -> PaymentSheet:
    """Begin to pay an order; returns the parameters of the payment sheet. Raises NotFound, OrderNotPayable."""
    order = await get_order(order_id=order_id, account_id=account_id)
    supplement = await supplements.find_unpaid(subject_id=order_id) if order.status == "paid" else None
    if order.status != "unpaid" and supplement is None:
        raise OrderNotPayable(status=order.status)
    station = await stations.get_station(station_id=order.station_id)
    return await payments.start_payment(
        order_id=order.id if supplement is None else supplement.id,
        operator_company_id=order.operator_company_id,
        account_id=account_id,
        amount_fen=order.total_fen if supplement is None else supplement.amount_fen,
        description=f"邻里充电 {station.name}",
        channel=channel,
        services=services,
        now=now,
    )


async def mark_paid(*, order_id: UUID, payment_id: UUID, amount_fen: int, now: datetime) -> None:
    """The provider confirmed a payment: the order is paid and its resident told; told twice, it changes nothing."""
    async with db.transaction():
        order = await store_orders.find_order(order_id, lock=True)
        if order is None:
            await supplements.mark_paid(supplement_id=order_id, payment_id=payment_id, now=now)
            return
        if order.status == "free" and await supplements.was_corrected(order_id=order_id):
            # Corrected to nothing while the payment was under way.
            await supplements.settle_amount(
                of="order", subject_id=order_id, payment_id=payment_id, paid_fen=amount_fen, total_fen=0, now=now
            )
            return
        if order.status != "unpaid":
            return
        if amount_fen != order.total_fen and not await supplements.was_corrected(order_id=order_id):
            raise ValueError(f"payment {payment_id} of {amount_fen} fen does not pay order {order_id}")
        await store_orders.save_order(order_id, {"status": "paid", "paid_at": now, "payment_id": payment_id})
        await supplements.settle_amount(
            of="order",
            subject_id=order_id,
            payment_id=payment_id,
            paid_fen=amount_fen,
            total_fen=order.total_fen,
            now=now,
        )
        await notifications.notify(
            recipient=order.account_id,
            event_key=f"order:{order_id}:paid",
            template="order_paid",
            params={"total_yuan": yuan(order.total_fen)},
            safety=False,
            now=now,
        )


async def dispute_order(*, order_id: UUID, account_id: UUID, reason: str, now: datetime) -> DisputeView:
    """Object to a bill; the operator sees it and answers. Raises NotFound, DisputeOpen."""
    order = await get_order(order_id=order_id, account_id=account_id)
    async with db.transaction():
        dispute = await store_orders.add_dispute(order_id, account_id, reason, now)
        if dispute is None:
            raise DisputeOpen
        await audit.record(
            actor_id=account_id,
            actor_role="resident",
            action="order.disputed",
            object_kind="order",
            object_id=order_id,
            detail={"dispute_id": str(dispute.id)},
            now=now,
            operator_company_id=order.operator_company_id,
        )
    return dispute


async def list_disputes(*, order_id: UUID) -> list[DisputeView]:
    """Return the disputes of an order, oldest first."""
    return await store_orders.list_disputes(order_id)


async def answer_dispute(*, order: OrderView, answer: str, actor_id: UUID, role: str, now: datetime) -> DisputeView:
    """Answer a resident's objection; raises NothingToDecide where there is none open."""
    async with db.transaction():
        dispute = await store_orders.answer_dispute(order.id, answer, actor_id, now)
        if dispute is None:
            raise NothingToDecide(what="dispute")
        await audit.record(
            actor_id=actor_id,
            actor_role=role,
            action="order.dispute_answered",
            object_kind="order",
            object_id=order.id,
            detail={"dispute_id": str(dispute.id)},
            now=now,
            operator_company_id=order.operator_company_id,
        )
    return dispute


async def write_off(*, order: OrderView, reason: str, actor_id: UUID, role: str, now: datetime) -> OrderView:
    """Close an order under review without charge: what cannot be measured is not billed. Raises NothingToDecide."""
    async with db.transaction():
        present = await store_orders.find_order(order.id, lock=True)
        if present is None or present.status != "review":
            raise NothingToDecide(what="review")
        station = await stations.get_station(station_id=present.station_id)
        closed = await _close(present, overstay_fee_fen=0, total_fen=0, station_name=station.name, now=now)
        await audit.record(
            actor_id=actor_id,
            actor_role=role,
            action="order.written_off",
            object_kind="order",
            object_id=order.id,
            detail={"reasons": list(present.review_reasons), "note": reason},
            now=now,
            operator_company_id=order.operator_company_id,
        )
    return closed
