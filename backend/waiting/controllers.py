"""HTTP paths of the queue and of the wait figures."""

from collections.abc import AsyncGenerator
from datetime import date, datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Controller, Request, Response, WebSocket, delete, get, post, websocket
from litestar.handlers import send_websocket_stream
from litestar.params import Parameter, QueryParameter
from litestar.response import ServerSentEvent
from litestar.response.sse import ServerSentEventMessage
from litestar.types import ControllerRouterHandler

from backend.charging.service import credits
from backend.core.auth import Principal, Staff, StaffOnly
from backend.core.clock import Clock
from backend.core.errors import Invalid, NotFound, Unauthenticated
from backend.core.http import etag_response
from backend.core.live import Live
from backend.core.paging import CursorInvalid, Page, decode_cursor, encode_cursor
from backend.core.problem_docs import answers
from backend.core.services import Services
from backend.core.units import CoordMissing, PositionInvalid, read_position
from backend.reservations.service.claims import ConnectorTaken, StationClosed, VehicleElsewhere
from backend.stations import service as stations
from backend.waiting.live import watch_entry
from backend.waiting.rules.waits import UserClass
from backend.waiting.schemas import (
    POWER_OF,
    ArrivalAnswer,
    CreditAnswer,
    FallbackAnswer,
    QueueAnswer,
    QueueBody,
    QueueMessage,
    WaitFigureAnswer,
)
from backend.waiting.service import fallback, indicators, queue
from backend.waiting.service.fallback import NoFallbackOffer
from backend.waiting.service.indicators import BEIJING
from backend.waiting.service.queue import AlreadyQueued, NoOffer, PlaceUnknown, TooFarToQueue

AnyRequest = Request[Any, Any, Any]
ARRIVALS_PER_PAGE = 200
LONGEST_REPORT = timedelta(days=366)


class PeriodInvalid(Invalid):
    """The days are in the wrong order, or more than a year apart."""

    code = "period_invalid"
    title_en = "The period is not valid"
    title_zh = "统计时段无效"
    detail_en = "`from` must not be after `to`, and at most a year before it."
    detail_zh = "起始日期不得晚于结束日期，且跨度不超过一年。"


class Queue(Controller):
    """The caller's places in queues."""

    path = "/v1/queue"
    tags = ("queue",)

    @post(
        operation_id="joinQueue",
        summary="Join a station's queue",
        description=(
            "A connector that is free for the caller is offered at once. Order: live bookings, agreement residents,"
            " others; within each, first come first served. Others are offered the public zone only."
            " For cars on site or within 2 km by a position, the code of a connector (`qr`), the approach camera"
            " or the caller's home compound. Live at GET /v1/queue/{id}/live."
        ),
        responses=answers(
            Unauthenticated,
            NotFound,
            TooFarToQueue,
            PlaceUnknown,
            StationClosed,
            AlreadyQueued,
            CoordMissing,
            PositionInvalid,
        ),
    )
    async def join(self, principal: Principal, data: QueueBody, now: datetime) -> QueueAnswer:
        """Join."""
        given = data.lat is not None or data.lng is not None
        position = read_position(lat=data.lat, lng=data.lng, coord=data.coord) if given else None
        view = await queue.join(
            account_id=principal.account_id,
            station_id=data.station_id,
            vehicle_id=data.vehicle_id,
            power=POWER_OF[data.power] if data.power else None,
            position=position,
            qr=data.qr,
            now=now,
        )
        return QueueAnswer.of(view)

    @get(
        "/{entry_id:uuid}",
        operation_id="getQueueEntry",
        summary="Read a place in a queue",
        description="Position, expected wait and offer; poll it with `If-None-Match`, or open it live.",
        responses=answers(Unauthenticated, NotFound),
    )
    async def read(
        self, request: AnyRequest, principal: Principal, entry_id: UUID, now: datetime
    ) -> Response[QueueAnswer]:
        """Read."""
        view = await queue.read(account_id=principal.account_id, entry_id=entry_id, now=now)
        return etag_response(request, QueueAnswer.of(view))

    @get(
        "/{entry_id:uuid}/live",
        operation_id="streamQueueEntry",
        summary="A place in a queue as it changes (SSE)",
        description=(
            "Server-sent events snapshot, change, offer and ping; over WebSocket the same messages. Ends after the"
            " message that shows the end. Takes ?ticket= from POST /v1/auth/tickets."
        ),
        responses=answers(Unauthenticated, NotFound),
    )
    async def live_sse(
        self, entry_id: UUID, ticket_principal: Principal, services: Services, now: datetime
    ) -> ServerSentEvent:
        """Stream a place in a queue to a browser."""
        await queue.read(account_id=ticket_principal.account_id, entry_id=entry_id, now=now)
        stream = _watch(entry_id, ticket_principal, services)

        async def events() -> AsyncGenerator[ServerSentEventMessage, None]:
            async for message in stream:
                yield ServerSentEventMessage(
                    event=message.type, data=msgspec.json.encode(message).decode(), id=None, retry=3000
                )

        return ServerSentEvent(events())

    @post(
        "/{entry_id:uuid}/accept",
        status_code=200,
        operation_id="acceptOffer",
        summary="Accept the offered connector",
        description="Opens its bay and keeps it for 10 minutes. Offers stand 90 s on site, 5 minutes from elsewhere.",
        responses=answers(Unauthenticated, NotFound, NoOffer),
    )
    async def accept(self, principal: Principal, entry_id: UUID, now: datetime) -> QueueAnswer:
        """Accept."""
        return QueueAnswer.of(await queue.accept(account_id=principal.account_id, entry_id=entry_id, now=now))

    @delete(
        "/{entry_id:uuid}",
        operation_id="leaveQueue",
        summary="Leave a queue",
        description="What was offered goes to the next one. Leaving again is harmless.",
        responses=answers(Unauthenticated, NotFound),
    )
    async def leave(self, principal: Principal, entry_id: UUID, now: datetime) -> None:
        """Leave."""
        await queue.leave(account_id=principal.account_id, entry_id=entry_id, now=now)


