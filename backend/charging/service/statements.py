"""Monthly statements: all orders of a resident's month with a company, the packages, and how the cap was applied.

Made after the month's end once its sessions are billed; the package fee is then paid like an order. An order that is
still open or under review after `PATIENCE` stands in the next statement: it keeps the cap by itself, so that it never
breaks that of a period which was billed without it.
"""

from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from backend.agreements.rules.packages import month_of
from backend.agreements.service import packages
from backend.agreements.service.packages import PackagePeriod
from backend.charging import store_orders, store_statements
from backend.charging.events import StatementMade
from backend.charging.rules.packages import OrderFigures, bill_period
from backend.charging.rules.words import yuan
from backend.charging.service import supplements
from backend.charging.store import SessionView
from backend.charging.store_orders import OrderView
from backend.charging.store_statements import StatementCorrectionView, StatementPackageView, StatementView
from backend.core import db, jobs
from backend.core.errors import Conflict, NotFound
from backend.core.ids import new_id
from backend.core.services import Services
from backend.notifications import service as notifications
from backend.payments import service as payments
from backend.payments.service import PaymentSheet, ledger

__all__ = ["StatementCorrectionView", "StatementPackageView", "StatementView"]

AFTER_MONTH = timedelta(hours=1)
AGAIN = timedelta(hours=6)
PATIENCE = timedelta(days=10)
"""How long a statement waits for bills that are not final."""


class StatementDue(msgspec.Struct, frozen=True, kw_only=True):
    """Payload of the timer that makes a month's statement."""

    account_id: UUID
    operator_company_id: UUID
    month_start: datetime


class StatementNotPayable(Conflict):
    """There is nothing to pay of the statement."""

    code = "statement_not_payable"
    title_en = "The statement is not to be paid"
    title_zh = "账单无需支付"
    detail_en = "Its status is {status}; the orders in it are paid by themselves."
    detail_zh = "账单状态为 {status}；其中的订单分别支付。"


class UnpaidStatement(Conflict):
    """An earlier month's package fee has not been paid; like an unpaid order it stops new sessions."""

    code = "unpaid_statement"
    title_en = "An earlier statement is unpaid"
    title_zh = "有未支付的月度账单"
    detail_en = "Pay statement {statement_id} first, then start again."
    detail_zh = "请先支付账单 {statement_id}，再开始充电。"


async def expect(session: SessionView, *, period: PackagePeriod | None, now: datetime) -> None:
    """Have the statement of a billed session's month made, for its driver and for the holder of the package period.

    In the caller's transaction. Asking again for the same month asks once.
    """
    month = month_of(session.requested_at)
    people = {session.account_id}
    if period is not None:
        people.add(period.account_id)
    for account_id in sorted(people):
        due = StatementDue(account_id=account_id, operator_company_id=session.operator_company_id, month_start=month[0])
        await _schedule(due, due_at=max(month[1] + AFTER_MONTH, now), now=now)


async def _schedule(due: StatementDue, *, due_at: datetime, now: datetime) -> None:
    # With the hour: under the key of the job that is running the queue would skip its next try.
    key = f"{due.account_id}:{due.operator_company_id}:{due.month_start:%Y%m%d%H}:{due_at:%Y%m%d%H}"
    await jobs.schedule("charging.make_statement", due, due_at=due_at, now=now, dedupe_key=key)


