"""Refunds that staff ask for: small ones at once, larger ones when a second person of the company has said yes."""

from datetime import datetime
from uuid import UUID

from backend.core import audit, db
from backend.core.errors import Conflict, Forbidden, Invalid, NotFound
from backend.core.ids import new_id
from backend.payments import service as payments
from backend.payments import store, store_refunds
from backend.payments.rules import moves
from backend.payments.service import NotPaid, PaymentNotFound
from backend.payments.store_refunds import RefundRequestView

SECOND_PERSON_ABOVE_FEN = 10_000
"""Where a company has no limit of its own: 100 yuan."""
HIGHEST_LIMIT_FEN = 1_000_000
"""No company lets one person give back more than 10,000 yuan: more than any bill."""


class RefundRequestNotFound(NotFound):
    """No such request at the caller's company."""

    code = "refund_request_not_found"


class SecondPersonNeeded(Forbidden):
    """Whoever asked may not say yes to it."""

    code = "second_person_needed"
    title_en = "A second person has to decide"
    title_zh = "须由第二人复核"
    detail_en = "Amounts above the company's limit are decided by somebody other than who asked."
    detail_zh = "超过限额的金额须由发起人以外的人员复核。"


class RefundLimitInvalid(Invalid):
    """A limit that is none."""

    code = "refund_limit_invalid"
    title_en = "This cannot be the limit"
    title_zh = "限额无效"
    detail_en = "`second_person_above_fen` is from 0 (every refund needs a second person) to {highest_fen} fen."
    detail_zh = "second_person_above_fen 为 0（每笔均须复核）至 {highest_fen} 分。"


class AlreadyDecided(Conflict):
    """The request is approved or rejected."""

    code = "already_decided"
    title_en = "This was decided already"
    title_zh = "该申请已处理"
    detail_en = "Its state is {state}."
    detail_zh = "当前状态：{state}。"


async def second_person_above(*, operator_company_id: UUID) -> int:
    """Return the amount in fen above which this company's refunds and corrections need a second person."""
    found = await store_refunds.find_limit(operator_company_id=operator_company_id)
    return SECOND_PERSON_ABOVE_FEN if found is None else found


def check_limit(amount_fen: int) -> None:
    """Refuse a limit that is none; raises RefundLimitInvalid."""
    if not 0 <= amount_fen <= HIGHEST_LIMIT_FEN:
        raise RefundLimitInvalid(field="second_person_above_fen", highest_fen=HIGHEST_LIMIT_FEN)


async def set_second_person_above(
    *, operator_company_id: UUID, amount_fen: int, actor_id: UUID | None, actor_role: str, now: datetime
) -> None:
    """Set a company's limit outright: for platform staff, and for what two people of the company agreed on (`limits`).

    Raises RefundLimitInvalid.
    """
    check_limit(amount_fen)
    async with db.transaction():
        await store_refunds.put_limit(operator_company_id=operator_company_id, amount_fen=amount_fen)
        await audit.record(
            actor_id=actor_id,
            actor_role=actor_role,
            action="refund_rule.set",
            object_kind="operator_company",
            object_id=operator_company_id,
            detail={"second_person_above_fen": amount_fen},
            now=now,
            operator_company_id=operator_company_id,
        )


async def request_refund(
    *,
    company_ids: frozenset[UUID],
    amount_fen: int,
    reason: str,
    actor_id: UUID,
    role: str,
    now: datetime,
    payment_id: UUID | None = None,
    order_id: UUID | None = None,
) -> RefundRequestView:
    """Ask for money back to the channel that paid; above the limit it waits for a second person.

    The limit counts what went back of this payment without a second person, so that nobody cuts a large refund into
    small ones. What waits counts as given. Raises PaymentNotFound, NotPaid, RefundNotPositive, NothingLeft,
    RefundTooLarge.
    """
    async with db.transaction():
        paid = None if order_id is None else await store.find_paid_payment(order_id=order_id)
        wanted = payment_id or (None if paid is None else paid.id)
        payment = None if wanted is None else await store.lock_payment(payment_id=wanted)
        if payment is None or payment.operator_company_id not in company_ids:
            raise PaymentNotFound
        if order_id is not None and payment.order_id != order_id:
            raise PaymentNotFound
        if payment.state != "succeeded":
            raise NotPaid
        pending, alone = await store_refunds.sum_of_payment(payment_id=payment.id)
        live = [row.amount_fen for row in await store.list_refunds(payment_id=payment.id) if row.state != "failed"]
        refundable = moves.refundable_fen(paid_fen=payment.amount_fen, refunds_fen=[*live, pending])
        payments.check_refundable(amount_fen=amount_fen, refundable_fen=refundable)
        request_id = new_id()
        limit = await second_person_above(operator_company_id=payment.operator_company_id)
        refund_id = None
        if alone + amount_fen <= limit:
            refund_id = (await _carry_out(payment.id, request_id, amount_fen, reason, actor_id, role, now)).id
        await store_refunds.add_request(
            request_id=request_id,
            operator_company_id=payment.operator_company_id,
            payment_id=payment.id,
            order_id=payment.order_id,
            amount_fen=amount_fen,
            reason=reason,
            requested_by=actor_id,
            refund_id=refund_id,
            now=now,
        )
        made = await _get(request_id, company_ids)
        await _note(made, "refund_request.made", actor_id, role, now)
    return made


