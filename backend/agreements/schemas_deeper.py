"""What drivers, exchanges, applications for others and texts read and answer over HTTP."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from backend.agreements.schemas import DeclarationBody
from backend.agreements.schemas_packages import Aware
from backend.agreements.service.drivers import DriverView
from backend.agreements.service.texts import TextDraftView


class DriverBody(msgspec.Struct, frozen=True):
    """Who may charge the agreement's car."""

    phone: Annotated[str, Meta(min_length=5, max_length=20, description="Phone they log in with")]
    name: Annotated[str, Meta(min_length=1, max_length=60, description="Their name")]


class DriverAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A named driver."""

    id: Annotated[UUID, Meta(description="The entry; removing takes it")]
    name: Annotated[str, Meta(description="Their name")]
    phone: Annotated[str, Meta(description="Their phone")]
    added_at: Annotated[datetime, Meta(description="When they were named")]

    @classmethod
    def of(cls, view: DriverView) -> "DriverAnswer":
        """Build the answer from the view."""
        return cls(id=view.id, name=view.name, phone=view.phone, added_at=view.added_at)


class NoteBody(msgspec.Struct, frozen=True):
    """What the applicant answers."""

    note: Annotated[str, Meta(max_length=500, description="In the applicant's words; may be empty")] = ""


class RenewBody(msgspec.Struct, frozen=True):
    """A renewal: everything is declared anew; `name` is that of the contract."""

    declaration: Annotated[DeclarationBody, Meta(description="What is declared")]


class BehalfBody(msgspec.Struct, frozen=True, kw_only=True):
    """An application for a resident."""

    through: Annotated[Literal["hotline", "desk"], Meta(description="How the resident asked for it")]
    phone: Annotated[str, Meta(min_length=5, max_length=20, description="The resident's phone")]
    plate: Annotated[str, Meta(min_length=5, max_length=20, description="The car's plate", examples=["京AD12345"])]
    community_id: Annotated[UUID, Meta(description="The compound the resident lives in")]
    declaration: Annotated[DeclarationBody, Meta(description="What the resident declares, with their name")]
    operator_company_id: Annotated[UUID | None, Meta(description="Needed by staff of several companies")] = None


class PaperBody(msgspec.Struct, frozen=True):
    """A paper signature."""

    text_sha256: Annotated[
        str, Meta(min_length=64, max_length=64, description="SHA-256 of the printed text, hexadecimal")
    ]
    evidence_id: Annotated[UUID, Meta(description="Evidence of kind paper_signature: the photograph")]


class TextDraftBody(msgspec.Struct, frozen=True, kw_only=True):
    """A contract text."""

    title: Annotated[str, Meta(max_length=60, description="Title", examples=["惠民充电服务协议"])]
    body: Annotated[str, Meta(description="The text: articles 第…条, each heading on its own line; names the cap")]
    effective_from: Annotated[Aware, Meta(description="From when it is signed; in the future")]
    operator_company_id: Annotated[UUID | None, Meta(description="Needed by operators of several companies")] = None


class TextDraftAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A draft, or the version it has become."""

    id: Annotated[UUID, Meta(description="The draft")]
    operator_company_id: Annotated[UUID, Meta(description="The company")]
    title: Annotated[str, Meta(description="Title")]
    body: Annotated[str, Meta(description="The text")]
    effective_from: Annotated[datetime, Meta(description="From when it is signed")]
    status: Annotated[str, Meta(description="draft, approved or withdrawn")]
    drafted_by: Annotated[UUID, Meta(description="Who wrote it")]
    drafted_at: Annotated[datetime, Meta(description="When")]
    decided_by: Annotated[UUID | None, Meta(description="Who approved or withdrew it")]
    decided_at: Annotated[datetime | None, Meta(description="When")]

    @classmethod
    def of(cls, view: TextDraftView) -> "TextDraftAnswer":
        """Build the answer from the view."""
        return cls(**{name: getattr(view, name) for name in cls.__struct_fields__})
