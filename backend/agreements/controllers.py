"""HTTP paths of agreements: the resident's own, and the review of operator companies."""

import base64
from datetime import datetime
from typing import Annotated, Any, Literal, cast
from uuid import UUID

from litestar import Controller, Request, Response, get, post
from litestar.enums import MediaType, RequestEncodingType
from litestar.params import Body, Parameter
from litestar.types import ControllerRouterHandler

from backend.accounts.service import codes
from backend.accounts.service.codes import SmsCodeSpent, SmsCodeWrong, SmsLimitReached, TooManyWrongCodes
from backend.agreements import service as agreements
from backend.agreements.controllers_deeper import DEEPER_ROUTES
from backend.agreements.controllers_packages import PACKAGE_ROUTES
from backend.agreements.pages import verification_page
from backend.agreements.rules.files import MAX_BYTES
from backend.agreements.schemas import (
    AgreementAnswer,
    ApplicationBody,
    CodeSentAnswer,
    EvidenceAnswer,
    EvidenceForm,
    ReasonBody,
    SignBody,
    VerificationAnswer,
)
from backend.agreements.service import AgreementOver, EvidenceView, Status, apply, review, sign
from backend.agreements.service.apply import (
    EvidenceMislabelled,
    EvidenceRefused,
    EvidenceStoreAway,
    EvidenceTooLarge,
    NotEligible,
    TooMuchEvidence,
    VehicleHasAgreement,
)
from backend.agreements.service.limits import SigningLimitReached
from backend.agreements.service.review import AlreadyDecided, ApplicantMayNotApprove
from backend.agreements.service.sign import NotApproved, NotSigned, PhoneMissing, TextChanged
from backend.core.auth import Principal, Staff, StaffOnly
from backend.core.errors import NotFound, Unauthenticated
from backend.core.http import client_address
from backend.core.paging import Page, decode_cursor, encode_cursor
from backend.core.problem_docs import answers
from backend.core.problems import BodyTooLarge
from backend.core.services import Services
from backend.core.settings import Settings

AnyRequest = Request[Any, Any, Any]


def _file(content: bytes, *, media_type: str, sha256: bytes, name: str) -> Response[bytes]:
    """Answer a file that is shown by itself, never run, its digest beside it (RFC 9530)."""
    headers = {
        "content-disposition": f'inline; filename="{name}"',
        "repr-digest": f"sha-256=:{base64.b64encode(sha256).decode()}:",
        "content-security-policy": "default-src 'none'; sandbox",
        "cache-control": "private, no-store",
    }
    return Response(content, media_type=media_type, headers=headers)


def _evidence_file(view: EvidenceView, content: bytes) -> Response[bytes]:
    suffix = view.media_type.rpartition("/")[2]
    return _file(content, media_type=view.media_type, sha256=view.sha256, name=f"{view.id}.{suffix}")


