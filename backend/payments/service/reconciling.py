"""Each morning: yesterday's bill of every merchant account held against our books and the ledger, to the fen."""

from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from uuid import UUID

import structlog

from backend.core import audit, db, jobs
from backend.core.clock import BEIJING
from backend.core.errors import GatewayError, NotFound
from backend.core.services import Services
from backend.payments import store_bills
from backend.payments.events import BillDiffered, BillUnreadable
from backend.payments.gateways import Merchant, PaymentGateways, ProviderBill
from backend.payments.rules import ledger as ledger_rules
from backend.payments.rules.reconciling import REFUND_LAG, BookEntry, Difference, compare
from backend.payments.service import settling
from backend.payments.store_bills import ReconciliationView

log = structlog.get_logger()

READY_AT = time(10, 15)
"""The provider writes yesterday's bill by ten in the morning, Beijing."""
LOOK_BACK_DAYS = 14
"""Days that are made up for when the provider or we were away."""


class NotReconciled(NotFound):
    """No bill of this day was compared for the caller's company."""

    code = "reconciliation_not_found"
    title_en = "This day has not been reconciled"
    title_zh = "该日尚未对账"
    detail_en = "The bill of a day is fetched the next morning after 10:15 (Asia/Shanghai)."
    detail_zh = "账单于次日 10:15（北京时间）后下载并核对。"


def due_days(*, now: datetime) -> list[date]:
    """Return the days whose bills should be there by now, oldest first."""
    local = now.astimezone(BEIJING)
    last = local.date() - timedelta(days=1 if local.time() >= READY_AT else 2)
    return [last - timedelta(days=back) for back in reversed(range(LOOK_BACK_DAYS))]


async def reconcile_due(*, services: Services, now: datetime) -> int:
    """Reconcile what is due and was not yet; a provider that does not answer is asked again at the next call."""
    done = 0
    for merchant_account_id, day in await store_bills.list_merchants_to_reconcile(days=due_days(now=now)):
        merchant = await settling.merchant_of(merchant_account_id)
        try:
            await reconcile(merchant=merchant, day=day, services=services, now=now)
        except GatewayError as error:
            log.warning("bill_not_fetched", merchant=merchant.merchant_no, day=day.isoformat(), error=str(error))
            if error.code == "bill_damaged" and now.astimezone(BEIJING).hour == READY_AT.hour:
                await _report_unreadable(merchant, day, now)
            continue
        done += 1
    return done


async def reconcile(*, merchant: Merchant, day: date, services: Services, now: datetime) -> list[Difference]:
    """Fetch a day's bill and keep the comparison, in place of an earlier one; returns the differences.

    Raises GatewayError, also for a bill that does not add up or has another hash than announced.
    """
    bill = await services.get(PaymentGateways).get(merchant.provider).download_bill(merchant=merchant, day=day)
    start = datetime.combine(day, time(0), BEIJING)
    period = (start, start + timedelta(days=1))
    async with db.transaction():
        books = await store_bills.list_books(
            merchant_account_id=merchant.id,
            account_code=ledger_rules.provider_account(merchant.merchant_no),
            day=day,
            period=period,
            refund_period=(period[0] - REFUND_LAG, period[1] - REFUND_LAG),
            payment_ids=_ids(bill, "payment"),
            refund_ids=_ids(bill, "refund"),
        )
        differences = compare(bill.rows, books)
        await store_bills.put_reconciliation(
            operator_company_id=merchant.operator_company_id,
            merchant_account_id=merchant.id,
            day=day,
            bill_sha1=bill.sha1,
            bill_fees_fen=bill.fees_fen,
            rows=bill.rows,
            differences=differences,
            our_payments_fen=_booked(books, bill, "payment"),
            our_refunds_fen=-_booked(books, bill, "refund"),
            now=now,
        )
        await audit.record(
            actor_id=None,
            actor_role="service",
            action="payments.reconciled",
            object_kind="merchant_account",
            object_id=merchant.id,
            detail={"day": day.isoformat(), "rows": len(bill.rows), "differences": len(differences)},
            now=now,
            operator_company_id=merchant.operator_company_id,
        )
        if differences:
            await jobs.emit(
                BillDiffered(
                    operator_company_id=merchant.operator_company_id,
                    merchant_no=merchant.merchant_no,
                    day=day,
                    differences=len(differences),
                ),
                now=now,
            )
    if differences:
        log.error("bill_differs", merchant=merchant.merchant_no, day=day.isoformat(), differences=len(differences))
    return differences


async def _report_unreadable(merchant: Merchant, day: date, now: datetime) -> None:
    """Have people told, in the first hour of each morning until the bill can be read."""
    async with db.transaction():
        await jobs.emit(
            BillUnreadable(operator_company_id=merchant.operator_company_id, merchant_no=merchant.merchant_no, day=day),
            now=now,
        )


async def list_reconciliations(
    *, company_ids: frozenset[UUID], before: date | None, limit: int
) -> list[ReconciliationView]:
    """Return the compared days of these companies, newest first."""
    return await store_bills.list_reconciliations(company_ids=company_ids, before=before, limit=limit)


async def get_day(*, company_ids: frozenset[UUID], day: date) -> list[tuple[ReconciliationView, list[Difference]]]:
    """Return a day of these companies with every difference, one item per merchant account; raises NotReconciled."""
    found = await store_bills.list_reconciliations(company_ids=company_ids, day=day)
    if not found:
        raise NotReconciled(day=day.isoformat())
    return [(view, await store_bills.list_differences(reconciliation_id=view.id)) for view in found]


def _ids(bill: ProviderBill, kind: str) -> list[UUID]:
    found = []
    for row in bill.rows:
        if row.kind != kind:
            continue
        try:
            found.append(UUID(hex=row.number))
        except ValueError:
            continue  # a number that is none of ours is "unknown to us"
    return found


def _booked(books: Sequence[BookEntry], bill: ProviderBill, kind: str) -> int:
    """What the ledger has for the movements of this bill and those it should hold."""
    named = {(row.kind, row.number) for row in bill.rows}
    return sum(b.ledger_fen for b in books if b.kind == kind and (b.expected or (b.kind, b.number) in named))
