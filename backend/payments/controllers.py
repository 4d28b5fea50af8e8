"""Callbacks of WeChat Pay (unsigned ones change nothing), and the operators' refunds and reconciliations."""

from collections.abc import Awaitable, Callable
from datetime import date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import asyncpg
import msgspec
import structlog
from litestar import Controller, Request, Response, get, post
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import Parameter, QueryParameter
from litestar.status_codes import HTTP_200_OK
from litestar.types import ControllerRouterHandler

from backend.core.auth import Staff, StaffOnly
from backend.core.paging import Page, decode_cursor, encode_cursor
from backend.core.problem_docs import answers
from backend.core.services import Services
from backend.payments.controllers_limits import RefundLimitController
from backend.payments.gateways import CallbackRefused
from backend.payments.schemas import (
    DecisionBody,
    ReconciliationDayOut,
    ReconciliationOut,
    RefundBody,
    RefundRequestOut,
    difference_out,
    reconciliation_out,
)
from backend.payments.service import (
    NothingLeft,
    NotPaid,
    PaymentNotFound,
    RefundNotPositive,
    RefundTooLarge,
    callbacks,
    reconciling,
    refunds,
)
from backend.payments.service.reconciling import NotReconciled
from backend.payments.service.refunds import AlreadyDecided, RefundRequestNotFound, SecondPersonNeeded
from backend.payments.store_refunds import RefundRequestView

log = structlog.get_logger()

MerchantNo = Annotated[str, Parameter(description="The merchant's number (mchid)", max_length=40)]
DESCRIPTION = (
    "Called by WeChat Pay with an encrypted resource and its signature. 200 without a body when it was taken (now or "
    "before); 4xx with {code: FAIL, message} for anything that does not verify or does not match; 503 when nothing "
    "could be stored, so that it is sent again."
)


class _Failure(msgspec.Struct, frozen=True):
    message: str
    code: str = "FAIL"


FAILURES = {
    status: ResponseSpec(data_container=_Failure, generate_examples=False, description=text)
    for status, text in (
        (400, "Not a notification of the documented shape"),
        (401, "The serial, the age, the nonce, the signature or the resource does not verify"),
        (404, "No such merchant, order or refund"),
        (409, "The nonce was used before: a replay"),
        (422, "Another merchant, amount or state than ours"),
        (503, "Nothing was stored: send it again"),
    )
}


class WeChatPayController(Controller):
    """Where WeChat Pay tells what became of payments and refunds."""

    path = "/v1/payments/wechat/{merchant:str}"
    tags = ["payments"]  # noqa: RUF012  Litestar reads it from the class

    @post(
        "/notify",
        operation_id="takeWeChatPaymentCallback",
        summary="Callback: a payment succeeded",
        description=DESCRIPTION,
        status_code=HTTP_200_OK,
        responses=FAILURES,
    )
    async def notify(
        self, merchant: MerchantNo, request: Request[Any, Any, Any], services: Services, now: datetime
    ) -> Response[_Failure | bytes]:
        """Take a payment's callback."""
        return await _take(callbacks.take_payment_callback, merchant, request, services, now)

    @post(
        "/refund-notify",
        operation_id="takeWeChatRefundCallback",
        summary="Callback: a refund ended",
        description=DESCRIPTION,
        status_code=HTTP_200_OK,
        responses=FAILURES,
    )
    async def refund_notify(
        self, merchant: MerchantNo, request: Request[Any, Any, Any], services: Services, now: datetime
    ) -> Response[_Failure | bytes]:
        """Take a refund's callback."""
        return await _take(callbacks.take_refund_callback, merchant, request, services, now)


async def _take(
    take: Callable[..., Awaitable[None]],
    merchant: str,
    request: Request[Any, Any, Any],
    services: Services,
    now: datetime,
) -> Response[_Failure | bytes]:
    body = await request.body()
    headers = {name: request.headers[name] for name in request.headers}
    try:
        await take(provider="wechat_pay", merchant_no=merchant, headers=headers, body=body, services=services, now=now)
    except CallbackRefused as refusal:
        log.warning("wechat_callback_refused", reason=refusal.reason, status=refusal.status)
        return Response(_Failure(refusal.reason), status_code=refusal.status)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
        # The transaction is gone and with it the nonce: WeChat Pay sends it again.
        log.error("wechat_callback_not_stored", error=type(error).__name__)
        return Response(_Failure("not stored, send again"), status_code=503)
    return Response(b"", status_code=HTTP_200_OK, media_type="text/plain")


def _refund_out(view: RefundRequestView) -> RefundRequestOut:
    return RefundRequestOut(**{name: getattr(view, name) for name in RefundRequestOut.__struct_fields__})


