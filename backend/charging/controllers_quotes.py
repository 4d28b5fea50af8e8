"""The quote before a start."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from litestar import Controller, post
from litestar.status_codes import HTTP_200_OK
from litestar.types import ControllerRouterHandler
from msgspec import Meta

from backend.charging.schemas import CostOut, cost_out
from backend.charging.service.quote import quote
from backend.core.auth import Principal
from backend.core.errors import NotFound
from backend.core.problem_docs import answers
from backend.tariffs.service import NoTariff


class QuoteBody(msgspec.Struct, frozen=True):
    """Where, which car, how much."""

    vehicle_id: Annotated[UUID, Meta(description="One of the caller's vehicles")]
    energy_wh: Annotated[int, Meta(description="Wanted energy, Wh", ge=1, le=1_000_000, examples=[30_000])]
    connector_id: Annotated[UUID | None, Meta(description="The connector; or give `qr`")] = None
    qr: Annotated[str, Meta(description="The text of the QR code on the connector", max_length=128)] | None = None
    starts_at: Annotated[datetime, Meta(description="Start of a booking; now where absent", tz=True)] | None = None
    power_w: Annotated[int, Meta(description="What the car takes, W, where less", ge=100, le=2_000_000)] | None = None


class QuoteOut(msgspec.Struct, frozen=True, kw_only=True):
    """What it would cost, by line, with parking while it charges; without overstay, and no package is used up."""

    connector_id: UUID
    station_id: UUID
    user_class: Annotated[str, Meta(description="agreement or market")]
    tariff_version_id: UUID
    starts_at: datetime
    ends_at: Annotated[datetime, Meta(description="At this power without taper")]
    power_w: Annotated[int, Meta(description="W")]
    cost: CostOut


class QuoteController(Controller):
    """Quotes."""

    path = "/v1/sessions/quote"
    tags = ("charging",)

    @post(
        status_code=HTTP_200_OK,
        operation_id="quoteSession",
        summary="What a charge would cost",
        description=(
            "The bill's own arithmetic at constant power over the bands ahead, for this caller's class at the start. "
            "Holds nothing; the real bill follows the meter."
        ),
        responses=answers(NotFound, NoTariff),
    )
    async def quote(self, data: QuoteBody, principal: Principal, now: datetime) -> QuoteOut:
        """Quote a session."""
        found = await quote(
            account_id=principal.account_id,
            vehicle_id=data.vehicle_id,
            energy_wh=data.energy_wh,
            connector_id=data.connector_id,
            qr=data.qr,
            starts_at=data.starts_at,
            power_w=data.power_w,
            now=now,
        )
        return QuoteOut(
            connector_id=found.connector_id,
            station_id=found.station_id,
            user_class=found.user_class,
            tariff_version_id=found.tariff.version_id,
            starts_at=found.starts_at,
            ends_at=found.ends_at,
            power_w=found.power_w,
            cost=cost_out(found.bill, parking_fee_fen=found.parking_fee_fen),
        )


QUOTE_ROUTES: list[ControllerRouterHandler] = [QuoteController]
