"""A mispublished tariff version is corrected over its orders: an entry for each, money settled, people told.

What was right is said by another version of the same scope, drafted, checked and approved like any other. A second
person agrees; then a job goes through the orders, each in a transaction of its own, so that it may stop anywhere and
go on. Orders that close later are corrected as they close. domain.md, Money.
"""

from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from backend.charging import store, store_corrections, store_orders
from backend.charging import store_tariff_corrections as items
from backend.charging.rules.billing import Bill, MeterPoint
from backend.charging.rules.repricing import reprice
from backend.charging.service import allowances, applying, metering
from backend.charging.store import SessionView
from backend.charging.store_corrections import CorrectionView
from backend.charging.store_orders import OrderView
from backend.charging.store_tariff_corrections import CorrectedOrder, Progress, TariffCorrectionView
from backend.core import audit, db, jobs
from backend.core.errors import Conflict, DomainError, Invalid, NotFound
from backend.core.ids import new_id
from backend.payments.service import RefundTooLarge
from backend.payments.service.refunds import AlreadyDecided, SecondPersonNeeded
from backend.tariffs import service as tariffs
from backend.tariffs.rules.bands import PriceSnapshot
from backend.tariffs.rules.diff import same_bands
from backend.tariffs.rules.versions import TariffVersionView, snapshot_of

BATCH = 25
ESTIMATED = 2_000
"""Up to so many orders the difference is worked out before anybody agrees to it."""


class TariffCorrectionDue(msgspec.Struct, frozen=True, kw_only=True):
    """Payload of the job that goes through the orders."""

    correction_id: UUID


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """What a correction would do now; the difference is null where readings have to be billed again, or of too many."""

    orders: int
    difference_fen: int | None


class TariffNotCorrectable(Conflict):
    """The version has a correction already, or was never in force."""

    code = "tariff_not_correctable"
    title_en = "The version cannot be corrected"
    title_zh = "该价格版本不可更正"
    detail_en = "It is {why}."
    detail_zh = "原因：{why}。"


class ReplacementInvalid(Invalid):
    """The version that should say what was right does not fit."""

    code = "replacement_invalid"
    title_en = "The replacement does not fit"
    title_zh = "替代版本不符"
    detail_en = "{field}: right is {right}."
    detail_zh = "{field} 应为：{right}。"


class HeldForAPerson(DomainError):
    """An order that cannot be corrected by itself; `why` is kept with it."""

    code = "order_held"


async def propose(
    *,
    company_ids: frozenset[UUID],
    version_id: UUID,
    replacement_id: UUID,
    reason: str,
    actor_id: UUID,
    role: str,
    now: datetime,
) -> TariffCorrectionView:
    """Ask for the orders of a version to be billed by another one; raises NotFound, TariffNotCorrectable,
    ReplacementInvalid.
    """
    version = await tariffs.get_version(version_id=version_id, company_ids=company_ids)
    replacement = await tariffs.get_version(version_id=replacement_id, company_ids=company_ids)
    if version.published_at is None or version.effective_from == version.effective_to:
        raise TariffNotCorrectable(why="never in force: edit the draft, or retire it")
    same = (version.operator_company_id, version.scope_id, version.supply_class)
    if same != (replacement.operator_company_id, replacement.scope_id, replacement.supply_class):
        raise ReplacementInvalid(field="replacement_id", right="a version of the same scope and supply class")
    if replacement.id == version.id or replacement.approved_at is None:
        raise ReplacementInvalid(field="replacement_id", right="another version, approved by a second person")
    view = TariffCorrectionView(
        id=new_id(),
        operator_company_id=version.operator_company_id,
        version_id=version_id,
        replacement_id=replacement_id,
        reason=reason,
        state="pending",
        requested_by=actor_id,
        requested_at=now,
    )
    async with db.transaction():
        if not await items.add(view):
            raise TariffNotCorrectable(why="corrected already, or a correction of it waits for a second person")
        await _note(view, "tariff.correction_proposed", actor_id, role, now)
    return view


async def estimate(*, correction: TariffCorrectionView) -> Estimate:
    """Return how many orders a correction touches and what it moves altogether, discounts and parking aside."""
    found = await items.order_ids_of_version(correction.version_id, ESTIMATED + 1)
    version, replacement = await _versions(correction)
    if len(found) > ESTIMATED or not same_bands(version.spans, replacement.spans):
        return Estimate(orders=len(found), difference_fen=None)
    total = 0
    for order_id in found:
        order = await store_orders.find_order(order_id)
        if order is not None and order.lines:
            bill = _repriced(order, snapshot_of(replacement, order.user_class))
            total += bill.total_fen - order.energy_fee_fen - order.service_fee_fen
    return Estimate(orders=len(found), difference_fen=total)