class OperatorRefundController(Controller):
    """Refunds of the caller's operator company."""

    path = "/v1/operator/refunds"
    tags = ("operator",)

    @get(
        operation_id="listRefunds",
        summary="The company's refunds, newest first",
        description="`state=pending` is the queue of those that wait for a second person.",
        responses=answers(StaffOnly),
    )
    async def list_refunds(
        self,
        staff: Staff,
        requested: Annotated[
            Literal["pending", "approved", "rejected"] | None,
            QueryParameter(name="state", description="Only those of this state"),
        ] = None,
        cursor: Annotated[str | None, Parameter(description="`next` of the page before")] = None,
        limit: Annotated[int, Parameter(ge=1, le=100, description="Items a page")] = 50,
    ) -> Page[RefundRequestOut]:
        """Return one page."""
        before: UUID | None = decode_cursor(cursor, UUID)[0] if cursor is not None else None
        companies = staff.company_ids("operator", "lead", "inspector")
        found = await refunds.list_requests(company_ids=companies, state=requested, before=before, limit=limit + 1)
        shown = [_refund_out(view) for view in found[:limit]]
        return Page(items=shown, next=encode_cursor(shown[-1].id) if len(found) > limit else None)

    @get(
        "/{request_id:uuid}",
        operation_id="getRefund",
        summary="A refund of the company",
        description="Another company's is a 404.",
        responses=answers(StaffOnly, RefundRequestNotFound),
    )
    async def get_refund(self, request_id: UUID, staff: Staff) -> RefundRequestOut:
        """Return the request."""
        companies = staff.company_ids("operator", "lead", "inspector")
        return _refund_out(await refunds.get_request(request_id=request_id, company_ids=companies))

    @post(
        operation_id="requestRefund",
        summary="Give money back",
        description=(
            "Goes to the channel that paid. Above the company's limit (counting what went back of the same payment "
            "without a second person) it waits for somebody else to approve it. Audited."
        ),
        responses=answers(StaffOnly, PaymentNotFound, NotPaid, RefundNotPositive, NothingLeft, RefundTooLarge),
    )
    async def request(self, data: RefundBody, staff: Staff, now: datetime) -> RefundRequestOut:
        """Ask for a refund."""
        companies = staff.company_ids("operator")
        made = await refunds.request_refund(
            company_ids=companies,
            amount_fen=data.amount_fen,
            reason=data.reason,
            order_id=data.order_id,
            payment_id=data.payment_id,
            actor_id=staff.account_id,
            role="operator",
            now=now,
        )
        return _refund_out(made)

    @post(
        "/{request_id:uuid}/approve",
        status_code=HTTP_200_OK,
        operation_id="approveRefund",
        summary="Approve a refund as the second person",
        description="Whoever asked for it cannot approve it. Audited.",
        responses=answers(StaffOnly, RefundRequestNotFound, SecondPersonNeeded, AlreadyDecided, RefundTooLarge),
    )
    async def approve(self, request_id: UUID, staff: Staff, now: datetime) -> RefundRequestOut:
        """Approve a request."""
        companies = staff.company_ids("operator")
        return _refund_out(
            await refunds.approve(
                request_id=request_id, company_ids=companies, actor_id=staff.account_id, role="operator", now=now
            )
        )

    @post(
        "/{request_id:uuid}/reject",
        status_code=HTTP_200_OK,
        operation_id="rejectRefund",
        summary="Reject a refund, or take it back",
        description="The note is kept with the request. Audited.",
        responses=answers(StaffOnly, RefundRequestNotFound, AlreadyDecided),
    )
    async def reject(self, request_id: UUID, data: DecisionBody, staff: Staff, now: datetime) -> RefundRequestOut:
        """Reject a request."""
        companies = staff.company_ids("operator")
        return _refund_out(
            await refunds.reject(
                request_id=request_id,
                company_ids=companies,
                note=data.note,
                actor_id=staff.account_id,
                role="operator",
                now=now,
            )
        )


class ReconciliationController(Controller):
    """The provider's bills against our books."""

    path = "/v1/operator/reconciliations"
    tags = ("operator",)

    @get(
        operation_id="listReconciliations",
        summary="Compared days, newest first",
        description=(
            "Each morning after 10:15 (Asia/Shanghai) yesterday's bill of every merchant account is fetched, its hash "
            "checked, and held against our payments, refunds and ledger to the fen."
        ),
        responses=answers(StaffOnly),
    )
    async def list_days(
        self,
        staff: Staff,
        cursor: Annotated[str | None, Parameter(description="`next` of the page before")] = None,
        limit: Annotated[int, Parameter(ge=10, le=100, description="Items a page")] = 31,
    ) -> Page[ReconciliationOut]:
        """Return one page."""
        before: date | None = decode_cursor(cursor, date)[0] if cursor is not None else None
        companies = staff.company_ids("operator", "lead", "inspector")
        found = await reconciling.list_reconciliations(company_ids=companies, before=before, limit=limit + 1)
        # A page ends with a whole day, because the cursor is one.
        last = found[limit].day if len(found) > limit else None
        whole = [view for view in found[:limit] if last is None or view.day > last] or found[:limit]
        return Page(
            items=[reconciliation_out(view) for view in whole],
            next=None if last is None else encode_cursor(whole[-1].day),
        )

    @get(
        "/{day:date}",
        operation_id="getReconciliation",
        summary="A day with every difference",
        description="One item per merchant account of the caller's companies.",
        responses=answers(StaffOnly, NotReconciled),
    )
    async def get_day(self, day: date, staff: Staff) -> Page[ReconciliationDayOut]:
        """Return the day."""
        companies = staff.company_ids("operator", "lead", "inspector")
        found = await reconciling.get_day(company_ids=companies, day=day)
        items = [
            ReconciliationDayOut(
                reconciliation=reconciliation_out(view), differences=[difference_out(each) for each in differences]
            )
            for view, differences in found
        ]
        return Page(items=items, next=None)


ROUTES: list[ControllerRouterHandler] = [
    WeChatPayController,
    OperatorRefundController,
    RefundLimitController,
    ReconciliationController,
]
