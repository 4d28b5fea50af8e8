"""HTTP and live paths of sessions and orders."""

from collections.abc import AsyncGenerator
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from litestar import Controller, Request, Response, WebSocket, get, post, websocket
from litestar.handlers import send_websocket_stream
from litestar.params import Parameter
from litestar.response import ServerSentEvent
from litestar.response.sse import ServerSentEventMessage
from litestar.status_codes import HTTP_200_OK, HTTP_202_ACCEPTED
from litestar.types import ControllerRouterHandler

from backend.charging.controllers_corrections import CORRECTION_ROUTES
from backend.charging.controllers_quotes import QUOTE_ROUTES
from backend.charging.controllers_statements import STATEMENT_ROUTES
from backend.charging.controllers_tariffs import TARIFF_ROUTES
from backend.charging.live import present, watch_session
from backend.charging.schemas import (
    AnswerBody,
    DisputeBody,
    DisputeOut,
    OrderOut,
    PayBody,
    SessionMessage,
    SessionOut,
    StartBody,
    dispute_out,
    order_out,
)
from backend.charging.service import orders, sessions, supplements
from backend.charging.service.orders import DisputeOpen, NothingToDecide, OrderNotPayable
from backend.charging.service.sessions import SessionOver
from backend.charging.service.start import (
    ConnectorOffline,
    ConnectorOutOfService,
    DepartureInvalid,
    NoBatteryData,
    SessionRunning,
    UnpaidOrder,
    start_session,
)
from backend.charging.service.statements import UnpaidStatement
from backend.core.auth import Principal, Staff, StaffOnly
from backend.core.clock import Clock
from backend.core.errors import NotFound
from backend.core.http import etag_response
from backend.core.live import Live
from backend.core.paging import Page, decode_cursor, encode_cursor
from backend.core.problem_docs import answers
from backend.core.problems import choose_locale
from backend.core.services import Services
from backend.payments.service import PaymentSheet
from backend.reservations.service.claims import (
    AgreementNeeded,
    ConnectorTaken,
    StationClosed,
    TooLittleTimeLeft,
    VehicleElsewhere,
)
from backend.stations.service import StationUnderSafetyHold
from backend.tariffs.service import NoTariff

AnyRequest = Request[Any, Any, Any]
Cursor = Annotated[str | None, Parameter(description="`next` of the page before")]
Limit = Annotated[int, Parameter(ge=1, le=100, description="Items a page")]
OrderStatusFilter = Annotated[
    Literal["open", "review", "unpaid", "paid", "free"] | None, Parameter(description="Only orders of this status")
]


def _clock(services: Services) -> Clock:
    return services.get(Clock)  # type: ignore[type-abstract]