def _watch(entry_id: UUID, principal: Principal, services: Services) -> AsyncGenerator[QueueMessage, None]:
    clock = services.get(Clock)  # type: ignore[type-abstract]
    return watch_entry(entry_id=entry_id, account_id=principal.account_id, live=services.get(Live), clock=clock)


@websocket("/v1/queue/{entry_id:uuid}/live")
async def live_websocket(
    socket: WebSocket[Any, Any, Any], entry_id: UUID, ticket_principal: Principal, services: Services, now: datetime
) -> None:
    """Stream a place in a queue over WebSocket; one that is not the caller's refuses the handshake."""
    await queue.read(account_id=ticket_principal.account_id, entry_id=entry_id, now=now)
    stream = _watch(entry_id, ticket_principal, services)

    async def texts() -> AsyncGenerator[str, None]:
        async for message in stream:
            yield msgspec.json.encode(message).decode()

    await socket.accept()
    await send_websocket_stream(socket, texts(), listen_for_disconnect=True, warn_on_data_discard=False)


@get(
    "/v1/operator/indicators/waits",
    operation_id="listWaits",
    summary="Read the waits of the own stations",
    description=(
        "By station and Beijing day: arrivals, share within 5 minutes, median, 95th percentile, worst. A wait runs from"
        " the arrival on site (or the slot's start if later) until a connector is usable. The last 30 days unless asked"
        " otherwise."
    ),
    tags=["indicators"],
    responses=answers(Unauthenticated, StaffOnly, PeriodInvalid),
)
async def list_waits(
    staff: Staff,
    now: datetime,
    first: Annotated[date | None, QueryParameter(name="from", description="First day in Beijing")] = None,
    last: Annotated[date | None, QueryParameter(name="to", description="Last day in Beijing")] = None,
    user_class: Annotated[
        UserClass | None, Parameter(description="Only these: `booking`, `agreement` or `other`")
    ] = None,
    station_id: Annotated[UUID | None, Parameter(description="Only this station")] = None,
) -> Page[WaitFigureAnswer]:
    """List waits."""
    companies = staff.company_ids("operator", "lead", "inspector")
    last = last or now.astimezone(BEIJING).date()
    first = first or last - timedelta(days=29)
    if first > last or last - first > LONGEST_REPORT:
        raise PeriodInvalid(field="from")
    found = await indicators.wait_figures(
        company_ids=companies, first=first, last=last, user_class=user_class, station_id=station_id
    )
    names = {
        station.id: station.name
        for company_id in companies
        for station in await stations.list_stations(operator_company_id=company_id)
    }
    return Page([WaitFigureAnswer.of(figure, names[figure.station_id]) for figure in found])


