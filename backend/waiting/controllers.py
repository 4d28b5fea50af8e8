"""HTTP paths of the queue and of the wait figures."""

from datetime import date, datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

from litestar import Controller, Request, Response, delete, get, post
from litestar.params import Parameter, QueryParameter
from litestar.types import ControllerRouterHandler

from backend.core.auth import Principal, Staff, StaffOnly
from backend.core.errors import Invalid, NotFound, Unauthenticated
from backend.core.http import etag_response
from backend.core.paging import Page
from backend.core.problem_docs import answers
from backend.core.units import CoordMissing, PositionInvalid, read_position
from backend.stations import service as stations
from backend.waiting.rules.waits import UserClass
from backend.waiting.schemas import POWER_OF, QueueAnswer, QueueBody, WaitFigureAnswer
from backend.waiting.service import indicators, queue
from backend.waiting.service.indicators import BEIJING
from backend.waiting.service.queue import AlreadyQueued, NoOffer

AnyRequest = Request[Any, Any, Any]
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
        ),
        responses=answers(Unauthenticated, NotFound, AlreadyQueued, CoordMissing, PositionInvalid),
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
            now=now,
        )
        return QueueAnswer.of(view)

    @get(
        "/{entry_id:uuid}",
        operation_id="getQueueEntry",
        summary="Read a place in a queue",
        description="Position, expected wait and offer, live; poll it with `If-None-Match`.",
        responses=answers(Unauthenticated, NotFound),
    )
    async def read(
        self, request: AnyRequest, principal: Principal, entry_id: UUID, now: datetime
    ) -> Response[QueueAnswer]:
        """Read."""
        view = await queue.read(account_id=principal.account_id, entry_id=entry_id, now=now)
        return etag_response(request, QueueAnswer.of(view))

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


ROUTES: list[ControllerRouterHandler] = [Queue, list_waits]