class SessionController(Controller):
    """Charging."""

    path = "/v1/sessions"
    tags = ("charging",)

    @post(
        operation_id="startSession",
        summary="Start charging",
        description=(
            "Under the caller's booking of this connector, or as a walk-up (the answer's `ends_at` says until when). "
            "Lowers the ground lock and sends the charger its start command; follow the session for what comes of it. "
            "A target_soc_pct on AC is refused: AC gives no battery data."
        ),
        responses=answers(
            NotFound,
            NoBatteryData,
            DepartureInvalid,
            UnpaidOrder,
            UnpaidStatement,
            StationUnderSafetyHold,
            ConnectorOutOfService,
            ConnectorOffline,
            SessionRunning,
            ConnectorTaken,
            VehicleElsewhere,
            StationClosed,
            TooLittleTimeLeft,
            AgreementNeeded,
            NoTariff,
        ),
    )
    async def start(
        self, data: StartBody, principal: Principal, services: Services, now: datetime, locale: str
    ) -> SessionOut:
        """Start a session."""
        session = await start_session(
            account_id=principal.account_id,
            vehicle_id=data.vehicle_id,
            connector_id=data.connector_id,
            qr=data.qr,
            target_soc_pct=data.target_soc_pct,
            target_energy_wh=data.target_energy_wh,
            departs_at=data.departs_at,
            now=now,
        )
        shown, _ = await present(session, clock=_clock(services), locale=locale)
        return shown

    @get(
        operation_id="listSessions",
        summary="The caller's sessions, newest first",
        description="Running and past sessions; a past one has an order.",
    )
    async def list_sessions(
        self, principal: Principal, services: Services, locale: str, cursor: Cursor = None, limit: Limit = 20
    ) -> Page[SessionOut]:
        """Return one page."""
        before: UUID | None = decode_cursor(cursor, UUID)[0] if cursor is not None else None
        found = await sessions.list_sessions(account_id=principal.account_id, before=before, limit=limit + 1)
        shown = [(await present(s, clock=_clock(services), locale=locale))[0] for s in found[:limit]]
        return Page(items=shown, next=encode_cursor(shown[-1].id) if len(found) > limit else None)

    @get(
        "/{session_id:uuid}",
        operation_id="getSession",
        summary="A session with its live values",
        description="Power, energy, state of charge, temperature, cost so far by line. Poll it with If-None-Match.",
        responses=answers(NotFound),
    )
    async def get_session(
        self, session_id: UUID, request: AnyRequest, principal: Principal, services: Services, locale: str
    ) -> Response[SessionOut]:
        """Return the session."""
        session = await sessions.get_session(session_id=session_id, account_id=principal.account_id)
        shown, _ = await present(session, clock=_clock(services), locale=locale)
        return etag_response(request, shown)

    @post(
        "/{session_id:uuid}/stop",
        status_code=HTTP_202_ACCEPTED,
        operation_id="stopSession",
        summary="Stop charging",
        description="Sends the stop command; the session is over when the charger says so.",
        responses=answers(NotFound, SessionOver),
    )
    async def stop(
        self, session_id: UUID, principal: Principal, services: Services, now: datetime, locale: str
    ) -> SessionOut:
        """Stop a session."""
        await sessions.get_session(session_id=session_id, account_id=principal.account_id)
        session = await sessions.stop_session(
            session_id=session_id, reason="resident", actor=str(principal.account_id), now=now
        )
        shown, _ = await present(session, clock=_clock(services), locale=locale)
        return shown

    @get(
        "/{session_id:uuid}/live",
        operation_id="streamSession",
        summary="A session as it goes (SSE)",
        description=(
            "Server-sent events named snapshot, sample, status, warning and ping; the same over WebSocket. Takes "
            "?ticket= from POST /v1/auth/tickets."
        ),
        responses=answers(NotFound),
    )
    async def live_sse(
        self, session_id: UUID, ticket_principal: Principal, services: Services, locale: str
    ) -> ServerSentEvent:
        """Stream a session to a browser."""
        await sessions.get_session(session_id=session_id, account_id=ticket_principal.account_id)
        stream = _watch(session_id, ticket_principal, services, locale)

        async def events() -> AsyncGenerator[ServerSentEventMessage, None]:
            async for message in stream:
                yield ServerSentEventMessage(
                    event=message.type, data=msgspec.json.encode(message).decode(), id=None, retry=3000
                )

        return ServerSentEvent(events())


def _watch(
    session_id: UUID, principal: Principal, services: Services, locale: str
) -> AsyncGenerator[SessionMessage, None]:
    return watch_session(
        session_id=session_id,
        account_id=principal.account_id,
        live=services.get(Live),
        clock=_clock(services),
        locale=locale,
    )


@websocket("/v1/sessions/{session_id:uuid}/live")
async def live_websocket(
    socket: WebSocket[Any, Any, Any], session_id: UUID, ticket_principal: Principal, services: Services
) -> None:
    """Stream a session over WebSocket; a session that is not the caller's refuses the handshake."""
    await sessions.get_session(session_id=session_id, account_id=ticket_principal.account_id)
    stream = _watch(session_id, ticket_principal, services, choose_locale(socket.headers.get("accept-language")))

    async def texts() -> AsyncGenerator[str, None]:
        async for message in stream:
            yield msgspec.json.encode(message).decode()

    await socket.accept()
    await send_websocket_stream(socket, texts(), listen_for_disconnect=True, warn_on_data_discard=False)


class OrderController(Controller):
    """Bills."""

    path = "/v1/orders"
    tags = ("orders",)

    @get(
        operation_id="listOrders",
        summary="The caller's bills, newest first",
        description="Each with its lines per band; an unpaid one stops new sessions.",
    )
    async def list_orders(
        self,
        request: AnyRequest,
        principal: Principal,
        status: OrderStatusFilter = None,
        cursor: Cursor = None,
        limit: Limit = 20,
    ) -> Response[Page[OrderOut]]:
        """Return one page."""
        before: UUID | None = decode_cursor(cursor, UUID)[0] if cursor is not None else None
        found = await orders.list_orders(account_id=principal.account_id, status=status, before=before, limit=limit + 1)
        return etag_response(request, await _page(found, limit))

    @get(
        "/{order_id:uuid}",
        operation_id="getOrder",
        summary="A bill with its lines and disputes",
        description="Lines add up to the fees, the fees to the total. Another resident's bill is a 404.",
        responses=answers(NotFound),
    )
    async def get_order(self, order_id: UUID, request: AnyRequest, principal: Principal) -> Response[OrderOut]:
        """Return the bill."""
        order = await orders.get_order(order_id=order_id, account_id=principal.account_id)
        return etag_response(request, await _whole(order))

    @post(
        "/{order_id:uuid}/pay",
        status_code=HTTP_200_OK,
        operation_id="payOrder",
        summary="Begin to pay a bill",
        description="Answers the parameters of the payment sheet; the bill is paid when the provider confirms.",
        responses=answers(NotFound, OrderNotPayable),
    )
    async def pay(
        self, order_id: UUID, data: PayBody, principal: Principal, services: Services, now: datetime
    ) -> PaymentSheet:
        """Start a payment."""
        return await orders.pay_order(
            order_id=order_id, account_id=principal.account_id, channel=data.channel, services=services, now=now
        )

    @post(
        "/{order_id:uuid}/dispute",
        operation_id="disputeOrder",
        summary="Object to a bill",
        description="The operator sees the objection and answers; both stay visible with the bill.",
        responses=answers(NotFound, DisputeOpen),
    )
    async def dispute(self, order_id: UUID, data: DisputeBody, principal: Principal, now: datetime) -> DisputeOut:
        """Open a dispute."""
        dispute = await orders.dispute_order(
            order_id=order_id, account_id=principal.account_id, reason=data.reason, now=now
        )
        return dispute_out(dispute)