@get(
    "/v1/operator/indicators/waits/{station_id:uuid}/arrivals",
    operation_id="listWaitArrivals",
    summary="Read the arrivals behind a wait figure",
    description="Of one own station and one Beijing day, for whoever inspects the figure. Nothing names a person.",
    tags=["indicators"],
    responses=answers(Unauthenticated, StaffOnly, CursorInvalid),
)
async def list_wait_arrivals(
    staff: Staff,
    station_id: UUID,
    day: Annotated[date, Parameter(description="Day in Beijing, YYYY-MM-DD")],
    user_class: Annotated[
        UserClass | None, Parameter(description="Only these: `booking`, `agreement` or `other`")
    ] = None,
    cursor: Annotated[str | None, Parameter(description="`next` of the previous page")] = None,
) -> Page[ArrivalAnswer]:
    """List arrivals."""
    found = await indicators.arrivals_behind(
        company_ids=staff.company_ids("operator", "lead", "inspector"),
        station_id=station_id,
        day=day,
        user_class=user_class,
        after=decode_cursor(cursor, UUID)[0] if cursor else None,
        limit=ARRIVALS_PER_PAGE + 1,
    )
    shown = found[:ARRIVALS_PER_PAGE]
    following = encode_cursor(shown[-1].arrival_id) if len(found) > ARRIVALS_PER_PAGE else None
    return Page([ArrivalAnswer.of(figure) for figure in shown], following)


class FallbackPlans(Controller):
    """What is done for the caller because a wait would pass five minutes."""

    path = "/v1/fallback-plans"
    tags = ("queue",)

    @get(
        operation_id="listFallbackPlans",
        summary="List the own fallback plans",
        description=(
            "Newest first, with every step that was tried: another connector of the resident zone, a public-zone"
            " connector at the agreement price, another pilot station within 500 m, a discount on the next bill."
        ),
        responses=answers(Unauthenticated),
    )
    async def list(self, principal: Principal) -> Page[FallbackAnswer]:
        """List plans."""
        found = await fallback.list_own(account_id=principal.account_id)
        return Page([FallbackAnswer.of(view) for view in found], None)

    @post(
        "/{plan_id:uuid}/accept",
        status_code=200,
        operation_id="acceptFallback",
        summary="Take the place at another station",
        description="A booking goes there as a new one and ends as `relocated`; without one the place is kept 15 min.",
        responses=answers(Unauthenticated, NotFound, NoFallbackOffer, ConnectorTaken, VehicleElsewhere),
    )
    async def accept(self, principal: Principal, plan_id: UUID, now: datetime) -> FallbackAnswer:
        """Accept."""
        view = await fallback.answer(account_id=principal.account_id, plan_id=plan_id, accept=True, now=now)
        return FallbackAnswer.of(view)

    @post(
        "/{plan_id:uuid}/decline",
        status_code=200,
        operation_id="declineFallback",
        summary="Refuse the place at another station",
        description="The next step follows at once.",
        responses=answers(Unauthenticated, NotFound, NoFallbackOffer),
    )
    async def decline(self, principal: Principal, plan_id: UUID, now: datetime) -> FallbackAnswer:
        """Decline."""
        view = await fallback.answer(account_id=principal.account_id, plan_id=plan_id, accept=False, now=now)
        return FallbackAnswer.of(view)


@get(
    "/v1/me/credits",
    operation_id="listCredits",
    summary="List the discounts that are owed",
    description="Granted where the five-minute promise was broken; what expires first comes off the next bill first.",
    tags=["orders"],
    responses=answers(Unauthenticated),
)
async def list_credits(principal: Principal, now: datetime) -> Page[CreditAnswer]:
    """List discounts."""
    found = await credits.list_credits(account_id=principal.account_id, now=now)
    return Page([CreditAnswer.of(view) for view in found], None)


ROUTES: list[ControllerRouterHandler] = [
    Queue,
    live_websocket,
    FallbackPlans,
    list_credits,
    list_waits,
    list_wait_arrivals,
]
