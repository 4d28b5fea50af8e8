"""The search, one station now and live, and the day's prices."""

from collections.abc import AsyncGenerator
from datetime import date, datetime, time, timedelta
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from litestar import Controller, Request, Response, WebSocket, get, websocket
from litestar.handlers import send_websocket_stream
from litestar.params import Parameter
from litestar.response import ServerSentEvent
from litestar.response.sse import ServerSentEventMessage
from litestar.types import ControllerRouterHandler

from backend.accounts import service as accounts
from backend.agreements import service as agreements
from backend.core.auth import Principal, provide_caller
from backend.core.clock import Clock
from backend.core.errors import Conflict, NotFound, Unauthenticated
from backend.core.http import etag_bytes_response, etag_response, find_header
from backend.core.paging import CursorInvalid, decode_cursor, encode_cursor
from backend.core.problem_docs import answers
from backend.core.services import Services
from backend.core.units import CoordMissing, Point, PositionInvalid, read_position
from backend.discovery.rules.picture import count_guns
from backend.discovery.schemas import (
    ConnectorsOut,
    DayBandOut,
    DayPricesOut,
    LiveOut,
    NearbyOut,
    StationOut,
    ZoneChangeOut,
    connector_out,
)
from backend.discovery.service.board import Board
from backend.discovery.service.nearby import MeasuredFrom, encode_found, find_nearby, price_now, wait_of
from backend.discovery.service.pictures import StationPicture
from backend.discovery.service.watch import Moment, watch_station
from backend.reservations.service import zones
from backend.stations import service as stations
from backend.tariffs.rules.bands import BEIJING
from backend.tariffs.service import NoTariff
from backend.tariffs.service.day import stretches_between

AnyRequest = Request[Any, Any, Any]
WIDEST_M = 5000


class HomeUnknown(Conflict):
    """Search near home, and no home is set."""

    code = "home_unknown"
    title_en = "No home compound is set"
    title_zh = "尚未设置居住小区"
    detail_en = "Set it with PUT /v1/me/home, or search by lat, lng and coord."
    detail_zh = "请先设置居住小区，或使用坐标查找。"


async def _companies_of(caller: Principal | None, now: datetime) -> frozenset[UUID]:
    """Return the companies with which the caller has, or drives under, an agreement in force."""
    if caller is None:
        return frozenset()
    return await agreements.companies_of(account_id=caller.account_id, at=now)


async def _centre(
    near: Literal["home"] | None, caller: Principal | None, lat: float | None, lng: float | None, coord: str | None
) -> tuple[Point, MeasuredFrom]:
    if near is None:
        return read_position(lat=lat, lng=lng, coord=coord), "point"
    if caller is None:
        raise Unauthenticated
    home = await stations.find_home(account_id=caller.account_id)
    if home is None:
        raise HomeUnknown
    return Point(home.lat, home.lng), "community_centre"


async def _picture(services: Services, station_id: UUID, now: datetime) -> StationPicture:
    picture = (await services.get(Board).view(now=now)).pictures.get(station_id)
    if picture is None:
        raise NotFound(kind="station")
    return picture


