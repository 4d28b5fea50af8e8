"""HTTP paths of named drivers, answers, renewals, applications for others, paper signatures and texts."""

from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

from litestar import Controller, Request, delete, get, post
from litestar.enums import RequestEncodingType
from litestar.params import Body
from litestar.types import ControllerRouterHandler

from backend.accounts.rules.plates import PlateUnreadable
from backend.accounts.service.phones import PhoneInvalid
from backend.accounts.service.staff import CompanyUnclear
from backend.agreements import service as agreements
from backend.agreements.rules.files import MAX_BYTES
from backend.agreements.schemas import AgreementAnswer, EvidenceAnswer, EvidenceForm, ReasonBody
from backend.agreements.schemas_deeper import (
    BehalfBody,
    DriverAnswer,
    DriverBody,
    NoteBody,
    PaperBody,
    RenewBody,
    TextDraftAnswer,
    TextDraftBody,
)
from backend.agreements.service import AgreementOver, apply, behalf, drivers, review, sign, texts
from backend.agreements.service.apply import (
    EvidenceMislabelled,
    EvidenceRefused,
    EvidenceStoreAway,
    EvidenceTooLarge,
    NotAsked,
    NotEligible,
    RenewalTooEarly,
    TooMuchEvidence,
    VehicleHasAgreement,
)
from backend.agreements.service.behalf import HomeDiffers
from backend.agreements.service.drivers import DriverNamed, TooManyDrivers
from backend.agreements.service.limits import SigningLimitReached
from backend.agreements.service.review import AlreadyDecided
from backend.agreements.service.sign import NotApproved, PaperMissing, TextChanged
from backend.agreements.service.texts import TextNeedsSecondPerson, TextNotDraft, TextWrong
from backend.core.auth import Principal, Staff, StaffOnly
from backend.core.errors import NotFound, Unauthenticated
from backend.core.http import client_address
from backend.core.paging import Page
from backend.core.problem_docs import answers
from backend.core.problems import BodyTooLarge
from backend.core.services import Services
from backend.stations.service.operate import own_company

AnyRequest = Request[Any, Any, Any]


class AgreementPeople(Controller):
    """Drivers of an own agreement, answers to its company, and its renewal."""

    path = "/v1/agreements/{agreement_id:uuid}"
    tags = ("agreements",)

    @get(
        "/drivers",
        operation_id="listDrivers",
        summary="The named drivers of an own agreement",
        description="Beside the holder they may charge the agreement's car at its price. All on one page.",
        responses=answers(Unauthenticated, NotFound),
    )
    async def list_drivers(self, principal: Principal, agreement_id: UUID) -> Page[DriverAnswer]:
        """List."""
        found = await drivers.list_drivers(account_id=principal.account_id, agreement_id=agreement_id)
        return Page([DriverAnswer.of(view) for view in found])

    @post(
        "/drivers",
        operation_id="addDriver",
        summary="Name a driver",
        description="They are told, log in with this phone, and find the car in their list. At most 5.",
        responses=answers(Unauthenticated, NotFound, AgreementOver, PhoneInvalid, DriverNamed, TooManyDrivers),
    )
    async def add_driver(
        self, principal: Principal, agreement_id: UUID, data: DriverBody, now: datetime
    ) -> DriverAnswer:
        """Add."""
        view = await drivers.add_driver(
            account_id=principal.account_id, agreement_id=agreement_id, phone=data.phone, name=data.name, now=now
        )
        return DriverAnswer.of(view)

    @delete(
        "/drivers/{driver_id:uuid}",
        operation_id="removeDriver",
        summary="Take a driver off",
        description="At once; a session that runs keeps its price.",
        responses=answers(Unauthenticated, NotFound, AgreementOver),
    )
    async def remove_driver(self, principal: Principal, agreement_id: UUID, driver_id: UUID, now: datetime) -> None:
        """Remove."""
        await drivers.remove_driver(
            account_id=principal.account_id, agreement_id=agreement_id, driver_id=driver_id, now=now
        )

    @post(
        "/resubmit",
        status_code=200,
        operation_id="resubmitApplication",
        summary="Hand an application in again",
        description="After the company asked for more (`waiting_for` resident); add the evidence first.",
        responses=answers(Unauthenticated, NotFound, NotAsked),
    )
    async def resubmit(
        self, principal: Principal, agreement_id: UUID, data: NoteBody, now: datetime
    ) -> AgreementAnswer:
        """Resubmit."""
        view = await apply.resubmit(account_id=principal.account_id, agreement_id=agreement_id, note=data.note, now=now)
        exchanges = await agreements.list_exchanges(agreement_id=agreement_id)
        evidence = await agreements.list_evidence(agreement_id=agreement_id)
        return AgreementAnswer.of(view, now=now, evidence=evidence, exchanges=exchanges)

    @post(
        "/renew",
        operation_id="renewAgreement",
        summary="Apply for the next term",
        description=(
            "In the last 30 days of a term, with the same company, car and name. Approved and signed it begins when the"
            " present term ends, with the package had then."
        ),
        responses=answers(Unauthenticated, NotFound, AgreementOver, RenewalTooEarly, NotEligible, VehicleHasAgreement),
    )
    async def renew(self, principal: Principal, agreement_id: UUID, data: RenewBody, now: datetime) -> AgreementAnswer:
        """Renew."""
        view = await apply.renew(
            account_id=principal.account_id,
            agreement_id=agreement_id,
            declaration=data.declaration.declaration(),
            now=now,
        )
        return AgreementAnswer.of(view, now=now)


