"""The devices of a station as its guards see them: silent, low, wrong by the clock. Nothing of credentials."""

from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from litestar import Request, Response, get
from litestar.params import Parameter
from litestar.types import ControllerRouterHandler
from msgspec import Meta

from backend.core.auth import Staff, StaffOnly
from backend.core.errors import Unauthenticated
from backend.core.http import etag_response
from backend.core.paging import CursorInvalid, Page, decode_cursor, encode_cursor
from backend.core.problem_docs import answers
from backend.telemetry import fleet
from backend.telemetry.fleet import FleetDevice
from backend.telemetry.schemas import HealthAnswer


class SiteDevice(msgspec.Struct, kw_only=True):
    """A device on site."""

    id: UUID
    code: Annotated[str, Meta(description="As it stands on its label")]
    kind: Literal["charger", "lock", "camera", "smoke"]
    station_id: UUID
    station_name: str
    bay_id: UUID | None
    charger_id: UUID | None
    area: Annotated[str | None, Meta(description="Where it hangs, of detectors and cameras")]
    report_interval_s: Annotated[int, Meta(description="Seconds between its reports")]
    health: HealthAnswer

    @classmethod
    def of(cls, device: FleetDevice) -> "SiteDevice":
        """Make the answer of a view."""
        fields = {name: getattr(device.entry, name) for name in cls.__struct_fields__ if name != "health"}
        health = msgspec.structs.asdict(device.health)
        return cls(**fields, health=HealthAnswer(**{**health, "problems": list(device.health.problems)}))


@get(
    "/v1/staff/devices",
    operation_id="listSiteDevices",
    summary="The devices where one works, with their health",
    description=(
        "For guards, leads, operators and inspectors, each only of the stations of their grants; by code, retired ones"
        " left out. `attention=true`: only those that are silent, offline, never heard, revoked or troubled (clock more"
        " than 60 s off, battery below 15 %, messages lost). Poll with ETag."
    ),
    tags=["staff"],
    responses=answers(Unauthenticated, StaffOnly, CursorInvalid),
)
async def list_site_devices(
    request: Request[Any, Any, Any],
    staff: Staff,
    station_id: Annotated[UUID | None, Parameter(description="Only of this station")] = None,
    attention: Annotated[bool, Parameter(description="Only what somebody has to look at")] = False,
    cursor: Annotated[str | None, Parameter(description="`next` of the page before")] = None,
    limit: Annotated[int, Parameter(ge=1, le=200, description="Items per page")] = 100,
) -> Response[Page[SiteDevice]]:
    """List the devices on site."""
    after = decode_cursor(cursor, str)[0] if cursor else None
    found = await fleet.list_on_site(
        staff=staff, station_id=station_id, attention=attention, after=after, limit=limit + 1
    )
    shown = [SiteDevice.of(device) for device in found[:limit]]
    return etag_response(request, Page(shown, encode_cursor(shown[-1].code) if len(found) > limit else None))


ROUTES: list[ControllerRouterHandler] = [list_site_devices]