class OperatorOrderController(Controller):
    """Bills of the caller's operator company."""

    path = "/v1/operator/orders"
    tags = ("operator",)

    @get(
        operation_id="listCompanyOrders",
        summary="The company's bills, newest first",
        description="`status=review` is the queue of bills that a person has to look at.",
        responses=answers(StaffOnly),
    )
    async def list_orders(
        self, staff: Staff, status: OrderStatusFilter = None, cursor: Cursor = None, limit: Limit = 50
    ) -> Page[OrderOut]:
        """Return one page."""
        before: UUID | None = decode_cursor(cursor, UUID)[0] if cursor is not None else None
        companies = staff.company_ids("operator", "lead", "inspector")
        found = await orders.list_orders(company_ids=companies, status=status, before=before, limit=limit + 1)
        return await _page(found, limit)

    @get(
        "/{order_id:uuid}",
        operation_id="getCompanyOrder",
        summary="A bill of the company",
        description="With lines, review reasons and disputes. Another company's bill is a 404.",
        responses=answers(StaffOnly, NotFound),
    )
    async def get_order(self, order_id: UUID, staff: Staff) -> OrderOut:
        """Return the bill."""
        companies = staff.company_ids("operator", "lead", "inspector")
        order = await orders.get_company_order(order_id=order_id, company_ids=companies)
        return await _whole(order)

    @post(
        "/{order_id:uuid}/answer",
        status_code=HTTP_200_OK,
        operation_id="answerOrderDispute",
        summary="Answer a resident's objection",
        description="The answer is shown to the resident with the bill.",
        responses=answers(StaffOnly, NotFound, NothingToDecide),
    )
    async def answer(self, order_id: UUID, data: AnswerBody, staff: Staff, now: datetime) -> DisputeOut:
        """Answer the open dispute."""
        companies = staff.company_ids("operator", "lead")
        order = await orders.get_company_order(order_id=order_id, company_ids=companies)
        role = staff.role_at(order.operator_company_id)
        dispute = await orders.answer_dispute(
            order=order, answer=data.text, actor_id=staff.account_id, role=role, now=now
        )
        return dispute_out(dispute)

    @post(
        "/{order_id:uuid}/write-off",
        status_code=HTTP_200_OK,
        operation_id="writeOffOrder",
        summary="Close a bill under review without charge",
        description="For readings that cannot be trusted: what cannot be measured is not billed. Audited.",
        responses=answers(StaffOnly, NotFound, NothingToDecide),
    )
    async def write_off(self, order_id: UUID, data: AnswerBody, staff: Staff, now: datetime) -> OrderOut:
        """Write the bill off."""
        companies = staff.company_ids("operator")
        order = await orders.get_company_order(order_id=order_id, company_ids=companies)
        role = staff.role_at(order.operator_company_id)
        closed = await orders.write_off(order=order, reason=data.text, actor_id=staff.account_id, role=role, now=now)
        return order_out(closed)


async def _page(found: list[orders.OrderView], limit: int) -> Page[OrderOut]:
    more = await supplements.sum_unpaid(subject_ids=[order.id for order in found if order.status == "paid"])
    shown = [order_out(order, more_fen=more.get(order.id, 0)) for order in found[:limit]]
    return Page(items=shown, next=encode_cursor(shown[-1].id) if len(found) > limit else None)


async def _whole(order: orders.OrderView) -> OrderOut:
    more = await supplements.sum_unpaid(subject_ids=[order.id])
    return order_out(order, await orders.list_disputes(order_id=order.id), more_fen=more.get(order.id, 0))


ROUTES: list[ControllerRouterHandler] = [
    SessionController,
    live_websocket,
    OrderController,
    OperatorOrderController,
    *CORRECTION_ROUTES,
    *QUOTE_ROUTES,
    *STATEMENT_ROUTES,
    *TARIFF_ROUTES,
]