class OperatorActs(Controller):
    """What staff do for residents and ask of them, on record."""

    path = "/v1/operator/agreements"
    tags = ("operator",)

    async def _whole(self, staff: Staff, agreement_id: UUID, now: datetime) -> AgreementAnswer:
        view = await review.read(staff=staff, agreement_id=agreement_id)
        text = None
        if view.status in ("submitted", "approved"):
            text = await sign.current_text(at=now, operator_company_id=view.operator_company_id)
        return AgreementAnswer.of(
            view,
            now=now,
            evidence=await agreements.list_evidence(agreement_id=agreement_id),
            exchanges=await agreements.list_exchanges(agreement_id=agreement_id),
            text=text,
        )

    @post(
        "/on-behalf",
        operation_id="applyForResident",
        summary="Apply for a resident",
        description=(
            "By a hotline agent (operator) or the lead. The resident is found or added by phone. Who applied is kept,"
            " and somebody else has to approve. The answer carries the text to print and sign."
        ),
        responses=answers(
            Unauthenticated, StaffOnly, NotFound, PhoneInvalid, PlateUnreadable, CompanyUnclear, HomeDiffers,
            NotEligible, VehicleHasAgreement,
        ),
    )  # fmt: skip
    async def apply_for(self, staff: Staff, data: BehalfBody, now: datetime) -> AgreementAnswer:
        """Apply."""
        own = staff.company_ids("operator", "lead")
        company_id = data.operator_company_id
        if company_id is None:
            if len(own) > 1:
                raise CompanyUnclear(field="operator_company_id")
            company_id = next(iter(own))
        view = await behalf.apply_for_resident(
            staff=staff,
            operator_company_id=company_id,
            through=data.through,
            phone=data.phone,
            name=data.declaration.name,
            plate=data.plate,
            community_id=data.community_id,
            declaration=data.declaration.declaration(),
            now=now,
        )
        return await self._whole(staff, view.id, now)

    @post(
        "/{agreement_id:uuid}/ask",
        status_code=200,
        operation_id="askForMore",
        summary="Ask the applicant for more",
        description="The applicant reads it and hands in again; after 30 days without an answer it lapses.",
        responses=answers(Unauthenticated, StaffOnly, NotFound, AlreadyDecided),
    )
    async def ask(self, staff: Staff, agreement_id: UUID, data: ReasonBody, now: datetime) -> AgreementAnswer:
        """Ask."""
        await review.ask_for_more(staff=staff, agreement_id=agreement_id, text=data.reason, now=now)
        return await self._whole(staff, agreement_id, now)

    @post(
        "/{agreement_id:uuid}/evidence",
        operation_id="addCompanyEvidence",
        summary="Add a file for a resident",
        description="As the resident's own upload; kind paper_signature also once the application is approved.",
        request_max_body_size=MAX_BYTES + 64 * 1024,
        responses=answers(
            Unauthenticated,
            StaffOnly,
            NotFound,
            AgreementOver,
            EvidenceRefused,
            EvidenceMislabelled,
            EvidenceTooLarge,
            TooMuchEvidence,
            BodyTooLarge,
            EvidenceStoreAway,
        ),
    )
    async def add_evidence(
        self,
        staff: Staff,
        agreement_id: UUID,
        data: Annotated[EvidenceForm, Body(media_type=RequestEncodingType.MULTI_PART)],
        services: Services,
        now: datetime,
    ) -> EvidenceAnswer:
        """Add evidence."""
        view = await behalf.add_evidence(
            staff=staff,
            agreement_id=agreement_id,
            kind=data.kind,
            content=await data.file.read(),
            claimed_type=data.file.content_type,
            evidence=apply.store_of(services),
            now=now,
        )
        return EvidenceAnswer.of(view)

    @post(
        "/{agreement_id:uuid}/sign-on-paper",
        status_code=200,
        operation_id="signOnPaper",
        summary="Put a paper signature on record",
        description="With the SHA-256 of the printed text and the photograph. The resident is told; in force from now.",
        responses=answers(
            Unauthenticated,
            StaffOnly,
            NotFound,
            NotApproved,
            TextChanged,
            PaperMissing,
            VehicleHasAgreement,
            SigningLimitReached,
        ),
    )
    async def sign_on_paper(
        self, request: AnyRequest, staff: Staff, agreement_id: UUID, data: PaperBody, now: datetime
    ) -> AgreementAnswer:
        """Sign on paper."""
        await sign.sign_on_paper(
            staff=staff,
            agreement_id=agreement_id,
            text_sha256=data.text_sha256,
            evidence_id=data.evidence_id,
            address=client_address(request),
            now=now,
        )
        return await self._whole(staff, agreement_id, now)