async def approve(
    *, correction_id: UUID, company_ids: frozenset[UUID], actor_id: UUID, role: str, now: datetime
) -> TariffCorrectionView:
    """Say yes as the second person, and begin. Raises NotFound, AlreadyDecided, SecondPersonNeeded."""
    async with db.transaction():
        view = await _pending(correction_id, company_ids)
        if view.requested_by == actor_id:
            raise SecondPersonNeeded
        await items.decide(view.id, state="approved", decided_by=actor_id, note=None, now=now)
        await items.collect(view)
        await _schedule(view.id, now)
        await _note(view, "tariff.correction_approved", actor_id, role, now)
    return await get_correction(correction_id=correction_id, company_ids=company_ids)


async def reject(
    *, correction_id: UUID, company_ids: frozenset[UUID], note: str, actor_id: UUID, role: str, now: datetime
) -> TariffCorrectionView:
    """Say no (who proposed may take it back so). Raises NotFound, AlreadyDecided."""
    async with db.transaction():
        view = await _pending(correction_id, company_ids)
        await items.decide(view.id, state="rejected", decided_by=actor_id, note=note, now=now)
        await _note(view, "tariff.correction_rejected", actor_id, role, now)
    return await get_correction(correction_id=correction_id, company_ids=company_ids)


async def resume(*, correction_id: UUID, company_ids: frozenset[UUID], now: datetime) -> TariffCorrectionView:
    """Try the held orders again, after a person looked at them; raises NotFound, TariffNotCorrectable."""
    view = await get_correction(correction_id=correction_id, company_ids=company_ids)
    if view.state != "approved":
        raise TariffNotCorrectable(why="not approved")
    async with db.transaction():
        await items.release_held(view.id)
        await items.collect(view)
        await _schedule(view.id, now)
    return view


async def get_correction(*, correction_id: UUID, company_ids: frozenset[UUID]) -> TariffCorrectionView:
    """Return a correction of these companies; raises NotFound."""
    view = await items.find(correction_id)
    if view is None or view.operator_company_id not in company_ids:
        raise NotFound(kind="tariff_correction")
    return view


async def list_corrections(
    *, company_ids: frozenset[UUID], before: UUID | None, limit: int
) -> list[TariffCorrectionView]:
    """Return the companies' corrections, newest first."""
    return await items.list_of_companies(sorted(company_ids), before, limit)


async def list_orders(
    *, correction: TariffCorrectionView, state: str | None, before: UUID | None, limit: int
) -> list[CorrectedOrder]:
    """Return the orders of a correction and what became of each, newest first."""
    return await items.list_items(correction.id, state=state, before=before, limit=limit)


async def progress_of(*, correction: TariffCorrectionView) -> Progress:
    """Return how far a correction is."""
    return await items.progress(correction.id)


async def work(*, correction_id: UUID, now: datetime) -> None:
    """Correct the next orders of the list, and come again while there are more; safe to run twice and after a crash."""
    correction = await items.find(correction_id)
    if correction is None or correction.state != "approved":
        return
    version, replacement = await _versions(correction)
    reprices = same_bands(version.spans, replacement.spans)
    waiting = await items.list_waiting(correction_id, BATCH)
    for item in waiting:
        try:
            await _correct(item, correction, replacement, reprices=reprices, now=now)
        except (HeldForAPerson, RefundTooLarge) as error:
            why = str(error.params["why"]) if isinstance(error, HeldForAPerson) else error.code
            async with db.transaction():
                await items.settle_item(item.id, now, state="held", problem=why)
    if len(waiting) == BATCH:
        async with db.transaction():
            await _schedule(correction_id, now)


async def look_again(*, now: datetime) -> None:
    """Put orders that came later on the lists and go on where work was left."""
    for correction in await items.list_approved():
        async with db.transaction():
            await items.collect(correction)
            if await items.list_waiting(correction.id, 1):
                await _schedule(correction.id, now)


async def order_closed(*, order_id: UUID, now: datetime) -> None:
    """An order closed: where its version was corrected meanwhile, it is corrected too."""
    order = await store_orders.find_order(order_id)
    correction = None if order is None else await items.find_approved(order.tariff.version_id)
    if correction is not None:
        async with db.transaction():
            await items.collect(correction)
            await _schedule(correction.id, now)


