"""Write a corrected bill: its lines, its ledger entry, the difference, the statement it stands in, and the message."""

from datetime import datetime
from uuid import UUID

import msgspec

from backend.charging import store, store_corrections, store_orders
from backend.charging.rules.billing import Bill
from backend.charging.rules.words import yuan
from backend.charging.service import allowances, orders, restating, supplements
from backend.charging.store_corrections import BillState, CorrectionView
from backend.charging.store_orders import OrderView
from backend.core import audit
from backend.core.errors import Conflict, NotFound
from backend.notifications import service as notifications
from backend.payments.service import ledger
from backend.stations import service as stations
from backend.tariffs.rules.bands import PriceSnapshot


class CorrectionStale(Conflict):
    """The bill, or what is left of its package, changed after the correction was computed."""

    code = "correction_stale"
    title_en = "The bill has changed since"
    title_zh = "订单已发生变化"
    detail_en = "Reject this correction and make a new one."
    detail_zh = "请驳回后重新发起更正。"


def state_of(order: OrderView) -> BillState:
    """Return what a bill says now."""
    return BillState(**{name: getattr(order, name) for name in BillState.__struct_fields__})


async def bill_state(
    order: OrderView, bill: Bill, *, overstay_fee_fen: int, tariff: PriceSnapshot | None = None
) -> BillState:
    """Return what a bill with these lines and this overstay fee says, at its own or at other parking terms.

    Parking is that of the whole stay again, and nothing where no energy was taken; a discount never passes the fees.
    """
    session = await store.find_session(order.session_id)
    if session is None:
        raise NotFound(kind="session")
    if tariff is not None:
        session = msgspec.structs.replace(session, tariff=tariff)
    parking = 0
    if bill.energy_wh and order.parked_until_at is not None:
        parking = orders.parking_fee(session, until=order.parked_until_at)
    gross = bill.total_fen + overstay_fee_fen + parking
    discount = min(order.discount_fen, gross)
    return BillState(
        energy_wh=bill.energy_wh,
        energy_fee_fen=bill.energy_fee_fen,
        service_fee_fen=bill.service_fee_fen,
        overstay_fee_fen=overstay_fee_fen,
        parking_fee_fen=parking,
        discount_fen=discount,
        total_fen=gross - discount,
        lines=bill.lines,
    )


async def apply(
    order: OrderView,
    view: CorrectionView,
    *,
    actor_id: UUID,
    role: str,
    now: datetime,
    tariff: PriceSnapshot | None = None,
) -> None:
    """Make the bill of a locked order say `view.after`, with all that follows, in the caller's transaction.

    `tariff` where other prices are right. Raises CorrectionStale, RefundTooLarge.
    """
    await _check_fresh(order, view)
    after = view.after
    status = order.status
    if status == "review":
        status = "open"
    elif status not in ("paid", "open"):
        status = "unpaid" if after.total_fen > 0 else "free"
    await store_corrections.remove_lines(order.id)
    await store_orders.add_lines(order.id, after.lines)
    values = {name: getattr(after, name) for name in BillState.__struct_fields__ if name != "lines"}
    await store_orders.save_order(order.id, {**values, "status": status})
    if tariff is not None:
        await use_tariff(order, tariff)
    if order.closed_at is not None:
        await _post(order, view, now)
        await restating.restate(order=order, correction_id=view.id, actor_id=actor_id, role=role, now=now)
    if order.status == "paid":
        await supplements.settle_difference(
            of="order",
            subject_id=order.id,
            payment_id=order.payment_id,
            difference_fen=view.difference_fen,
            key=view.id,
            actor_id=actor_id,
            role=role,
            now=now,
        )
    if view.tariff_correction_id is None:
        await store_orders.answer_dispute(order.id, view.reason, actor_id, now)
    await note(view, "order.corrected", actor_id, role, now)
    if order.closed_at is not None:
        await _tell(order, view, now)


async def note(view: CorrectionView, action: str, actor_id: UUID, role: str, now: datetime) -> None:
    """Put a step of a correction into the audit log."""
    await audit.record(
        actor_id=actor_id,
        actor_role=role,
        action=action,
        object_kind="order",
        object_id=view.order_id,
        detail={"correction_id": str(view.id), "difference_fen": view.difference_fen},
        now=now,
        operator_company_id=view.operator_company_id,
    )


async def use_tariff(order: OrderView, tariff: PriceSnapshot) -> None:
    """Put the right prices on an order and its session: what is computed again later uses them."""
    text = msgspec.json.encode(tariff).decode()
    await store_orders.save_order(order.id, {"tariff": text})
    await store.save_session(order.session_id, {"tariff": text})


async def _check_fresh(order: OrderView, view: CorrectionView) -> None:
    """Refuse what was computed from another bill, or frees more energy than its package has left by now."""
    if state_of(order) != view.before:
        raise CorrectionStale
    session = await store.find_session(order.session_id)
    if session is None:
        raise NotFound(kind="session")
    left = await allowances.allowance_of(session, lock=True)
    freed = sum(line.included_wh for line in view.after.lines)
    own = sum(line.included_wh for line in order.lines)
    if freed > own + (0 if left is None else left.left_wh):
        raise CorrectionStale


async def _post(order: OrderView, view: CorrectionView, now: datetime) -> None:
    before, after = view.before, view.after
    legs = [
        ("receivable", after.total_fen - before.total_fen),
        ("discount", after.discount_fen - before.discount_fen),
        ("energy_fee", before.energy_fee_fen - after.energy_fee_fen),
        ("service_fee", before.service_fee_fen - after.service_fee_fen),
        ("overstay_fee", before.overstay_fee_fen - after.overstay_fee_fen),
        ("parking_fee", before.parking_fee_fen - after.parking_fee_fen),
    ]
    moved = [leg for leg in legs if leg[1]]
    if moved:
        await ledger.post_entry(
            kind="order_corrected",
            reference_id=view.id,
            legs=moved,
            operator_company_id=order.operator_company_id,
            now=now,
        )


async def _tell(order: OrderView, view: CorrectionView, now: datetime) -> None:
    """Tell the resident what the bill says now, and that money comes back or more is to be paid."""
    station = await stations.get_station(station_id=order.station_id)
    template = "order_corrected"
    params: dict[str, str | int] = {
        "station": station.name,
        "before_yuan": yuan(view.before.total_fen),
        "total_yuan": yuan(view.after.total_fen),
    }
    if order.status == "paid" and view.difference_fen:
        template = "order_corrected_back" if view.difference_fen < 0 else "order_corrected_more"
        params = {"station": station.name, "total_yuan": yuan(view.after.total_fen)}
        params["difference_yuan"] = yuan(abs(view.difference_fen))
    await notifications.notify(
        recipient=order.account_id,
        event_key=f"order-correction:{view.id}",
        template=template,
        params=params,
        safety=False,
        now=now,
    )
