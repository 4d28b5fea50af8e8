"""Jobs of payments: ask the provider, send refunds, find what lost its timer."""

from datetime import timedelta

from backend.core.jobs import JobContext, Jobs
from backend.payments import store
from backend.payments.service import reconciling, settling
from backend.payments.service.settling import CheckPayment, CheckRefund

JOBS = Jobs("payments")

KEEP_NONCES = timedelta(minutes=30)
"""Longer than any callback is believed (±5 min), with room for clocks."""


@JOBS.timer("check_payment", CheckPayment)
async def check_payment(payload: CheckPayment, job: JobContext) -> None:
    """Ask the provider what became of an open payment."""
    await settling.check_payment(payment_id=payload.payment_id, services=job.services)


@JOBS.timer("check_refund", CheckRefund)
async def check_refund(payload: CheckRefund, job: JobContext) -> None:
    """Send a refund, or ask what became of it."""
    await settling.check_refund(refund_id=payload.refund_id, services=job.services)


@JOBS.every("sweep", seconds=120)
async def sweep(job: JobContext) -> None:
    """Give open payments and refunds without a timer a new one."""
    await settling.sweep(now=job.now)


@JOBS.every("forget_nonces", seconds=600)
async def forget_nonces(job: JobContext) -> None:
    """Drop nonces of callbacks that are too old to be believed anyway."""
    await store.forget_nonces(before=job.now - KEEP_NONCES)


@JOBS.every("reconcile", seconds=900)
async def reconcile(job: JobContext) -> None:
    """After 10:15 in Beijing: hold yesterday's bills (and those missed before) against our books."""
    await reconciling.reconcile_due(services=job.services, now=job.now)
