"""HTTP paths of corrections: the operator's, and the resident's view of the same history."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from litestar import Controller, get, post
from litestar.status_codes import HTTP_200_OK
from litestar.types import ControllerRouterHandler
from msgspec import Meta

from backend.charging.rules.billing import MeterPoint
from backend.charging.schemas import AnswerBody, LineOut, lines_out
from backend.charging.service import corrections, orders
from backend.charging.service.applying import CorrectionStale
from backend.charging.service.corrections import CorrectionInvalid, CorrectionView, NotCorrectable
from backend.charging.store_corrections import BillState
from backend.core.auth import Principal, Staff, StaffOnly
from backend.core.errors import NotFound
from backend.core.paging import Page
from backend.core.problem_docs import answers
from backend.payments.service import RefundTooLarge
from backend.payments.service.refunds import AlreadyDecided, SecondPersonNeeded


class ReadingBody(msgspec.Struct, frozen=True):
    """A corrected reading of the cumulative meter."""

    at: Annotated[datetime, Meta(description="When the meter said so", tz=True)]
    meter_wh: Annotated[int, Meta(description="Cumulative meter, Wh", ge=0, le=10**12)]


class BandEnergyBody(msgspec.Struct, frozen=True):
    """The energy of a band, where no readings can be had."""

    band: Annotated[str, Meta(description="sharp, peak, flat or valley", max_length=10)]
    energy_wh: Annotated[int, Meta(description="Wh", ge=0, le=10_000_000)]


class CorrectionBody(msgspec.Struct, frozen=True):
    """What is right, and why. Prices cannot be given: they are those of the order."""

    reason: Annotated[
        str, Meta(description="Shown to the resident; answers an open dispute", min_length=1, max_length=1000)
    ]
    readings: Annotated[list[ReadingBody], Meta(description="From start to end", max_length=2000)] | None = None
    energy: Annotated[list[BandEnergyBody], Meta(description="Instead of readings", max_length=4)] | None = None
    overstay_fee_fen: Annotated[int, Meta(description="Another overstay fee, fen", ge=0, le=1_000_000)] | None = None


class BillStateOut(msgspec.Struct, frozen=True, kw_only=True):
    """What the bill said."""

    energy_wh: Annotated[int, Meta(description="Wh")]
    energy_fee_fen: Annotated[int, Meta(description="fen")]
    service_fee_fen: Annotated[int, Meta(description="fen")]
    overstay_fee_fen: Annotated[int, Meta(description="fen")]
    parking_fee_fen: Annotated[int, Meta(description="fen")]
    discount_fen: Annotated[int, Meta(description="fen")]
    total_fen: Annotated[int, Meta(description="fen")]
    lines: list[LineOut]


class CorrectionOut(msgspec.Struct, frozen=True, kw_only=True):
    """A correction: both states of the bill and who decided."""

    id: UUID
    order_id: UUID
    state: Annotated[str, Meta(description="pending (a second person decides), applied or rejected")]
    reason: str
    before: BillStateOut
    after: BillStateOut
    difference_fen: Annotated[int, Meta(description="fen; negative: given back, positive: to pay")]
    requested_at: datetime
    decided_at: datetime | None
    decision_note: str | None
    requested_by: Annotated[UUID | None, Meta(description="Staff; not shown to residents")]
    decided_by: Annotated[UUID | None, Meta(description="The second person; not shown to residents")]


def _state(state: BillState) -> BillStateOut:
    values = {name: getattr(state, name) for name in BillStateOut.__struct_fields__ if name != "lines"}
    return BillStateOut(**values, lines=lines_out(state.lines))


def correction_out(view: CorrectionView, *, for_staff: bool) -> CorrectionOut:
    """Show a correction; to residents without the names of staff."""
    return CorrectionOut(
        id=view.id,
        order_id=view.order_id,
        state=view.state,
        reason=view.reason,
        before=_state(view.before),
        after=_state(view.after),
        difference_fen=view.difference_fen,
        requested_at=view.requested_at,
        decided_at=view.decided_at,
        decision_note=view.decision_note,
        requested_by=view.requested_by if for_staff else None,
        decided_by=view.decided_by if for_staff else None,
    )


class OrderCorrectionController(Controller):
    """What was corrected on the caller's own bill."""

    path = "/v1/orders/{order_id:uuid}/corrections"
    tags = ("orders",)

    @get(
        operation_id="listOrderCorrections",
        summary="Corrections of a bill",
        description="Those that were applied, with the bill before and after. A difference was refunded, or is to pay.",
        responses=answers(NotFound),
    )
    async def list_corrections(self, order_id: UUID, principal: Principal) -> Page[CorrectionOut]:
        """Return the history the resident sees."""
        await orders.get_order(order_id=order_id, account_id=principal.account_id)
        found = await corrections.list_corrections(order_id=order_id)
        return Page(items=[correction_out(view, for_staff=False) for view in found if view.state == "applied"])


