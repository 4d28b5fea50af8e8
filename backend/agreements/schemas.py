"""What agreements reads and answers over HTTP."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from litestar.datastructures import UploadFile
from msgspec import Meta

from backend.agreements.rules.eligibility import VehicleEnergy, VehicleUse
from backend.agreements.service import AgreementView, Declaration, EvidenceKind, EvidenceView, ExchangeView, Status
from backend.agreements.service.sign import TextView, Verification


class DeclarationBody(msgspec.Struct, frozen=True, kw_only=True):
    """What the applicant declares; every field is a condition of the pilot plan."""

    name: Annotated[
        str,
        Meta(min_length=1, max_length=60, description="Full name, as it stands in the contract", examples=["李小爱"]),
    ]
    long_term_resident: Annotated[bool, Meta(description="Lives in the compound for long")]
    has_own_bay: Annotated[bool, Meta(description="Owns or rents a parking bay there")]
    has_private_charger: Annotated[bool, Meta(description="Has a private charger")]
    vehicle_use: Annotated[
        VehicleUse | None, Meta(description="By which right the vehicle is used: owner, family, lease, company")
    ]
    vehicle_energy: Annotated[VehicleEnergy, Meta(description="Fuel type of the driving licence (行驶证)")]

    def declaration(self) -> Declaration:
        """Return the part that names nobody."""
        return Declaration(
            long_term_resident=self.long_term_resident,
            has_own_bay=self.has_own_bay,
            has_private_charger=self.has_private_charger,
            vehicle_use=self.vehicle_use,
            vehicle_energy=self.vehicle_energy,
        )


class ApplicationBody(msgspec.Struct, frozen=True, kw_only=True):
    """An application."""

    vehicle_id: Annotated[UUID, Meta(description="One of the own vehicles")]
    declaration: Annotated[DeclarationBody, Meta(description="What is declared")]
    operator_company_id: Annotated[
        UUID | None, Meta(description="With which company; null: that of the nearest pilot station")
    ] = None


@dataclass
class EvidenceForm:
    """An upload (multipart/form-data): the file, and what it shows."""

    file: UploadFile
    kind: EvidenceKind = "other"


class SignBody(msgspec.Struct, frozen=True):
    """A signature."""

    text_sha256: Annotated[
        str, Meta(min_length=64, max_length=64, description="SHA-256 of the text that was read, hexadecimal")
    ]
    code: Annotated[str, Meta(min_length=6, max_length=12, description="The 6 digits of the SMS")]


class ReasonBody(msgspec.Struct, frozen=True):
    """Why an application is rejected or an agreement ended."""

    reason: Annotated[str, Meta(min_length=2, max_length=500, description="Why; the resident reads it")]


class EvidenceAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of evidence."""

    id: Annotated[UUID, Meta(description="The evidence")]
    kind: Annotated[EvidenceKind, Meta(description="What it shows")]
    sha256: Annotated[str, Meta(description="SHA-256 of the content, hexadecimal")]
    media_type: Annotated[str, Meta(description="Type found in the content", examples=["image/jpeg"])]
    size_bytes: Annotated[int, Meta(description="Size in bytes")]
    uploaded_at: Annotated[datetime, Meta(description="When it was added")]

    @classmethod
    def of(cls, view: EvidenceView) -> "EvidenceAnswer":
        """Build the answer from the view."""
        return cls(
            id=view.id,
            kind=view.kind,
            sha256=view.sha256.hex(),
            media_type=view.media_type,
            size_bytes=view.size_bytes,
            uploaded_at=view.uploaded_at,
        )


class TextAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The contract text that would be signed now."""

    version: Annotated[int, Meta(description="Version of the text")]
    title: Annotated[str, Meta(description="Title")]
    body: Annotated[str, Meta(description="The whole text; its UTF-8 bytes have the SHA-256 beside")]
    sha256: Annotated[str, Meta(description="Send this back when signing, hexadecimal")]

    @classmethod
    def of(cls, view: TextView) -> "TextAnswer":
        """Build the answer from the view."""
        return cls(version=view.version, title=view.title, body=view.body, sha256=view.sha256.hex())


class DeclarationAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What was declared."""

    long_term_resident: Annotated[bool, Meta(description="Lives in the compound for long")]
    has_own_bay: Annotated[bool, Meta(description="Owns or rents a parking bay there")]
    has_private_charger: Annotated[bool, Meta(description="Has a private charger")]
    vehicle_use: Annotated[str | None, Meta(description="By which right the vehicle is used")]
    vehicle_energy: Annotated[str, Meta(description="Fuel type of the driving licence")]


class ExchangeAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What the company asked, or the applicant answered."""

    kind: Annotated[str, Meta(description="asked or answered")]
    text: Annotated[str, Meta(description="In their words")]
    at: Annotated[datetime, Meta(description="When")]


class AgreementAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """An application or a contract."""

    id: Annotated[UUID, Meta(description="The agreement")]
    status: Annotated[Status, Meta(description="submitted, approved, rejected, signed or terminated")]
    in_force: Annotated[bool, Meta(description="Whether the agreement price applies now (decided by the term)")]
    operator_company_id: Annotated[UUID, Meta(description="With which company")]
    vehicle_id: Annotated[UUID, Meta(description="The vehicle")]
    plate: Annotated[str | None, Meta(description="Its plate")]
    name: Annotated[str | None, Meta(description="Name of the resident")]
    phone: Annotated[str | None, Meta(description="Phone of the resident")]
    community_id: Annotated[UUID, Meta(description="The home compound")]
    community_name: Annotated[str, Meta(description="Its name")]
    distance_m: Annotated[int, Meta(description="Metres to the nearest pilot station when applying")]
    declaration: Annotated[DeclarationAnswer, Meta(description="What was declared")]
    package_id: Annotated[UUID, Meta(description="The package")]
    renews_id: Annotated[UUID | None, Meta(description="The agreement this one follows")]
    applied_through: Annotated[str, Meta(description="app, hotline or desk")]
    waiting_for: Annotated[str, Meta(description="Whose turn it is while submitted: company or resident")]
    submitted_at: Annotated[datetime, Meta(description="When it was applied for")]
    decided_at: Annotated[datetime | None, Meta(description="When it was approved or rejected")]
    decision_reason: Annotated[str | None, Meta(description="Why it was rejected, or ended by the company")]
    signed_at: Annotated[datetime | None, Meta(description="When it was signed")]
    starts_at: Annotated[datetime | None, Meta(description="Begin of the term")]
    ends_at: Annotated[datetime | None, Meta(description="End of the term, exclusive")]
    ended_at: Annotated[datetime | None, Meta(description="When it was terminated or withdrawn")]
    text_sha256: Annotated[str | None, Meta(description="SHA-256 of the text that was signed, hexadecimal")]
    record_sha256: Annotated[str | None, Meta(description="Seal over the signature, hexadecimal")]
    evidence: Annotated[list[EvidenceAnswer], Meta(description="Evidence, oldest first; empty in lists")]
    exchanges: Annotated[
        list[ExchangeAnswer], Meta(description="What was asked and answered, oldest first; empty in lists")
    ]
    text: Annotated[TextAnswer | None, Meta(description="The text to sign; null in lists and once it is signed")]

    @classmethod
    def of(
        cls,
        view: AgreementView,
        *,
        now: datetime,
        evidence: list[EvidenceView] | None = None,
        text: TextView | None = None,
        exchanges: list[ExchangeView] | None = None,
    ) -> "AgreementAnswer":
        """Build the answer from the views."""
        return cls(
            id=view.id,
            status=view.status,
            in_force=view.in_force(now),
            operator_company_id=view.operator_company_id,
            vehicle_id=view.vehicle_id,
            plate=view.party_plate,
            name=view.party_name,
            phone=view.party_phone,
            community_id=view.community_id,
            community_name=view.community_name,
            distance_m=view.distance_m,
            declaration=DeclarationAnswer(**msgspec.structs.asdict(view.declaration)),
            package_id=view.package_id,
            renews_id=view.renews_id,
            applied_through=view.applied_through,
            waiting_for=view.waiting_for,
            submitted_at=view.submitted_at,
            decided_at=view.decided_at,
            decision_reason=view.decision_reason,
            signed_at=view.signed_at,
            starts_at=view.starts_at,
            ends_at=view.ends_at,
            ended_at=view.ended_at,
            text_sha256=None if view.text_sha256 is None else view.text_sha256.hex(),
            record_sha256=None if view.record_sha256 is None else view.record_sha256.hex(),
            evidence=[EvidenceAnswer.of(item) for item in evidence or []],
            exchanges=[ExchangeAnswer(kind=x.kind, text=x.text, at=x.at) for x in exchanges or []],
            text=None if text is None else TextAnswer.of(text),
        )


class CodeSentAnswer(msgspec.Struct, frozen=True):
    """The signing code is on its way to the own phone."""

    expires_in: Annotated[int, Meta(description="Seconds the code lives", examples=[300])]
    text_sha256: Annotated[str, Meta(description="SHA-256 of the text that will be signed, hexadecimal")]


class VerificationAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What anybody with the document may learn; nothing that names a person."""

    genuine: Annotated[bool, Meta(description="Whether an agreement with this number and record was signed here")]
    status: Annotated[str | None, Meta(description="Its status; null when not genuine")]
    signed_at: Annotated[datetime | None, Meta(description="When it was signed")]
    starts_at: Annotated[datetime | None, Meta(description="Begin of the term")]
    ends_at: Annotated[datetime | None, Meta(description="End of the term, exclusive")]
    document_sha256: Annotated[str | None, Meta(description="SHA-256 of the PDF, hexadecimal")]

    @classmethod
    def of(cls, view: Verification) -> "VerificationAnswer":
        """Build the answer from the view."""
        return cls(
            genuine=view.genuine,
            status=view.status,
            signed_at=view.signed_at,
            starts_at=view.starts_at,
            ends_at=view.ends_at,
            document_sha256=None if view.document_sha256 is None else view.document_sha256.hex(),
        )
