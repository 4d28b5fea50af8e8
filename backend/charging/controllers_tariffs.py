"""What a tariff version means for bills: a preview before it is approved, and its correction over its orders."""

from datetime import date, datetime, time
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from litestar import Controller, get, post
from litestar.params import Parameter, QueryParameter
from litestar.status_codes import HTTP_200_OK
from litestar.types import ControllerRouterHandler
from msgspec import Meta

from backend.charging.schemas import AnswerBody, CostOut, cost_out
from backend.charging.service import preview, tariff_corrections
from backend.charging.service.tariff_corrections import ReplacementInvalid, TariffNotCorrectable
from backend.charging.store_tariff_corrections import CorrectedOrder, TariffCorrectionView
from backend.core.auth import Role, Staff, StaffOnly
from backend.core.errors import NotFound, Unauthenticated
from backend.core.paging import Page, decode_cursor, encode_cursor
from backend.core.problem_docs import answers
from backend.payments.service.refunds import AlreadyDecided, SecondPersonNeeded

Cursor = Annotated[str | None, Parameter(description="`next` of the page before")]
READERS: tuple[Role, ...] = ("operator", "lead", "inspector")


class PreviewCaseOut(msgspec.Struct, frozen=True, kw_only=True):
    """What one user class pays for the session before and after."""

    user_class: Annotated[Literal["agreement", "market"], Meta(description="Who charges")]
    before: Annotated[CostOut | None, Meta(description="Under the version that holds before; null where none does")]
    after: Annotated[CostOut, Meta(description="Under this version")]
    difference_fen: Annotated[int | None, Meta(description="After less before, fen")]


class PreviewOut(msgspec.Struct, frozen=True, kw_only=True):
    """A session as the bill's own arithmetic prices it, without package, overstay and discount."""

    tariff_id: UUID
    against_id: Annotated[UUID | None, Meta(description="The version that holds before")]
    starts_at: datetime
    ends_at: Annotated[datetime, Meta(description="At this power without taper")]
    energy_wh: Annotated[int, Meta(description="Wh")]
    power_w: Annotated[int, Meta(description="W")]
    items: list[PreviewCaseOut]


class TariffCorrectionBody(msgspec.Struct, frozen=True, kw_only=True):
    """Which version was wrong, and which one says what was right."""

    tariff_id: Annotated[UUID, Meta(description="The mispublished version")]
    replacement_id: Annotated[
        UUID, Meta(description="A version of the same scope and supply class with the right prices, approved")
    ]
    reason: Annotated[str, Meta(description="Shown to the residents with their bills", min_length=1, max_length=1000)]


class ProgressOut(msgspec.Struct, frozen=True, kw_only=True):
    """How far a correction is."""

    waiting: Annotated[int, Meta(description="Orders still to be corrected")]
    applied: Annotated[int, Meta(description="Orders with a correction entry")]
    unchanged: Annotated[int, Meta(description="Orders whose bill is the same, or still under review")]
    held: Annotated[int, Meta(description="Orders a person has to look at; see their `problem`")]
    difference_fen: Annotated[int, Meta(description="Given back (negative) or billed so far, fen")]


class EstimateOut(msgspec.Struct, frozen=True, kw_only=True):
    """What an approval would do now."""

    orders: Annotated[int, Meta(description="Orders of the version; 2001 means more than 2000")]
    difference_fen: Annotated[
        int | None, Meta(description="Sum of differences, parking aside, fen; null where it is not worked out ahead")
    ]


class TariffCorrectionOut(msgspec.Struct, frozen=True, kw_only=True):
    """A correction of a version over its orders."""

    id: UUID
    tariff_id: UUID
    replacement_id: UUID
    reason: str
    state: Annotated[str, Meta(description="pending (a second person decides), approved or rejected")]
    requested_by: UUID
    requested_at: datetime
    decided_by: UUID | None
    decided_at: datetime | None
    decision_note: str | None
    progress: ProgressOut
    estimate: Annotated[EstimateOut | None, Meta(description="While it is pending; null in lists")] = None