class OperatorTexts(Controller):
    """The contract texts of the caller's own companies."""

    path = "/v1/operator/agreement-texts"
    tags = ("operator",)

    @get(
        operation_id="listAgreementTexts",
        summary="List the company's texts",
        description="Drafts and versions, newest first. Before its first text a company uses everybody's.",
        responses=answers(Unauthenticated, StaffOnly),
    )
    async def list_all(self, staff: Staff) -> Page[TextDraftAnswer]:
        """List."""
        return Page([TextDraftAnswer.of(view) for view in await texts.list_drafts(staff=staff)])

    @post(
        operation_id="draftAgreementText",
        summary="Draft a text",
        description="Used once another operator approved it, from `effective_from`; never edited afterwards.",
        responses=answers(Unauthenticated, StaffOnly, NotFound, TextWrong),
    )
    async def draft(self, staff: Staff, data: TextDraftBody, now: datetime) -> TextDraftAnswer:
        """Draft."""
        view = await texts.draft_text(
            staff=staff,
            operator_company_id=own_company(staff, data.operator_company_id),
            title=data.title,
            body=data.body,
            effective_from=data.effective_from.astimezone(UTC),
            now=now,
        )
        return TextDraftAnswer.of(view)

    @post(
        "/{draft_id:uuid}/approve",
        status_code=200,
        operation_id="approveAgreementText",
        summary="Approve a text as the second person",
        description="It becomes the company's next version; what is signed keeps its text.",
        responses=answers(Unauthenticated, StaffOnly, NotFound, TextNotDraft, TextNeedsSecondPerson, TextWrong),
    )
    async def approve(self, staff: Staff, draft_id: UUID, now: datetime) -> TextDraftAnswer:
        """Approve."""
        return TextDraftAnswer.of(await texts.approve_text(staff=staff, draft_id=draft_id, now=now))

    @post(
        "/{draft_id:uuid}/withdraw",
        status_code=200,
        operation_id="withdrawAgreementText",
        summary="Withdraw a draft",
        description="Only drafts.",
        responses=answers(Unauthenticated, StaffOnly, NotFound, TextNotDraft),
    )
    async def withdraw(self, staff: Staff, draft_id: UUID, now: datetime) -> TextDraftAnswer:
        """Withdraw."""
        return TextDraftAnswer.of(await texts.withdraw_text(staff=staff, draft_id=draft_id, now=now))


DEEPER_ROUTES: list[ControllerRouterHandler] = [AgreementPeople, OperatorActs, OperatorTexts]
