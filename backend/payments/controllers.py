"""Callbacks of WeChat Pay. Nobody else calls these paths; what is not signed by WeChat Pay changes nothing."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Annotated, Any

import asyncpg
import msgspec
import structlog
from litestar import Controller, Request, Response, post
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import Parameter
from litestar.status_codes import HTTP_200_OK
from litestar.types import ControllerRouterHandler

from backend.core.services import Services
from backend.payments.gateways import CallbackRefused
from backend.payments.service import callbacks

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
        await take(merchant_no=merchant, headers=headers, body=body, services=services, now=now)
    except CallbackRefused as refusal:
        log.warning("wechat_callback_refused", reason=refusal.reason, status=refusal.status)
        return Response(_Failure(refusal.reason), status_code=refusal.status)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
        # The transaction is gone and with it the nonce: WeChat Pay sends it again.
        log.error("wechat_callback_not_stored", error=type(error).__name__)
        return Response(_Failure("not stored, send again"), status_code=503)
    return Response(b"", status_code=HTTP_200_OK, media_type="text/plain")


ROUTES: list[ControllerRouterHandler] = [WeChatPayController]