async def approve(
    *, request_id: UUID, company_ids: frozenset[UUID], actor_id: UUID, role: str, now: datetime
) -> RefundRequestView:
    """Say yes as the second person. Raises RefundRequestNotFound, AlreadyDecided, SecondPersonNeeded."""
    async with db.transaction():
        request = await _open(request_id, company_ids)
        if request.requested_by == actor_id:
            raise SecondPersonNeeded
        made = await _carry_out(request.payment_id, request.id, request.amount_fen, request.reason, actor_id, role, now)
        await store_refunds.decide(
            request_id=request_id, state="approved", decided_by=actor_id, note=None, refund_id=made.id, now=now
        )
        await _note(request, "refund_request.approved", actor_id, role, now)
        return await _get(request_id, company_ids)


async def reject(
    *, request_id: UUID, company_ids: frozenset[UUID], note: str, actor_id: UUID, role: str, now: datetime
) -> RefundRequestView:
    """Say no (who asked may take it back so). Raises RefundRequestNotFound, AlreadyDecided."""
    async with db.transaction():
        request = await _open(request_id, company_ids)
        await store_refunds.decide(
            request_id=request_id, state="rejected", decided_by=actor_id, note=note, refund_id=None, now=now
        )
        await _note(request, "refund_request.rejected", actor_id, role, now)
        return await _get(request_id, company_ids)


async def list_requests(
    *, company_ids: frozenset[UUID], state: str | None, before: UUID | None, limit: int
) -> list[RefundRequestView]:
    """Return the requests of these companies, newest first."""
    return await store_refunds.list_requests(company_ids=company_ids, state=state, before=before, limit=limit)


async def get_request(*, request_id: UUID, company_ids: frozenset[UUID]) -> RefundRequestView:
    """Return a request of one of these companies; raises RefundRequestNotFound."""
    return await _get(request_id, company_ids)


async def _carry_out(
    payment_id: UUID, request_id: UUID, amount_fen: int, reason: str, actor_id: UUID, role: str, now: datetime
) -> payments.RefundView:
    return await payments.refund(
        payment_id=payment_id,
        amount_fen=amount_fen,
        reason=reason,
        key=f"request:{request_id}",
        now=now,
        actor_id=actor_id,
        actor_role=role,
    )


async def _get(request_id: UUID, company_ids: frozenset[UUID], *, lock: bool = False) -> RefundRequestView:
    request = await store_refunds.find_request(request_id=request_id, lock=lock)
    if request is None or request.operator_company_id not in company_ids:
        raise RefundRequestNotFound
    return request


async def _open(request_id: UUID, company_ids: frozenset[UUID]) -> RefundRequestView:
    """Lock payment and request, in the order in which asking locks them."""
    request = await _get(request_id, company_ids)
    await store.lock_payment(payment_id=request.payment_id)
    request = await _get(request_id, company_ids, lock=True)
    if request.state != "pending":
        raise AlreadyDecided(state=request.state)
    return request


async def _note(request: RefundRequestView, action: str, actor_id: UUID, role: str, now: datetime) -> None:
    await audit.record(
        actor_id=actor_id,
        actor_role=role,
        action=action,
        object_kind="refund_request",
        object_id=request.id,
        detail={"payment_id": str(request.payment_id), "amount_fen": request.amount_fen, "state": request.state},
        now=now,
        operator_company_id=request.operator_company_id,
    )