async def make(*, due: StatementDue, now: datetime) -> StatementView | None:
    """Make the statement of a month that is over, or wait for its bills; None where there is nothing to state.

    Made twice it is the first one: (account, company, month) is unique.
    """
    month = month_of(due.month_start)
    if now < month[1]:
        return None
    person = {"account_id": due.account_id, "operator_company_id": due.operator_company_id}
    periods = await packages.periods_of(**person, at=month[0])
    unsettled = await store_statements.count_unsettled(
        **person,
        agreement_ids=sorted({period.agreement_id for period in periods}),
        from_at=month[0],
        to_at=month[1],
    )
    if unsettled and now < month[1] + PATIENCE:
        async with db.transaction():
            await _schedule(due, due_at=now + AGAIN, now=now)
        return None
    async with db.transaction():
        order_ids = await store_statements.list_unstated(**person, before=month[1])
        # Orders, then agreements, as a correction locks them: it comes wholly before this statement or finds it.
        orders = [order for i in order_ids if (order := await store_orders.find_order(i, lock=True)) is not None]
        for agreement_id in sorted({period.agreement_id for period in periods}):
            await packages.period_at(agreement_id=agreement_id, at=month[0], lock=True)
        lines = [await _package_line(period) for period in periods]
        fee = sum(line.package_fee_fen for line in lines)
        if not order_ids and not fee:
            return None
        statement = _statement(due, month, orders, lines, now)
        if not await store_statements.add_statement(statement, order_ids):
            return None
        await _announce(statement, now)
    return statement


async def _package_line(period: PackagePeriod) -> StatementPackageView:
    found = await store_statements.list_of_period(
        agreement_id=period.agreement_id, from_at=period.starts_at, to_at=period.ends_at
    )
    bill = bill_period((OrderFigures(**row) for row in found), price_fen=period.price_fen)
    return StatementPackageView(
        agreement_id=period.agreement_id,
        package_id=period.package.id,
        kind=period.package.kind,
        name_zh=period.package.name_zh,
        name_en=period.package.name_en,
        starts_at=period.starts_at,
        ends_at=period.ends_at,
        orders_count=bill.orders_count,
        energy_wh=bill.energy_wh,
        included_wh=period.included_wh,
        used_wh=bill.used_wh,
        service_fee_fen=bill.service_fee_fen,
        cap_fen=bill.cap_fen,
        price_fen=bill.price_fen,
        package_fee_fen=bill.package_fee_fen,
    )


def _statement(
    due: StatementDue,
    month: tuple[datetime, datetime],
    orders: list[OrderView],
    lines: list[StatementPackageView],
    now: datetime,
) -> StatementView:
    fee = sum(line.package_fee_fen for line in lines)
    return StatementView(
        id=new_id(),
        account_id=due.account_id,
        operator_company_id=due.operator_company_id,
        starts_at=month[0],
        ends_at=month[1],
        status="unpaid" if fee else "free",
        orders_count=len(orders),
        energy_wh=sum(order.energy_wh for order in orders),
        energy_fee_fen=sum(order.energy_fee_fen for order in orders),
        service_fee_fen=sum(order.service_fee_fen for order in orders),
        overstay_fee_fen=sum(order.overstay_fee_fen for order in orders),
        parking_fee_fen=sum(order.parking_fee_fen for order in orders),
        discount_fen=sum(order.discount_fen for order in orders),
        orders_total_fen=sum(order.total_fen for order in orders),
        package_fee_fen=fee,
        made_at=now,
        packages=tuple(lines),
    )


async def _announce(statement: StatementView, now: datetime) -> None:
    if statement.package_fee_fen:
        await ledger.post_entry(
            kind="statement_made",
            reference_id=statement.id,
            legs=[("receivable", statement.package_fee_fen), ("package_fee", -statement.package_fee_fen)],
            operator_company_id=statement.operator_company_id,
            now=now,
        )
    await jobs.emit(
        StatementMade(
            statement_id=statement.id,
            account_id=statement.account_id,
            operator_company_id=statement.operator_company_id,
            package_fee_fen=statement.package_fee_fen,
            at=now,
        ),
        now=now,
    )
    await notifications.notify(
        recipient=statement.account_id,
        event_key=f"statement:{statement.id}:ready",
        template="statement_ready",
        params={"total_yuan": yuan(statement.package_fee_fen)},
        safety=False,
        now=now,
    )