class Discovery(Controller):
    """Finding a station."""

    path = "/v1/stations"
    tags = ("discovery",)

    @get(
        operation_id="searchStations",
        summary="Stations within a radius, nearest first",
        description=(
            "With what is free, what is unknown, both service prices and the predicted wait, as of now: a change of"
            " state shows within a second. The radius (500 m) is never widened silently: when nothing lies inside,"
            " `items` is empty and `nearest_beyond` names the next station. Poll with If-None-Match."
        ),
        responses=answers(CoordMissing, PositionInvalid, Unauthenticated, HomeUnknown, CursorInvalid),
    )
    async def search(
        self,
        request: AnyRequest,
        lat: Annotated[float | None, Parameter(description="Latitude, degrees")] = None,
        lng: Annotated[float | None, Parameter(description="Longitude, degrees")] = None,
        coord: Annotated[str | None, Parameter(description="Datum of lat and lng: gcj02 or wgs84; required")] = None,
        near: Annotated[Literal["home"] | None, Parameter(description="Instead of a point: the caller's home")] = None,
        radius_m: Annotated[int, Parameter(ge=1, le=WIDEST_M, description="Radius in metres")] = 500,
        zone: Annotated[
            Literal["resident", "public"] | None, Parameter(description="Only stations with connectors in this zone")
        ] = None,
        power: Annotated[
            Literal["fast", "slow"] | None, Parameter(description="Count only DC (fast) or AC (slow) connectors")
        ] = None,
        free: Annotated[bool, Parameter(description="Only stations with a free connector (of zone and power)")] = False,
        cursor: Annotated[str | None, Parameter(description="`next` of the page before")] = None,
        limit: Annotated[int, Parameter(ge=1, le=200, description="Stations a page")] = 50,
    ) -> Response[NearbyOut]:
        """Search. The most asked path takes no injected dependencies: resolving them costs more than the search."""
        services: Services = request.app.state["services"]
        now = services.get(Clock).now()  # type: ignore[type-abstract]
        caller = await provide_caller(request, services) if find_header(request, b"authorization") else None
        centre, measured_from = await _centre(near, caller, lat, lng, coord)
        view = await services.get(Board).view(now=now)
        found = find_nearby(view, centre=centre, radius_m=radius_m, zone=zone, speed=power, free=free, now=now)
        start = 0
        if cursor is not None:
            away, station_id = decode_cursor(cursor, int, UUID)
            start = sum(1 for hit in found.hits if (hit.distance_m, hit.station.station_id) <= (away, station_id))
        more = len(found.hits) > start + limit
        last = found.hits[start + limit - 1] if more else None
        body = encode_found(
            found,
            start=start,
            limit=limit,
            next_cursor=None if last is None else encode_cursor(last.distance_m, last.station.station_id),
            measured_from=measured_from,
            companies=await _companies_of(caller, now),
        )
        return etag_bytes_response(request, body)

    @get(
        "/{station_id:uuid}",
        operation_id="getStation",
        summary="One station now",
        description="Place, company, what is free and what it costs.",
        responses=answers(NotFound),
    )
    async def station(
        self, request: AnyRequest, station_id: UUID, services: Services, caller: Principal | None, now: datetime
    ) -> Response[StationOut]:
        """Return the station."""
        picture = await _picture(services, station_id, now)
        place = picture.station
        company = await accounts.get_operator_company(company_id=place.operator_company_id)
        mine = place.operator_company_id in await _companies_of(caller, now)
        return etag_response(
            request,
            StationOut(
                id=place.id,
                code=place.code,
                name=place.name,
                pilot=place.pilot,
                operator=company.name,
                operator_company_id=company.id,
                hotline=company.hotline,
                lat=place.lat,
                lng=place.lng,
                address=place.address,
                opening_hours=place.opening_hours,
                parking=place.parking,
                supply_class=place.supply_class,
                has_devices=place.has_devices,
                safety_hold=place.safety_hold,
                connectors=count_guns(picture.guns, held=place.safety_hold, now=now),
                price=price_now(picture, now),
                wait_s=wait_of(picture, now=now),
                user_class="agreement" if mine else "market",
                zone_changes=[
                    ZoneChangeOut(
                        bay=change.bay_code,
                        zone_from=change.zone_from,
                        zone_to=change.zone_to,
                        effective_at=change.effective_at,
                    )
                    for change in await zones.announced(station_id=place.id)
                ],
            ),
        )

    @get(
        "/{station_id:uuid}/connectors",
        operation_id="listConnectors",
        summary="The connectors of a station now",
        description="Each connector in service with its state, who may use it (zone) and when it is held next.",
        responses=answers(NotFound),
    )
    async def connectors(
        self, request: AnyRequest, station_id: UUID, services: Services, now: datetime
    ) -> Response[ConnectorsOut]:
        """Return the connectors."""
        picture = await _picture(services, station_id, now)
        codes = {bay.id: bay.code for bay in await stations.list_bays(station_id=station_id)}
        held = picture.station.safety_hold
        return etag_response(
            request,
            ConnectorsOut(items=[connector_out(gun, held=held, bay_codes=codes, now=now) for gun in picture.guns]),
        )

    @get(
        "/{station_id:uuid}/prices",
        operation_id="listPrices",
        summary="What a day costs at a station",
        description=(
            "The bands of a Beijing day in order, ready to draw: minutes of the day, prices of this caller and of"
            " both classes, also over a change of versions within the day. The version in force when a session starts"
            " prices the whole session."
        ),
        responses=answers(NotFound, NoTariff),
    )
    async def prices(
        self,
        request: AnyRequest,
        station_id: UUID,
        caller: Principal | None,
        now: datetime,
        date: Annotated[date | None, Parameter(description="Day in Beijing, YYYY-MM-DD; today if left out")] = None,
    ) -> Response[DayPricesOut]:
        """Return the day's bands."""
        place = await stations.get_station(station_id=station_id)
        day = date or now.astimezone(BEIJING).date()
        starts_at = datetime.combine(day, time(), BEIJING)
        mine = place.operator_company_id in await _companies_of(caller, now)
        found = await stretches_between(
            station_id=station_id, starts_at=starts_at, ends_at=starts_at + timedelta(days=1)
        )
        items = []
        for stretch in found:
            service_e4 = stretch.agreement_service_e4 if mine else stretch.market_service_e4
            items.append(
                DayBandOut(
                    starts_at=stretch.starts_at,
                    ends_at=stretch.ends_at,
                    from_min=(stretch.starts_at - starts_at) // timedelta(minutes=1),
                    to_min=(stretch.ends_at - starts_at) // timedelta(minutes=1),
                    band=stretch.band,
                    energy_e4=stretch.energy_e4,
                    service_e4=service_e4,
                    total_e4=stretch.energy_e4 + service_e4,
                    market_service_e4=stretch.market_service_e4,
                    agreement_service_e4=stretch.agreement_service_e4,
                    parking=stretch.parking,
                    tariff_version_id=stretch.version_id,
                )
            )
        body = DayPricesOut(station_id=station_id, date=day, user_class="agreement" if mine else "market", items=items)
        return etag_response(request, body)

    @get(
        "/{station_id:uuid}/live",
        operation_id="streamStation",
        summary="A station as it changes (SSE)",
        description="Server-sent events snapshot, change and ping. Takes ?ticket= from POST /v1/auth/tickets.",
        responses=answers(Unauthenticated, NotFound),
    )
    async def live_sse(
        self, station_id: UUID, ticket_principal: Principal, services: Services, now: datetime
    ) -> ServerSentEvent:
        """Stream the station to a browser."""
        await _picture(services, station_id, now)
        stream = _live(services, station_id)

        async def events() -> AsyncGenerator[ServerSentEventMessage, None]:
            async for message in stream:
                yield ServerSentEventMessage(
                    event=message.type, data=msgspec.json.encode(message).decode(), id=None, retry=3000
                )

        return ServerSentEvent(events())


