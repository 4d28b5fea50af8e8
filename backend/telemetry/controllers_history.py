"""One-minute history of the caller's own connectors."""

from datetime import datetime, timedelta
from typing import Annotated
from uuid import UUID

from litestar import get
from litestar.params import Parameter
from litestar.types import ControllerRouterHandler

from backend.core.auth import Staff, StaffOnly
from backend.core.errors import Invalid, NotFound, Unauthenticated
from backend.core.paging import Page
from backend.core.problem_docs import answers
from backend.stations import service as stations
from backend.stations.service import operate
from backend.telemetry import rollups
from backend.telemetry.rollups import Minute

LONGEST = timedelta(days=7)


class HistoryPeriodInvalid(Invalid):
    """The period is turned round, longer than 7 days, or without offset."""

    code = "history_period_invalid"
    title_en = "The period is not valid"
    title_zh = "时段无效"
    detail_en = "Give since before until, with offsets, at most 7 days apart."
    detail_zh = "起始须早于结束，均须带时区，最长7天。"


@get(
    "/v1/operator/connectors/{connector_id:uuid}/minutes",
    operation_id="listConnectorMinutes",
    summary="One-minute history of a connector",
    description=(
        "Meter, power, temperatures and battery values by minute, kept three years; raw samples are kept 400 days, and"
        " longer around incidents. Up to about two minutes ago. At most 7 days at once."
    ),
    tags=["operator"],
    responses=answers(Unauthenticated, StaffOnly, NotFound, HistoryPeriodInvalid),
)
async def list_minutes(
    staff: Staff,
    connector_id: UUID,
    since: Annotated[datetime, Parameter(description="From this instant on")],
    until: Annotated[datetime, Parameter(description="Until before this instant")],
) -> Page[Minute]:
    """Return the minutes."""
    connector = await stations.get_connector(connector_id=connector_id)
    await operate.get_own_station(staff=staff, station_id=connector.station_id)
    if since.tzinfo is None or until.tzinfo is None or not since < until <= since + LONGEST:
        raise HistoryPeriodInvalid
    return Page(await rollups.minutes(connector_id=connector_id, since=since, until=until))


ROUTES: list[ControllerRouterHandler] = [list_minutes]