async def _correct(
    item: CorrectedOrder,
    correction: TariffCorrectionView,
    replacement: TariffVersionView,
    *,
    reprices: bool,
    now: datetime,
) -> None:
    async with db.transaction():
        seen = await store_orders.find_order(item.order_id)
        session = None if seen is None else await store.find_session(seen.session_id, lock=True)
        order = await store_orders.find_order(item.order_id, lock=True)
        present = await items.lock_item(item.id)
        if order is None or session is None or present is None or present.state != "waiting":
            return
        if order.tariff.version_id != correction.version_id:
            await items.settle_item(item.id, now, state="unchanged")
            return
        tariff = snapshot_of(replacement, order.user_class)
        before = applying.state_of(order)
        after = before
        if order.status != "review":
            bill = _repriced(order, tariff) if reprices else await _rebilled(order, session, tariff, now)
            after = await applying.bill_state(order, bill, overstay_fee_fen=order.overstay_fee_fen, tariff=tariff)
        if after == before:
            await applying.use_tariff(order, tariff)
            await items.settle_item(item.id, now, state="unchanged")
            return
        view = CorrectionView(
            id=new_id(),
            order_id=order.id,
            operator_company_id=order.operator_company_id,
            state="applied",
            reason=correction.reason,
            before=before,
            after=after,
            difference_fen=after.total_fen - before.total_fen,
            requested_by=correction.requested_by,
            requested_at=correction.requested_at,
            decided_by=correction.decided_by,
            decided_at=now,
            decision_note=None,
            tariff_correction_id=correction.id,
        )
        if not await store_corrections.add_correction(view, readings=None):
            raise HeldForAPerson(why="corrected_before")
        actor_id = correction.decided_by or correction.requested_by
        await applying.apply(order, view, actor_id=actor_id, role="operator", now=now, tariff=tariff)
        await items.settle_item(
            item.id, now, state="applied", order_correction_id=view.id, difference_fen=view.difference_fen
        )


def _repriced(order: OrderView, tariff: PriceSnapshot) -> Bill:
    prices = {band.name: (band.energy_e4, band.service_e4) for band in tariff.bands}
    return reprice(order.lines, {str(name): price for name, price in prices.items()}, capped=_capped(order))


def _capped(order: OrderView) -> bool:
    return order.user_class == "agreement"


async def _rebilled(order: OrderView, session: SessionView, tariff: PriceSnapshot, now: datetime) -> Bill:
    """Bill the readings again over other bands: those of its newest correction, else what the charger sent."""
    readings = await store_corrections.find_readings(order.id)
    if readings is None:
        if await store_corrections.stated_by_band(order.id):
            raise HeldForAPerson(why="energy_was_stated_by_band")
        readings = [] if order.energy_wh == 0 else list((await metering.measure(session, until=now)).points)
    session = msgspec.structs.replace(session, tariff=tariff)
    bill = metering.price(
        session,
        [MeterPoint(point.at, point.meter_wh) for point in readings],
        allowance=await allowances.allowance_again(session, order.lines),
    )
    if bill.energy_wh != order.energy_wh:
        raise HeldForAPerson(why="readings_gone")
    return bill


async def _versions(correction: TariffCorrectionView) -> tuple[TariffVersionView, TariffVersionView]:
    own = frozenset({correction.operator_company_id})
    return (
        await tariffs.get_version(version_id=correction.version_id, company_ids=own),
        await tariffs.get_version(version_id=correction.replacement_id, company_ids=own),
    )


async def _pending(correction_id: UUID, company_ids: frozenset[UUID]) -> TariffCorrectionView:
    view = await items.find(correction_id, lock=True)
    if view is None or view.operator_company_id not in company_ids:
        raise NotFound(kind="tariff_correction")
    if view.state != "pending":
        raise AlreadyDecided(state=view.state)
    return view


async def _schedule(correction_id: UUID, now: datetime) -> None:
    due_at = now + timedelta(seconds=1)
    await jobs.schedule(
        "charging.correct_orders",
        TariffCorrectionDue(correction_id=correction_id),
        due_at=due_at,
        now=now,
        # Never the key of the job that is running: the queue would skip this one.
        dedupe_key=f"{correction_id}:{due_at.timestamp():.0f}",
    )


async def _note(view: TariffCorrectionView, action: str, actor_id: UUID, role: str, now: datetime) -> None:
    await audit.record(
        actor_id=actor_id,
        actor_role=role,
        action=action,
        object_kind="tariff_version",
        object_id=view.version_id,
        detail={"correction_id": str(view.id), "replacement_id": str(view.replacement_id)},
        now=now,
        operator_company_id=view.operator_company_id,
    )