async def _out(view: TariffCorrectionView, *, estimated: bool = False) -> TariffCorrectionOut:
    values = msgspec.structs.asdict(view)
    values["tariff_id"] = values.pop("version_id")
    del values["operator_company_id"]
    progress = await tariff_corrections.progress_of(correction=view)
    guess = await tariff_corrections.estimate(correction=view) if estimated and view.state == "pending" else None
    return TariffCorrectionOut(
        **values,
        progress=ProgressOut(**msgspec.structs.asdict(progress)),
        estimate=None if guess is None else EstimateOut(**msgspec.structs.asdict(guess)),
    )


class TariffPreview(Controller):
    """What a version would cost."""

    path = "/v1/operator/tariffs/{tariff_id:uuid}/preview"
    tags = ("operator",)

    @get(
        operation_id="previewTariff",
        summary="A session before and after a version",
        description=(
            "30 kWh from 18:00 at 7 kW on the version's first day unless told; for each user class, by line, under the"
            " version that holds before and under this one."
        ),
        responses=answers(Unauthenticated, StaffOnly, NotFound),
    )
    async def show(
        self,
        staff: Staff,
        tariff_id: UUID,
        energy_wh: Annotated[int, Parameter(description="Wh", ge=1, le=1_000_000)] = 30_000,
        power_w: Annotated[int, Parameter(description="W", ge=100, le=2_000_000)] = 7_000,
        at: Annotated[str, Parameter(description="Beijing time of the start", pattern=r"^([01]\d|2[0-3]):[0-5]\d$")] = (
            "18:00"
        ),
        day: Annotated[date | None, Parameter(description="Beijing day; the version's first if left out")] = None,
    ) -> PreviewOut:
        """Preview a version."""
        found = await preview.preview(
            version_id=tariff_id,
            company_ids=staff.company_ids(*READERS),
            energy_wh=energy_wh,
            power_w=power_w,
            at=time.fromisoformat(at),
            day=day,
        )
        return PreviewOut(
            tariff_id=tariff_id,
            against_id=found.against_id,
            starts_at=found.starts_at,
            ends_at=found.ends_at,
            energy_wh=energy_wh,
            power_w=power_w,
            items=[
                PreviewCaseOut(
                    user_class=case.user_class,
                    before=None if case.before is None else cost_out(case.before, parking_fee_fen=case.parking_before),
                    after=cost_out(case.after, parking_fee_fen=case.parking_after),
                    difference_fen=case.difference_fen,
                )
                for case in found.cases
            ],
        )