@websocket("/v1/stations/{station_id:uuid}/live")
async def live_websocket(
    socket: WebSocket[Any, Any, Any], station_id: UUID, ticket_principal: Principal, services: Services, now: datetime
) -> None:
    """Stream the station over WebSocket, as the mini-program has no EventSource."""
    await _picture(services, station_id, now)

    async def texts() -> AsyncGenerator[str, None]:
        async for message in _live(services, station_id):
            yield msgspec.json.encode(message).decode()

    await socket.accept()
    await send_websocket_stream(socket, texts(), listen_for_disconnect=True, warn_on_data_discard=False)


async def _live(services: Services, station_id: UUID) -> AsyncGenerator[LiveOut, None]:
    codes = {bay.id: bay.code for bay in await stations.list_bays(station_id=station_id)}
    clock = services.get(Clock)  # type: ignore[type-abstract]
    async for moment in watch_station(board=services.get(Board), station_id=station_id, clock=clock):
        yield _live_out(moment, codes)


def _live_out(moment: Moment, codes: dict[UUID, str]) -> LiveOut:
    return LiveOut(
        type=moment.kind,
        station_id=moment.picture.station.id,
        safety_hold=moment.held,
        counts=moment.counts,
        wait_s=moment.wait_s,
        connectors=[connector_out(gun, held=moment.held, bay_codes=codes, now=moment.now) for gun in moment.guns],
    )


ROUTES: list[ControllerRouterHandler] = [Discovery, live_websocket]
