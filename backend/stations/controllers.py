"""Communities and homes; for operators their own stations, devices and settings."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from litestar import Controller, get, post, put
from litestar.datastructures import UploadFile
from litestar.enums import RequestEncodingType
from litestar.params import Body, Parameter
from litestar.types import ControllerRouterHandler

from backend.accounts.service.staff import CompanyUnclear
from backend.core.auth import Principal, Staff, StaffOnly
from backend.core.errors import NotFound, Unauthenticated
from backend.core.paging import CursorInvalid, Page, decode_cursor, encode_cursor
from backend.core.problem_docs import answers
from backend.core.units import CoordMissing, PositionInvalid, read_position
from backend.stations import service as stations
from backend.stations.controllers_devices import ROUTES as DEVICE_ROUTES
from backend.stations.rules.records import StationRecord
from backend.stations.rules.settings import StationSettings
from backend.stations.schemas import (
    BayBody,
    ChargerBody,
    CommunityAnswer,
    HomeAnswer,
    HomeBody,
    ImportAnswer,
    NewStationBody,
    RefusedRowAnswer,
    ServiceBody,
    SettingsAnswer,
    StationBody,
    StationDetail,
)
from backend.stations.service import operate
from backend.stations.service.build import CodeInvalid, CodeTaken, SettingsInvalid
from backend.stations.service.imports import FileRefused
from backend.stations.service.operate import ZoneNeedsPlan

IMPORT_MAX_BYTES = 8 * 1024 * 1024
Limit = Annotated[int, Parameter(ge=1, le=200, description="Items per page")]
Cursor = Annotated[str | None, Parameter(description="`next` of the page before")]


@get(
    "/v1/communities",
    operation_id="searchCommunities",
    summary="Find a housing compound",
    description="By part of its name or district, by distance from a point (nearest first), or both.",
    tags=["discovery"],
    responses=answers(CoordMissing, PositionInvalid, CursorInvalid),
)
async def search_communities(
    q: Annotated[str | None, Parameter(description="Part of the name or of the district", max_length=120)] = None,
    lat: Annotated[float | None, Parameter(description="Latitude, degrees")] = None,
    lng: Annotated[float | None, Parameter(description="Longitude, degrees")] = None,
    coord: Annotated[str | None, Parameter(description="Datum of lat and lng: gcj02 or wgs84")] = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Page[CommunityAnswer]:
    """Find compounds."""
    near = None if lat is None and lng is None else read_position(lat=lat, lng=lng, coord=coord)
    found = await stations.list_communities(text=q.strip() if q else None, near=near)
    start = decode_cursor(cursor, int)[0] if cursor else 0
    shown = found[start : start + limit]
    more = encode_cursor(start + limit) if len(found) > start + limit else None
    return Page([CommunityAnswer.of(view, away) for view, away in shown], more)


@put(
    "/v1/me/home",
    operation_id="putHome",
    summary="Say where one lives",
    description="The compound that `near=home` searches around and that agreements start from.",
    tags=["me"],
    responses=answers(Unauthenticated, NotFound),
)
async def put_home(principal: Principal, data: HomeBody, now: datetime) -> HomeAnswer:
    """Set the home."""
    home = await stations.set_home(account_id=principal.account_id, community_id=data.community_id, now=now)
    near = await stations.pilot_stations_within(lat=home.lat, lng=home.lng)
    return HomeAnswer(
        community_id=home.community_id, name=home.name, lat=home.lat, lng=home.lng, stations_within_500_m=len(near)
    )


async def _detail(record: StationRecord) -> StationDetail:
    chargers, connectors, bays = await operate.topology(station_id=record.id)
    return StationDetail(station=record, chargers=chargers, connectors=connectors, bays=bays)


class OperatorStations(Controller):
    """The stations of the caller's companies."""

    path = "/v1/operator/stations"
    tags = ("operator",)

    @get(
        operation_id="listOwnStations",
        summary="List the own stations",
        description="For operators, leads and inspectors; by code.",
        responses=answers(Unauthenticated, StaffOnly, CursorInvalid),
    )
    async def list_own(self, staff: Staff, cursor: Cursor = None, limit: Limit = 50) -> Page[StationRecord]:
        """List stations."""
        after = decode_cursor(cursor, str)[0] if cursor else None
        found = await operate.list_own_stations(staff=staff, after=after, limit=limit + 1)
        return Page(found[:limit], encode_cursor(found[limit - 1].code) if len(found) > limit else None)

    @post(
        operation_id="createStation",
        summary="Add a station",
        description="Its chargers, bays and devices are put in place afterwards. The code never changes.",
        responses=answers(Unauthenticated, StaffOnly, CompanyUnclear, CodeTaken, CodeInvalid),
    )
    async def create(self, staff: Staff, data: NewStationBody, now: datetime) -> StationDetail:
        """Add a station."""
        company_id = operate.own_company(staff, data.operator_company_id)
        record = await operate.create_station(
            staff=staff, operator_company_id=company_id, code=data.code, fields=data.fields(), now=now
        )
        return await _detail(record)

    @get(
        "/{station_id:uuid}",
        operation_id="getOwnStation",
        summary="Read a station with its chargers, connectors and bays",
        description="Those out of service too.",
        responses=answers(Unauthenticated, StaffOnly, NotFound),
    )
    async def read(self, staff: Staff, station_id: UUID) -> StationDetail:
        """Read a station."""
        return await _detail(await operate.get_own_station(staff=staff, station_id=station_id))

    @put(
        "/{station_id:uuid}",
        operation_id="replaceStation",
        summary="Replace a station's data",
        description="Code, company and settings stay as they are.",
        responses=answers(Unauthenticated, StaffOnly, NotFound),
    )
    async def replace(self, staff: Staff, station_id: UUID, data: StationBody, now: datetime) -> StationDetail:
        """Replace a station."""
        return await _detail(
            await operate.replace_station(staff=staff, station_id=station_id, fields=data.fields(), now=now)
        )

    @put(
        "/{station_id:uuid}/chargers/{code:str}",
        operation_id="putCharger",
        summary="Add or change a charger",
        description="With its guns; their QR codes are `{code}-{number}`. A gun is taken out of service, never away.",
        responses=answers(Unauthenticated, StaffOnly, NotFound, CodeTaken, CodeInvalid),
    )
    async def put_charger(
        self, staff: Staff, station_id: UUID, code: str, data: ChargerBody, now: datetime
    ) -> StationDetail:
        """Put a charger in place."""
        await operate.put_charger(
            staff=staff,
            station_id=station_id,
            code=code,
            kind=data.kind,
            max_power_w=data.max_power_w,
            guns=data.guns,
            gun_power_w=data.gun_power_w,
            model=data.model,
            maker=data.maker,
            area=data.area,
            commissioned_on=data.commissioned_on,
            now=now,
        )
        return await _detail(await operate.get_own_station(staff=staff, station_id=station_id))

    @put(
        "/{station_id:uuid}/bays/{code:str}",
        operation_id="putBay",
        summary="Add or change a bay",
        description="A new bay has its zone at once; changing a zone is planned with POST /v1/operator/zone-changes.",
        responses=answers(Unauthenticated, StaffOnly, NotFound, CodeInvalid, ZoneNeedsPlan),
    )
    async def put_bay(self, staff: Staff, station_id: UUID, code: str, data: BayBody, now: datetime) -> StationDetail:
        """Put a bay in place."""
        await operate.put_bay(
            staff=staff,
            station_id=station_id,
            code=code,
            zone=data.zone,
            connector_ids=data.connector_ids,
            area=data.area,
            now=now,
        )
        return await _detail(await operate.get_own_station(staff=staff, station_id=station_id))

    @put(
        "/{station_id:uuid}/connectors/{connector_id:uuid}/service",
        operation_id="putConnectorService",
        summary="Take a connector out of service or back",
        description="One out of service is in no search and starts no session.",
        responses=answers(Unauthenticated, StaffOnly, NotFound),
    )
    async def put_service(
        self, staff: Staff, station_id: UUID, connector_id: UUID, data: ServiceBody, now: datetime
    ) -> StationDetail:
        """Take a connector out of service or back."""
        await operate.set_in_service(
            staff=staff, station_id=station_id, connector_id=connector_id, in_service=data.in_service, now=now
        )
        return await _detail(await operate.get_own_station(staff=staff, station_id=station_id))

    @post(
        "/import",
        operation_id="importStations",
        summary="Import stations without devices from a CSV file",
        description=(
            "multipart/form-data with `file`: UTF-8, columns station_id, lat, lng, fast_chargers, slow_chargers, and"
            " name"
            " and address where known. Rows that are wrong are refused one by one with the reason; the rest is"
            " taken. Safe"
            " to repeat."
        ),
        request_max_body_size=IMPORT_MAX_BYTES,
        status_code=200,
        responses=answers(Unauthenticated, StaffOnly, FileRefused),
    )
    async def import_file(
        self,
        staff: Staff,
        data: Annotated[dict[str, UploadFile], Body(media_type=RequestEncodingType.MULTI_PART)],
        now: datetime,
    ) -> ImportAnswer:
        """Import a file."""
        company_id = operate.own_company(staff, None)
        file = data.get("file")
        if file is None:
            raise FileRefused(problem="send the CSV as multipart/form-data under the name `file`")
        report = await operate.import_stations(
            staff=staff, operator_company_id=company_id, content=await file.read(), now=now
        )
        return ImportAnswer(
            rows=report.rows,
            added=report.added,
            updated=report.updated,
            unchanged=report.unchanged,
            refused=[
                RefusedRowAnswer(line=r.line, field=r.field, value=r.value, right=r.right) for r in report.refused
            ],
        )


