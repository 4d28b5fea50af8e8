"""Who hears of money that moved, or should have: payers of refunds, the company's people of what needs a look."""

from datetime import datetime
from uuid import UUID

from backend.accounts import service as accounts
from backend.charging.rules.words import yuan
from backend.core import db
from backend.core.jobs import JobContext, Jobs
from backend.notifications import service as notifications
from backend.payments import service as payments
from backend.payments.events import BillDiffered, BillUnreadable, RefundFailed, RefundSucceeded, RefundWaits

JOBS = Jobs("reports")


@JOBS.on(RefundSucceeded)
async def tell_refund(event: RefundSucceeded, job: JobContext) -> None:
    """Tell the payer that money went back."""
    paid = [view for view in await payments.list_payments(order_id=event.order_id) if view.id == event.payment_id]
    async with db.transaction():
        for view in paid:
            await notifications.notify(
                recipient=view.account_id,
                event_key=f"refund:{event.refund_id}",
                template="refund_done",
                params={"total_yuan": yuan(event.amount_fen)},
                safety=False,
                now=job.now,
            )


@JOBS.on(RefundFailed)
async def tell_failed_refund(event: RefundFailed, job: JobContext) -> None:
    """Tell the company that a refund was not carried out: its amount is free again and nobody has the money yet."""
    await _tell_company_of(event, event_key=f"refund:{event.refund_id}:failed", template="refund_failed", now=job.now)


@JOBS.on(RefundWaits)
async def tell_waiting_refund(event: RefundWaits, job: JobContext) -> None:
    """Tell the company that the provider does not take a refund yet; again each day."""
    event_key = f"refund:{event.refund_id}:waits:{job.now:%Y%m%d}"
    await _tell_company_of(event, event_key=event_key, template="refund_waits", now=job.now)


@JOBS.on(BillDiffered)
async def tell_difference(event: BillDiffered, job: JobContext) -> None:
    """Tell the company that a day does not agree with the provider's bill; again when the number changes."""
    await _tell_company(
        event.operator_company_id,
        event_key=f"bill:{event.merchant_no}:{event.day.isoformat()}:{event.differences}",
        template="bill_differs",
        params={"day": event.day.isoformat(), "count": event.differences},
        now=job.now,
    )


@JOBS.on(BillUnreadable)
async def tell_unreadable(event: BillUnreadable, job: JobContext) -> None:
    """Tell the company, once, that a day could not be compared."""
    await _tell_company(
        event.operator_company_id,
        event_key=f"bill:{event.merchant_no}:{event.day.isoformat()}:unreadable",
        template="bill_unreadable",
        params={"day": event.day.isoformat()},
        now=job.now,
    )


async def _tell_company_of(event: RefundFailed | RefundWaits, *, event_key: str, template: str, now: datetime) -> None:
    for view in await payments.list_payments(order_id=event.order_id):
        if view.id == event.payment_id:
            params: dict[str, str | int] = {"total_yuan": yuan(event.amount_fen)}
            company_id = view.operator_company_id
            await _tell_company(company_id, event_key=event_key, template=template, params=params, now=now)


async def _tell_company(
    operator_company_id: UUID, *, event_key: str, template: str, params: dict[str, str | int], now: datetime
) -> None:
    staff = await accounts.list_staff(operator_company_id=operator_company_id, roles=("operator", "lead"))
    async with db.transaction():
        for account_id in sorted({person.account_id for person in staff}):
            await notifications.notify(
                recipient=account_id, event_key=event_key, template=template, params=params, safety=False, now=now
            )
