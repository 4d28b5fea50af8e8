"""What the queue and the wait figures read and answer over HTTP."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from backend.charging.service.credits import CreditView
from backend.waiting.rules.fallback import Outcome, PlanStatus, Step
from backend.waiting.rules.queue import QueueStatus
from backend.waiting.rules.waits import UserClass
from backend.waiting.service.fallback import PlanView
from backend.waiting.service.queue import QueueView
from backend.waiting.store import WaitFigure
from backend.waiting.store_fallback import ArrivalFigure

PowerClass = Literal["fast", "slow"]
POWER_OF: dict[PowerClass, Literal["ac", "dc"]] = {"fast": "dc", "slow": "ac"}


class QueueBody(msgspec.Struct, kw_only=True):
    """Where to wait, with which car, and what tells that it is on site or within 2 km: a position or a connector's
    code; without either the approach camera, else the caller's home compound.
    """

    station_id: Annotated[UUID, Meta(description="The station")]
    vehicle_id: Annotated[UUID, Meta(description="One of the caller's vehicles")]
    power: Annotated[PowerClass | None, Meta(description="`fast` (DC) or `slow` (AC); left out: either")] = None
    lat: Annotated[float | None, Meta(description="Latitude, degrees; compared and forgotten")] = None
    lng: Annotated[float | None, Meta(description="Longitude, degrees")] = None
    coord: Annotated[str | None, Meta(description="Datum of the position: `gcj02` or `wgs84`")] = None
    qr: Annotated[str, Meta(max_length=64, description="The code on a connector of the station: on site")] | None = None


class OfferAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A connector that is kept for the caller."""

    connector_id: Annotated[UUID, Meta(description="The connector")]
    expires_at: Annotated[datetime, Meta(tz=True, description="Until when it is kept")]
    accepted: Annotated[bool, Meta(description="Whether the caller has taken it")]


class QueueAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A place in a queue."""

    id: UUID
    station_id: UUID
    vehicle_id: UUID
    status: Annotated[QueueStatus, Meta(description="waiting → offered → accepted → served, or left, or expired")]
    position: Annotated[int | None, Meta(description="1 for the next one; null unless waiting")]
    expected_wait_s: Annotated[int | None, Meta(description="Seconds; null where it cannot be told")]
    on_site: Annotated[bool, Meta(description="Whether the car is on site: then the wait counts")]
    joined_at: Annotated[datetime, Meta(tz=True, description="When the caller joined")]
    offer: Annotated[OfferAnswer | None, Meta(description="What is offered now")]

    @classmethod
    def of(cls, view: QueueView) -> "QueueAnswer":
        """Make the answer from the view."""
        entry = view.entry
        offer = None
        if entry.status in ("offered", "accepted") and entry.offer_connector_id and entry.offer_expires_at:
            offer = OfferAnswer(
                connector_id=entry.offer_connector_id,
                expires_at=entry.offer_expires_at,
                accepted=entry.status == "accepted",
            )
        return cls(
            id=entry.id,
            station_id=entry.station_id,
            vehicle_id=entry.vehicle_id,
            status=entry.status,
            position=view.position,
            expected_wait_s=view.expected_wait_s,
            on_site=entry.on_site_since is not None,
            joined_at=entry.joined_at,
            offer=offer,
        )


class QueueMessage(msgspec.Struct, frozen=True, kw_only=True):
    """What a live connection is sent: `snapshot` first, then `change` and `offer`, `ping` in between; the last one
    shows how it ended.
    """

    type: Literal["snapshot", "change", "offer", "ping"]
    entry: Annotated[QueueAnswer | None, Meta(description="The place in the queue now; null in a ping")] = None


class WaitFigureAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Waits that began at one station on one Beijing day."""

    station_id: UUID
    station_name: str
    day: Annotated[str, Meta(description="Day in Beijing", examples=["2026-06-10"])]
    arrivals: Annotated[int, Meta(description="Arrivals that got a connector")]
    within_5_min: Annotated[int, Meta(description="Of these, waits of at most 300 s")]
    share_within_5_min_pct: Annotated[float, Meta(description="Per cent, one decimal", examples=[98.5])]
    p50_s: Annotated[int, Meta(description="Median wait, seconds")]
    p95_s: Annotated[int, Meta(description="95th percentile, seconds")]
    worst_s: Annotated[int, Meta(description="Longest wait, seconds")]

    @classmethod
    def of(cls, figure: WaitFigure, station_name: str) -> "WaitFigureAnswer":
        """Make the answer from the figure."""
        return cls(
            station_id=figure.station_id,
            station_name=station_name,
            day=figure.day,
            arrivals=figure.arrivals,
            within_5_min=figure.within,
            share_within_5_min_pct=round(100 * figure.within / figure.arrivals, 1),
            p50_s=figure.p50_s,
            p95_s=figure.p95_s,
            worst_s=figure.worst_s,
        )


class ArrivalAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One arrival behind a wait figure; nothing names a person or a car."""

    arrival_id: UUID
    station_id: UUID
    connector_id: UUID
    user_class: Annotated[UserClass, Meta(description="How it was served: `booking`, `agreement` or `other`")]
    source: Annotated[str, Meta(description="How the arrival was noticed: plate, app, qr, staff or session")]
    arrived_at: Annotated[datetime, Meta(tz=True, description="When the car came")]
    from_at: Annotated[datetime, Meta(tz=True, description="From when the wait counts")]
    usable_at: Annotated[datetime, Meta(tz=True, description="When a connector was usable")]
    wait_s: Annotated[int, Meta(description="The wait, seconds")]
    predicted_s: Annotated[int | None, Meta(description="What was predicted at the arrival, seconds")]
    reservation_id: Annotated[UUID | None, Meta(description="The booking it came for")]
    session_id: Annotated[UUID | None, Meta(description="The charge it led to")]

    @classmethod
    def of(cls, figure: ArrivalFigure) -> "ArrivalAnswer":
        """Make the answer from the figure."""
        return cls(**msgspec.structs.asdict(figure))


class CreditAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A discount that is owed because a promise was broken; it comes off the next bills, never as cash."""

    id: UUID
    operator_company_id: Annotated[UUID, Meta(description="Whose bills it comes off")]
    amount_fen: Annotated[int, Meta(description="What was granted, fen")]
    remaining_fen: Annotated[int, Meta(description="What is left of it, fen")]
    granted_at: Annotated[datetime, Meta(tz=True, description="When it was granted")]
    expires_at: Annotated[datetime, Meta(tz=True, description="Until when it comes off a bill")]

    @classmethod
    def of(cls, view: CreditView) -> "CreditAnswer":
        """Make the answer from the view."""
        return cls(**msgspec.structs.asdict(view))


class FallbackStepAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was tried."""

    step: Annotated[Step, Meta(description="What was tried")]
    outcome: Annotated[Outcome, Meta(description="What came of it")]
    station_id: UUID | None
    connector_id: UUID | None
    due_at: Annotated[datetime | None, Meta(description="Until when it could be answered")]
    at: Annotated[datetime, Meta(tz=True, description="When")]


class FallbackAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What is done because a wait would pass five minutes."""

    id: UUID
    station_id: UUID
    reservation_id: UUID | None
    cause: Annotated[str, Meta(description="`stranded`: the booked place cannot serve; `predicted`: a long wait ahead")]
    status: Annotated[PlanStatus, Meta(description="`offered` waits for the caller's answer; others are over")]
    step: Annotated[Step, Meta(description="The step it is at, or ended with")]
    offer_station_id: Annotated[UUID | None, Meta(description="The station that keeps a place for the caller")]
    offer_connector_id: Annotated[UUID | None, Meta(description="The connector that is kept")]
    due_at: Annotated[datetime | None, Meta(description="Until when to answer")]
    opened_at: Annotated[datetime, Meta(tz=True, description="When it began")]
    closed_at: Annotated[datetime | None, Meta(description="When it ended")]
    steps: list[FallbackStepAnswer]

    @classmethod
    def of(cls, view: PlanView) -> "FallbackAnswer":
        """Make the answer from the view."""
        plan = view.plan
        return cls(
            id=plan.id,
            station_id=plan.station_id,
            reservation_id=plan.reservation_id,
            cause=plan.cause,
            status=plan.status,
            step=plan.step,
            offer_station_id=plan.offer_station_id,
            offer_connector_id=plan.offer_connector_id,
            due_at=plan.due_at,
            opened_at=plan.opened_at,
            closed_at=plan.closed_at,
            steps=[FallbackStepAnswer(**msgspec.structs.asdict(step)) for step in view.steps],
        )