class OperatorSettings(Controller):
    """The numbers of the caller's stations."""

    path = "/v1/operator/settings"
    tags = ("operator",)

    @get(
        operation_id="listSettings",
        summary="List the settings of the own stations",
        description="Times in seconds, money in fen; the defaults are the service's promises.",
        responses=answers(Unauthenticated, StaffOnly, CursorInvalid),
    )
    async def list_settings(self, staff: Staff, cursor: Cursor = None, limit: Limit = 50) -> Page[SettingsAnswer]:
        """List settings."""
        after = decode_cursor(cursor, str)[0] if cursor else None
        found = await operate.list_own_stations(staff=staff, after=after, limit=limit + 1)
        items = [SettingsAnswer(station_id=s.id, code=s.code, settings=s.settings) for s in found[:limit]]
        return Page(items, encode_cursor(found[limit - 1].code) if len(found) > limit else None)

    @put(
        "/{station_id:uuid}",
        operation_id="putSettings",
        summary="Replace a station's settings",
        description="What is left out returns to the default.",
        responses=answers(Unauthenticated, StaffOnly, NotFound, SettingsInvalid),
    )
    async def put_settings(
        self, staff: Staff, station_id: UUID, data: StationSettings, now: datetime
    ) -> SettingsAnswer:
        """Replace settings."""
        record = await operate.put_settings(staff=staff, station_id=station_id, settings=data, now=now)
        return SettingsAnswer(station_id=record.id, code=record.code, settings=record.settings)


ROUTES: list[ControllerRouterHandler] = [
    search_communities,
    put_home,
    OperatorStations,
    OperatorSettings,
    *DEVICE_ROUTES,
]