class OperatorCorrectionController(Controller):
    """Corrections of bills of the caller's operator company."""

    path = "/v1/operator/orders/{order_id:uuid}/corrections"
    tags = ("operator",)

    @get(
        operation_id="listCompanyOrderCorrections",
        summary="Every correction of a bill",
        description="Pending, applied and rejected ones.",
        responses=answers(StaffOnly, NotFound),
    )
    async def list_corrections(self, order_id: UUID, staff: Staff) -> Page[CorrectionOut]:
        """Return the history."""
        companies = staff.company_ids("operator", "lead", "inspector")
        await orders.get_company_order(order_id=order_id, company_ids=companies)
        found = await corrections.list_corrections(order_id=order_id)
        return Page(items=[correction_out(view, for_staff=True) for view in found])

    @post(
        operation_id="correctOrder",
        summary="Correct a bill",
        description=(
            "Corrected readings (or band energies) go through the billing rule of every bill, at the order's own "
            "prices, cap kept. Above the company's limit a second person decides. A bill under review is settled so."
        ),
        responses=answers(StaffOnly, NotFound, NotCorrectable, CorrectionInvalid, RefundTooLarge),
    )
    async def propose(self, order_id: UUID, data: CorrectionBody, staff: Staff, now: datetime) -> CorrectionOut:
        """Propose, and where small enough apply, a correction."""
        order = await orders.get_company_order(order_id=order_id, company_ids=staff.company_ids("operator"))
        energy = None if data.energy is None else {each.band: each.energy_wh for each in data.energy}
        if (data.readings is not None and energy is not None) or (
            energy is not None and len(energy) != len(data.energy or ())
        ):
            raise CorrectionInvalid(field="energy", why="give readings, or each band once")
        readings = None if data.readings is None else [MeterPoint(each.at, each.meter_wh) for each in data.readings]
        view = await corrections.propose(
            order=order,
            reason=data.reason,
            readings=readings,
            energy_wh=energy,
            overstay_fee_fen=data.overstay_fee_fen,
            actor_id=staff.account_id,
            role="operator",
            now=now,
        )
        return correction_out(view, for_staff=True)

    @post(
        "/{correction_id:uuid}/approve",
        status_code=HTTP_200_OK,
        operation_id="approveCorrection",
        summary="Approve a correction as the second person",
        description="Whoever proposed it cannot approve it. Audited.",
        responses=answers(StaffOnly, NotFound, SecondPersonNeeded, AlreadyDecided, CorrectionStale, RefundTooLarge),
    )
    async def approve(self, order_id: UUID, correction_id: UUID, staff: Staff, now: datetime) -> CorrectionOut:
        """Approve a correction."""
        order = await orders.get_company_order(order_id=order_id, company_ids=staff.company_ids("operator"))
        view = await corrections.approve(
            order=order, correction_id=correction_id, actor_id=staff.account_id, role="operator", now=now
        )
        return correction_out(view, for_staff=True)

    @post(
        "/{correction_id:uuid}/reject",
        status_code=HTTP_200_OK,
        operation_id="rejectCorrection",
        summary="Reject a correction, or take it back",
        description="The note is kept. Audited.",
        responses=answers(StaffOnly, NotFound, AlreadyDecided),
    )
    async def reject(
        self, order_id: UUID, correction_id: UUID, data: AnswerBody, staff: Staff, now: datetime
    ) -> CorrectionOut:
        """Reject a correction."""
        order = await orders.get_company_order(order_id=order_id, company_ids=staff.company_ids("operator"))
        view = await corrections.reject(
            order=order,
            correction_id=correction_id,
            note=data.text,
            actor_id=staff.account_id,
            role="operator",
            now=now,
        )
        return correction_out(view, for_staff=True)


CORRECTION_ROUTES: list[ControllerRouterHandler] = [OrderCorrectionController, OperatorCorrectionController]