async def get_statement(*, statement_id: UUID, account_id: UUID) -> StatementView:
    """Return the account's statement; raises NotFound, also for another resident's."""
    found = await store_statements.find_statement(statement_id)
    if found is None or found.account_id != account_id:
        raise NotFound(kind="statement")
    return found


async def get_company_statement(*, statement_id: UUID, company_ids: frozenset[UUID]) -> StatementView:
    """Return a statement of one of these operator companies; raises NotFound."""
    found = await store_statements.find_statement(statement_id)
    if found is None or found.operator_company_id not in company_ids:
        raise NotFound(kind="statement")
    return found


async def list_statements(
    *,
    account_id: UUID | None = None,
    company_ids: frozenset[UUID] | None = None,
    before: UUID | None = None,
    limit: int,
) -> list[StatementView]:
    """Return statements of an account or of operator companies, newest first."""
    return await store_statements.list_statements(
        account_id=account_id, company_ids=company_ids, before=before, limit=limit
    )


async def list_statement_orders(*, statement_id: UUID) -> list[OrderView]:
    """Return the orders of a statement, oldest first; who may see it is decided by the caller."""
    found = [
        await store_orders.find_order(order_id) for order_id in await store_statements.list_order_ids(statement_id)
    ]
    return [order for order in found if order is not None]


async def list_corrections(*, statement_id: UUID) -> list[StatementCorrectionView]:
    """Return how its package lines were corrected, oldest first; who may see it is decided by the caller."""
    return await store_statements.list_corrections(statement_id)


async def pay_statement(
    *, statement_id: UUID, account_id: UUID, channel: str, services: Services, now: datetime
) -> PaymentSheet:
    """Begin to pay a statement's package fee; raises NotFound, StatementNotPayable, and what payments raise."""
    statement = await get_statement(statement_id=statement_id, account_id=account_id)
    supplement = await supplements.find_unpaid(subject_id=statement_id) if statement.status == "paid" else None
    if statement.status != "unpaid" and supplement is None:
        raise StatementNotPayable(status=statement.status)
    return await payments.start_payment(
        order_id=statement.id if supplement is None else supplement.id,
        operator_company_id=statement.operator_company_id,
        account_id=account_id,
        amount_fen=statement.package_fee_fen if supplement is None else supplement.amount_fen,
        description="邻里充电 月度套餐",
        channel=channel,
        services=services,
        now=now,
    )


async def mark_paid(*, statement_id: UUID, payment_id: UUID, amount_fen: int, now: datetime) -> None:
    """The provider confirmed a payment: a statement it was for is paid; an order's payment is none of its."""
    async with db.transaction():
        statement = await store_statements.find_statement(statement_id, lock=True)
        if statement is None or statement.status == "paid":
            return
        corrected = bool(await store_statements.list_corrections(statement_id))
        if amount_fen != statement.package_fee_fen and not corrected:
            raise ValueError(f"payment {payment_id} of {amount_fen} fen does not pay statement {statement_id}")
        if statement.status == "unpaid":
            await store_statements.mark_paid(statement_id, payment_id, now)
        await supplements.settle_amount(
            of="statement",
            subject_id=statement_id,
            payment_id=payment_id,
            paid_fen=amount_fen,
            total_fen=statement.package_fee_fen,
            now=now,
        )
        if statement.status == "free":
            return  # corrected to nothing while the payment was under way
        await notifications.notify(
            recipient=statement.account_id,
            event_key=f"statement:{statement_id}:paid",
            template="order_paid",
            params={"total_yuan": yuan(amount_fen)},
            safety=False,
            now=now,
        )


async def check_paid(*, account_id: UUID) -> None:
    """Refuse a new session while a statement, or what corrections added to one, is unpaid: UnpaidStatement."""
    unpaid = await store_statements.find_unpaid(account_id)
    if unpaid is None:
        more = await supplements.unpaid_of(account_id=account_id)
        unpaid = None if more is None else more.statement_id
    if unpaid is not None:
        raise UnpaidStatement(statement_id=str(unpaid))