class Agreements(Controller):
    """The caller's own agreements."""

    path = "/v1/agreements"
    tags = ("agreements",)

    async def _whole(self, account_id: UUID, agreement_id: UUID, now: datetime) -> AgreementAnswer:
        view = await agreements.get_agreement(account_id=account_id, agreement_id=agreement_id)
        text = None
        if view.status in ("submitted", "approved"):
            text = await sign.current_text(at=now, operator_company_id=view.operator_company_id)
        evidence = await agreements.list_evidence(agreement_id=agreement_id)
        exchanges = await agreements.list_exchanges(agreement_id=agreement_id)
        return AgreementAnswer.of(view, now=now, evidence=evidence, text=text, exchanges=exchanges)

    @post(
        operation_id="applyForAgreement",
        summary="Apply for an agreement",
        description=(
            "With the company of the nearest pilot station within 500 m of the own home. Each condition that is not met"
            " is named in `failed` (condition, text_zh, text_en). One agreement, or open application, per vehicle."
        ),
        responses=answers(Unauthenticated, NotFound, NotEligible, VehicleHasAgreement),
    )
    async def submit(self, principal: Principal, data: ApplicationBody, now: datetime) -> AgreementAnswer:
        """Apply."""
        view = await apply.submit(
            account_id=principal.account_id,
            vehicle_id=data.vehicle_id,
            real_name=data.declaration.name,
            declaration=data.declaration.declaration(),
            operator_company_id=data.operator_company_id,
            now=now,
        )
        return await self._whole(principal.account_id, view.id, now)

    @get(
        operation_id="listAgreements",
        summary="List the own agreements",
        description="Newest first, all on one page, without evidence and text.",
        responses=answers(Unauthenticated),
    )
    async def list_own(self, principal: Principal, now: datetime) -> Page[AgreementAnswer]:
        """List."""
        views = await agreements.list_agreements(account_id=principal.account_id)
        return Page([AgreementAnswer.of(view, now=now) for view in views])

    @get(
        "/{agreement_id:uuid}",
        operation_id="getAgreement",
        summary="Read an own agreement",
        description="With its evidence, and before the signature with the text that would be signed.",
        responses=answers(Unauthenticated, NotFound),
    )
    async def read(self, principal: Principal, agreement_id: UUID, now: datetime) -> AgreementAnswer:
        """Read."""
        return await self._whole(principal.account_id, agreement_id, now)

    @post(
        "/{agreement_id:uuid}/evidence",
        operation_id="addEvidence",
        summary="Add a file to an application",
        description=(
            "multipart/form-data with `file` (JPEG, PNG, WebP, HEIC or PDF, by content, at most 10 MB) and `kind`"
            " (driving_licence, residence, vehicle_use, identity, paper_signature, other). The same file again is the"
            " one there is; at most 20 files."
        ),
        request_max_body_size=MAX_BYTES + 64 * 1024,
        responses=answers(
            Unauthenticated,
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
        principal: Principal,
        agreement_id: UUID,
        data: Annotated[EvidenceForm, Body(media_type=RequestEncodingType.MULTI_PART)],
        services: Services,
        now: datetime,
    ) -> EvidenceAnswer:
        """Add evidence."""
        view = await apply.add_evidence(
            account_id=principal.account_id,
            agreement_id=agreement_id,
            kind=data.kind,
            content=await data.file.read(),
            claimed_type=data.file.content_type,
            evidence=apply.store_of(services),
            now=now,
        )
        return EvidenceAnswer.of(view)

    @get(
        "/{agreement_id:uuid}/evidence/{evidence_id:uuid}",
        operation_id="readEvidence",
        summary="Read an own file",
        description="The content as it was uploaded.",
        responses=answers(Unauthenticated, NotFound, EvidenceStoreAway),
    )
    async def read_evidence(
        self, principal: Principal, agreement_id: UUID, evidence_id: UUID, services: Services
    ) -> Response[bytes]:
        """Read evidence."""
        await agreements.get_agreement(account_id=principal.account_id, agreement_id=agreement_id)
        view, content = await apply.read_evidence(
            agreement_id=agreement_id, evidence_id=evidence_id, evidence=apply.store_of(services)
        )
        return _evidence_file(view, content)

    @post(
        "/{agreement_id:uuid}/signing-code",
        status_code=202,
        operation_id="requestSigningCode",
        summary="Have a signing code sent to the own phone",
        description="For an approved application. Same limits as login codes.",
        responses=answers(Unauthenticated, NotFound, NotApproved, PhoneMissing, SmsLimitReached),
    )
    async def signing_code(
        self, request: AnyRequest, principal: Principal, agreement_id: UUID, locale: str, now: datetime
    ) -> CodeSentAnswer:
        """Send a signing code."""
        await sign.request_signing_code(
            account_id=principal.account_id,
            agreement_id=agreement_id,
            address=client_address(request),
            locale=locale,
            now=now,
        )
        own = await agreements.get_agreement(account_id=principal.account_id, agreement_id=agreement_id)
        text = await sign.current_text(at=now, operator_company_id=own.operator_company_id)
        return CodeSentAnswer(int(codes.LIFETIME.total_seconds()), text.sha256.hex())

    @post(
        "/{agreement_id:uuid}/sign",
        status_code=200,
        operation_id="signAgreement",
        summary="Sign an approved application",
        description=(
            "With the SHA-256 of the text that was read and the code of the SMS. In force at once for twelve months;"
            " while another agreement of the vehicle is in force, from its end."
        ),
        responses=answers(
            Unauthenticated,
            NotFound,
            NotApproved,
            TextChanged,
            PhoneMissing,
            SmsCodeWrong,
            SmsCodeSpent,
            TooManyWrongCodes,
            VehicleHasAgreement,
            SigningLimitReached,
        ),
    )
    async def sign(
        self, request: AnyRequest, principal: Principal, agreement_id: UUID, data: SignBody, now: datetime
    ) -> AgreementAnswer:
        """Sign."""
        await sign.sign(
            account_id=principal.account_id,
            agreement_id=agreement_id,
            text_sha256=data.text_sha256,
            code=data.code,
            address=client_address(request),
            now=now,
        )
        return await self._whole(principal.account_id, agreement_id, now)

    @get(
        "/{agreement_id:uuid}/document",
        operation_id="getAgreementDocument",
        summary="Read the contract as PDF",
        description="Made once; the header Repr-Digest carries its SHA-256. Its QR code leads to the verification.",
        responses=answers(Unauthenticated, NotFound, NotSigned, EvidenceStoreAway),
    )
    async def document(
        self, principal: Principal, agreement_id: UUID, services: Services, now: datetime
    ) -> Response[bytes]:
        """Read the document."""
        await agreements.get_agreement(account_id=principal.account_id, agreement_id=agreement_id)
        made = await sign.make_document(
            agreement_id=agreement_id,
            evidence=apply.store_of(services),
            public_url=services.get(Settings).public_url,
            now=now,
        )
        name = f"agreement-{agreement_id}.pdf"
        return _file(made.content, media_type="application/pdf", sha256=made.sha256, name=name)

    @get(
        "/{agreement_id:uuid}/verification",
        operation_id="verifyAgreement",
        summary="Verify a printed contract",
        description=(
            "What the QR code of the document leads to; open to anybody, names nobody. A browser (Accept: text/html)"
            " gets a page that says the same."
        ),
    )
    async def verification(
        self,
        request: AnyRequest,
        agreement_id: UUID,
        record: Annotated[str, Parameter(min_length=64, max_length=64, description="Record SHA-256 of the document")],
    ) -> Response[VerificationAnswer]:
        """Verify."""
        answer = VerificationAnswer.of(await sign.verify(agreement_id=agreement_id, record_sha256=record))
        if "text/html" not in request.headers.get("accept", ""):
            return Response(answer)
        page = Response(verification_page(answer), media_type=MediaType.HTML, headers={"cache-control": "no-store"})
        return cast("Response[VerificationAnswer]", page)  # what is described is the JSON

    @post(
        "/{agreement_id:uuid}/terminate",
        status_code=200,
        operation_id="terminateAgreement",
        summary="End the own agreement, or withdraw an application",
        description="At once; a session that runs keeps its price. Free of charge.",
        responses=answers(Unauthenticated, NotFound, AgreementOver),
    )
    async def terminate(self, principal: Principal, agreement_id: UUID, now: datetime) -> AgreementAnswer:
        """Terminate."""
        view = await agreements.terminate(account_id=principal.account_id, agreement_id=agreement_id, now=now)
        return AgreementAnswer.of(view, now=now)


class OperatorAgreements(Controller):
    """The agreements of the caller's own companies."""

    path = "/v1/operator/agreements"
    tags = ("operator",)

    async def _whole(self, staff: Staff, agreement_id: UUID, now: datetime) -> AgreementAnswer:
        view = await review.read(staff=staff, agreement_id=agreement_id)
        evidence = await agreements.list_evidence(agreement_id=agreement_id)
        exchanges = await agreements.list_exchanges(agreement_id=agreement_id)
        return AgreementAnswer.of(view, now=now, evidence=evidence, exchanges=exchanges)

    @get(
        operation_id="listCompanyAgreements",
        summary="List the agreements of the own company",
        description="Oldest first. For operators, leads and inspectors.",
        responses=answers(Unauthenticated, StaffOnly),
    )
    async def list_all(
        self,
        staff: Staff,
        now: datetime,
        status: Status | None = None,
        waiting_for: Annotated[
            Literal["company", "resident"] | None,
            Parameter(description="Open applications only: company is the review queue, resident what was asked"),
        ] = None,
        cursor: str | None = None,
        limit: Annotated[int, Parameter(ge=1, le=200, description="Items per page")] = 50,
    ) -> Page[AgreementAnswer]:
        """List."""
        after = decode_cursor(cursor, UUID)[0] if cursor else None
        views = await review.list_agreements(
            staff=staff, status=status, after=after, limit=limit + 1, waiting_for=waiting_for
        )
        more = encode_cursor(views[limit - 1].id) if len(views) > limit else None
        return Page([AgreementAnswer.of(view, now=now) for view in views[:limit]], more)

    @get(
        "/{agreement_id:uuid}",
        operation_id="getCompanyAgreement",
        summary="Read an agreement of the own company",
        description="With its evidence. For operators, leads and inspectors.",
        responses=answers(Unauthenticated, StaffOnly, NotFound),
    )
    async def read(self, staff: Staff, agreement_id: UUID, now: datetime) -> AgreementAnswer:
        """Read."""
        return await self._whole(staff, agreement_id, now)

    @get(
        "/{agreement_id:uuid}/evidence/{evidence_id:uuid}",
        operation_id="readCompanyEvidence",
        summary="Read a file of an application",
        description="Who read it is kept in the audit log.",
        responses=answers(Unauthenticated, StaffOnly, NotFound, EvidenceStoreAway),
    )
    async def read_evidence(
        self, staff: Staff, agreement_id: UUID, evidence_id: UUID, services: Services, now: datetime
    ) -> Response[bytes]:
        """Read evidence."""
        view, content = await review.open_evidence(
            staff=staff, agreement_id=agreement_id, evidence_id=evidence_id, evidence=apply.store_of(services), now=now
        )
        return _evidence_file(view, content)

    @post(
        "/{agreement_id:uuid}/approve",
        status_code=200,
        operation_id="approveAgreement",
        summary="Approve an application",
        description="The resident is told and has 30 days to sign. For operators and leads.",
        responses=answers(Unauthenticated, StaffOnly, NotFound, AlreadyDecided, ApplicantMayNotApprove),
    )
    async def approve(self, staff: Staff, agreement_id: UUID, now: datetime) -> AgreementAnswer:
        """Approve."""
        await review.approve(staff=staff, agreement_id=agreement_id, now=now)
        return await self._whole(staff, agreement_id, now)

    @post(
        "/{agreement_id:uuid}/reject",
        status_code=200,
        operation_id="rejectAgreement",
        summary="Reject an application",
        description="With a reason that the resident reads; they may apply again. For operators and leads.",
        responses=answers(Unauthenticated, StaffOnly, NotFound, AlreadyDecided),
    )
    async def reject(self, staff: Staff, agreement_id: UUID, data: ReasonBody, now: datetime) -> AgreementAnswer:
        """Reject."""
        await review.reject(staff=staff, agreement_id=agreement_id, reason=data.reason, now=now)
        return await self._whole(staff, agreement_id, now)

    @post(
        "/{agreement_id:uuid}/terminate",
        status_code=200,
        operation_id="terminateCompanyAgreement",
        summary="End an agreement whose declaration was false or has become so",
        description="At once, with a reason that the resident reads. For operators and leads.",
        responses=answers(Unauthenticated, StaffOnly, NotFound, AgreementOver),
    )
    async def terminate(self, staff: Staff, agreement_id: UUID, data: ReasonBody, now: datetime) -> AgreementAnswer:
        """Terminate."""
        await review.terminate(staff=staff, agreement_id=agreement_id, reason=data.reason, now=now)
        return await self._whole(staff, agreement_id, now)


ROUTES: list[ControllerRouterHandler] = [Agreements, OperatorAgreements, *PACKAGE_ROUTES, *DEEPER_ROUTES]