class OperatorTariffCorrections(Controller):
    """Mispublished versions, corrected over their orders."""

    path = "/v1/operator/tariff-corrections"
    tags = ("operator",)

    @get(
        operation_id="listTariffCorrections",
        summary="Corrections of tariff versions, newest first",
        description="With how far each is.",
        responses=answers(Unauthenticated, StaffOnly),
    )
    async def list_corrections(self, staff: Staff, cursor: Cursor = None) -> Page[TariffCorrectionOut]:
        """Return one page."""
        before: UUID | None = decode_cursor(cursor, UUID)[0] if cursor is not None else None
        found = await tariff_corrections.list_corrections(
            company_ids=staff.company_ids(*READERS), before=before, limit=51
        )
        shown = [await _out(view) for view in found[:50]]
        return Page(items=shown, next=encode_cursor(shown[-1].id) if len(found) > 50 else None)

    @post(
        operation_id="proposeTariffCorrection",
        summary="Correct a mispublished version over its orders",
        description=(
            "A second person approves; then every order of the version gets a correction entry at the replacement's"
            " prices: paid bills are refunded or get a supplement, statements follow, residents are told. The wrong"
            " version goes on pricing new sessions until a successor is published; their orders are corrected as they"
            " close."
        ),
        responses=answers(Unauthenticated, StaffOnly, NotFound, TariffNotCorrectable, ReplacementInvalid),
    )
    async def propose(self, staff: Staff, data: TariffCorrectionBody, now: datetime) -> TariffCorrectionOut:
        """Propose a correction."""
        view = await tariff_corrections.propose(
            company_ids=staff.company_ids("operator"),
            version_id=data.tariff_id,
            replacement_id=data.replacement_id,
            reason=data.reason,
            actor_id=staff.account_id,
            role="operator",
            now=now,
        )
        return await _out(view, estimated=True)

    @get(
        "/{correction_id:uuid}",
        operation_id="getTariffCorrection",
        summary="A correction and how far it is",
        description="While it is pending with what an approval would do.",
        responses=answers(Unauthenticated, StaffOnly, NotFound),
    )
    async def read(self, staff: Staff, correction_id: UUID) -> TariffCorrectionOut:
        """Read a correction."""
        view = await tariff_corrections.get_correction(
            correction_id=correction_id, company_ids=staff.company_ids(*READERS)
        )
        return await _out(view, estimated=True)

    @get(
        "/{correction_id:uuid}/orders",
        operation_id="listTariffCorrectionOrders",
        summary="The orders of a correction",
        description="Each with its correction entry and difference, or why it is held.",
        responses=answers(Unauthenticated, StaffOnly, NotFound),
    )
    async def list_orders(
        self,
        staff: Staff,
        correction_id: UUID,
        wanted: Annotated[
            Literal["waiting", "applied", "unchanged", "held"] | None,
            QueryParameter(name="state", description="Only those of this state"),
        ] = None,
        cursor: Cursor = None,
    ) -> Page[CorrectedOrder]:
        """Return one page."""
        view = await tariff_corrections.get_correction(
            correction_id=correction_id, company_ids=staff.company_ids(*READERS)
        )
        before: UUID | None = decode_cursor(cursor, UUID)[0] if cursor is not None else None
        found = await tariff_corrections.list_orders(correction=view, state=wanted, before=before, limit=101)
        return Page(items=found[:100], next=encode_cursor(found[99].id) if len(found) > 100 else None)

    @post(
        "/{correction_id:uuid}/approve",
        status_code=HTTP_200_OK,
        operation_id="approveTariffCorrection",
        summary="Approve a correction as the second person",
        description="Begins to correct the orders; follow `progress`.",
        responses=answers(Unauthenticated, StaffOnly, NotFound, AlreadyDecided, SecondPersonNeeded),
    )
    async def approve(self, staff: Staff, correction_id: UUID, now: datetime) -> TariffCorrectionOut:
        """Approve a correction."""
        view = await tariff_corrections.approve(
            correction_id=correction_id,
            company_ids=staff.company_ids("operator"),
            actor_id=staff.account_id,
            role="operator",
            now=now,
        )
        return await _out(view)

    @post(
        "/{correction_id:uuid}/reject",
        status_code=HTTP_200_OK,
        operation_id="rejectTariffCorrection",
        summary="Reject a correction",
        description="Or take the own one back. Another one may be proposed.",
        responses=answers(Unauthenticated, StaffOnly, NotFound, AlreadyDecided),
    )
    async def reject(self, staff: Staff, correction_id: UUID, data: AnswerBody, now: datetime) -> TariffCorrectionOut:
        """Reject a correction."""
        view = await tariff_corrections.reject(
            correction_id=correction_id,
            company_ids=staff.company_ids("operator"),
            note=data.text,
            actor_id=staff.account_id,
            role="operator",
            now=now,
        )
        return await _out(view)

    @post(
        "/{correction_id:uuid}/resume",
        status_code=HTTP_200_OK,
        operation_id="resumeTariffCorrection",
        summary="Try the held orders again",
        description="After what held them was seen to.",
        responses=answers(Unauthenticated, StaffOnly, NotFound, TariffNotCorrectable),
    )
    async def resume(self, staff: Staff, correction_id: UUID, now: datetime) -> TariffCorrectionOut:
        """Resume a correction."""
        view = await tariff_corrections.resume(
            correction_id=correction_id, company_ids=staff.company_ids("operator"), now=now
        )
        return await _out(view)


TARIFF_ROUTES: list[ControllerRouterHandler] = [TariffPreview, OperatorTariffCorrections]
