"""Corrections of bills: corrected readings or band energies through the same billing rule, the difference settled.

A bill under review is opened again with its corrected lines and closes as every other. A paid one keeps its payment:
less is refunded, more becomes a supplement the resident pays like the bill. Every change is a ledger entry of its own,
and a statement the bill stands in follows.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from backend.charging import store, store_corrections, store_orders
from backend.charging.rules.billing import Bill, MeterPoint
from backend.charging.rules.corrections import bill_by_band, readings_problem
from backend.charging.service import allowances, applying, metering, orders
from backend.charging.store_corrections import BillState, CorrectionView
from backend.charging.store_orders import OrderView
from backend.core import db
from backend.core.errors import Conflict, Invalid, NotFound
from backend.core.ids import new_id
from backend.payments.service import refunds
from backend.payments.service.refunds import AlreadyDecided, SecondPersonNeeded
from backend.stations import service as stations

__all__ = ["CorrectionView"]


class NotCorrectable(Conflict):
    """The bill is not final yet, or a correction of it waits."""

    code = "order_not_correctable"
    title_en = "The bill cannot be corrected now"
    title_zh = "订单当前不可更正"
    detail_en = "It is {why}."
    detail_zh = "原因：{why}。"


class CorrectionInvalid(Invalid):
    """The corrected values make no bill."""

    code = "correction_invalid"
    title_en = "The correction makes no bill"
    title_zh = "更正内容无效"
    detail_en = "{field}: {why}."
    detail_zh = "{field}：{why}。"


async def propose(
    *,
    order: OrderView,
    reason: str,
    actor_id: UUID,
    role: str,
    now: datetime,
    readings: Sequence[MeterPoint] | None = None,
    energy_wh: Mapping[str, int] | None = None,
    overstay_fee_fen: int | None = None,
) -> CorrectionView:
    """Correct a bill; above the company's limit it waits for a second person.

    The limit counts what was corrected on this bill without a second person before, so that nobody cuts a large
    correction into small ones. Give readings (start to end), or the energy of each band, or only another overstay
    fee. Prices cannot be given: they are those stored on the order.

    Raises NotCorrectable, CorrectionInvalid, RefundTooLarge.
    """
    async with db.transaction():
        present = await _lock(order.id)
        if present.status == "open":
            raise NotCorrectable(why="open until the car has left")
        lines = await _corrected(present, readings, energy_wh)
        after = await _after(present, lines, overstay_fee_fen)
        before = applying.state_of(present)
        if after == before and present.status != "review":
            raise CorrectionInvalid(field="readings", why="nothing would change")
        view = CorrectionView(
            id=new_id(),
            order_id=present.id,
            operator_company_id=present.operator_company_id,
            state="pending",
            reason=reason,
            before=before,
            after=after,
            difference_fen=after.total_fen - before.total_fen,
            requested_by=actor_id,
            requested_at=now,
            decided_by=None,
            decided_at=None,
            decision_note=None,
        )
        kept: Any = None if readings is None else [{"at": p.at, "meter_wh": p.meter_wh} for p in readings]
        if not await store_corrections.add_correction(view, readings=kept):
            raise NotCorrectable(why="waiting for a second person already")
        await applying.note(view, "order.correction_proposed", actor_id, role, now)
        limit = await refunds.second_person_above(operator_company_id=present.operator_company_id)
        alone = await store_corrections.moved_alone(present.id)
        if alone + _moved(before, after) <= limit:
            await applying.apply(present, view, actor_id=actor_id, role=role, now=now)
            await store_corrections.decide(view.id, state="applied", decided_by=None, note=None, now=now)
    return await _close_and_get(present, view.id, now)


async def approve(*, order: OrderView, correction_id: UUID, actor_id: UUID, role: str, now: datetime) -> CorrectionView:
    """Say yes as the second person. Raises NotFound, AlreadyDecided, SecondPersonNeeded, CorrectionStale."""
    async with db.transaction():
        present = await _lock(order.id)
        view = await _pending(present.id, correction_id)
        if view.requested_by == actor_id:
            raise SecondPersonNeeded
        await applying.apply(present, view, actor_id=actor_id, role=role, now=now)
        await store_corrections.decide(view.id, state="applied", decided_by=actor_id, note=None, now=now)
        await applying.note(view, "order.correction_approved", actor_id, role, now)
    return await _close_and_get(present, view.id, now)


async def reject(
    *, order: OrderView, correction_id: UUID, note: str, actor_id: UUID, role: str, now: datetime
) -> CorrectionView:
    """Say no (who proposed may take it back so). Raises NotFound, AlreadyDecided."""
    async with db.transaction():
        present = await _lock(order.id)
        view = await _pending(present.id, correction_id)
        await store_corrections.decide(view.id, state="rejected", decided_by=actor_id, note=note, now=now)
        await applying.note(view, "order.correction_rejected", actor_id, role, now)
    return await _get(view.id)


async def list_corrections(*, order_id: UUID) -> list[CorrectionView]:
    """Return every correction of a bill, oldest first; the caller has checked whose bill it is."""
    return await store_corrections.list_corrections(order_id)


def _moved(before: BillState, after: BillState) -> int:
    """By how much the fees change, each for itself: a discount on the bill hides no movement."""
    names = ("energy_fee_fen", "service_fee_fen", "overstay_fee_fen")
    return sum(abs(getattr(after, name) - getattr(before, name)) for name in names)


async def _corrected(
    order: OrderView, readings: Sequence[MeterPoint] | None, energy_wh: Mapping[str, int] | None
) -> Bill:
    session = await store.find_session(order.session_id)
    if session is None:
        raise NotFound(kind="session")
    if readings is not None:
        if (why := readings_problem(readings)) is not None:
            raise CorrectionInvalid(field="readings", why=why)
        return metering.price(session, readings, allowance=await allowances.allowance_again(session, order.lines))
    if energy_wh is not None:
        prices: dict[str, tuple[int, int]] = {}
        for band in order.tariff.bands:
            known = prices.setdefault(band.name, (band.energy_e4, band.service_e4))
            if known != (band.energy_e4, band.service_e4) and band.name in energy_wh:
                raise CorrectionInvalid(field="energy_wh", why=f"{band.name} has several prices: give readings")
        try:
            bill = bill_by_band(energy_wh, prices, capped=order.user_class == "agreement")
        except KeyError as error:
            raise CorrectionInvalid(field="energy_wh", why=f"the tariff has no band {error.args[0]}") from error
        return metering.free(bill, await allowances.allowance_again(session, order.lines))
    return Bill(lines=order.lines)


async def _after(order: OrderView, bill: Bill, overstay_fee_fen: int | None) -> BillState:
    overstay = order.overstay_fee_fen
    if overstay_fee_fen is not None:
        station = await stations.get_station(station_id=order.station_id)
        if order.status == "review" or overstay_fee_fen > station.settings.overstay_cap_fen:
            raise CorrectionInvalid(field="overstay_fee_fen", why="it follows from the stay, up to the station's cap")
        overstay = overstay_fee_fen
    elif bill.energy_wh == 0:
        overstay = 0
    return await applying.bill_state(order, bill, overstay_fee_fen=overstay)


async def _lock(order_id: UUID) -> OrderView:
    order = await store_orders.find_order(order_id, lock=True)
    if order is None:
        raise NotFound(kind="order")
    return order


async def _pending(order_id: UUID, correction_id: UUID) -> CorrectionView:
    view = await store_corrections.find_correction(correction_id, lock=True)
    if view is None or view.order_id != order_id:
        raise NotFound(kind="correction")
    if view.state != "pending":
        raise AlreadyDecided(state=view.state)
    return view


async def _get(correction_id: UUID) -> CorrectionView:
    view = await store_corrections.find_correction(correction_id)
    if view is None:
        raise NotFound(kind="correction")
    return view


async def _close_and_get(order: OrderView, correction_id: UUID, now: datetime) -> CorrectionView:
    if order.status == "review":
        await orders.close_if_due(session_id=order.session_id, now=now)
    return await _get(correction_id)
