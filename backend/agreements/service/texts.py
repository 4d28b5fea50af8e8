"""Contract texts of a company: drafted by one person, approved by another, in force from a later instant.

A version is never edited: signatures name it by its SHA-256. A draft that is wrong is withdrawn and written anew.
"""

import hashlib
from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec
from asyncpg import Record

from backend.agreements import store_texts
from backend.agreements.rules.texts import wrong_text
from backend.agreements.service.sign import TEXT_CODE
from backend.core import audit, db
from backend.core.auth import Staff
from backend.core.errors import Conflict, Forbidden, Invalid, NotFound


class TextDraftView(msgspec.Struct, frozen=True, kw_only=True):
    """A draft, or the version it has become."""

    id: UUID
    operator_company_id: UUID
    title: str
    body: str
    effective_from: datetime
    status: Literal["draft", "approved", "withdrawn"]
    drafted_by: UUID
    drafted_at: datetime
    decided_by: UUID | None
    decided_at: datetime | None
    text_id: UUID | None


class TextWrong(Invalid):
    """The text is no contract text; `field` and `right` say what would be."""

    code = "agreement_text_invalid"
    title_en = "The text is not valid"
    title_zh = "协议文本无效"
    detail_en = "{field}: {right}."
    detail_zh = "{field} 应为：{right}。"


class TextNotDraft(Conflict):
    """The draft was approved or withdrawn before."""

    code = "agreement_text_state"
    title_en = "The text is not a draft"
    title_zh = "文本不是草稿"
    detail_en = "Its status is {status}; a text is never edited after approval: draft the next one."
    detail_zh = "当前状态：{status}。文本批准后不可修改，请起草新版本。"


class TextNeedsSecondPerson(Forbidden):
    """Who wrote a text may not approve it."""

    code = "second_person_needed"
    title_en = "A second person must approve"
    title_zh = "需由另一人审批"
    detail_en = "You wrote this text; another operator of the company has to approve it."
    detail_zh = "您是该文本的起草人，须由本公司另一名运营人员审批。"


def _view(row: Record) -> TextDraftView:
    return TextDraftView(**{name: row[name] for name in TextDraftView.__struct_fields__})


async def list_drafts(*, staff: Staff) -> list[TextDraftView]:
    """Return the own companies' drafts and what became of them, newest first; raises StaffOnly."""
    own = sorted(staff.company_ids("operator", "lead", "inspector"))
    return [_view(row) for row in await store_texts.list_drafts(operator_company_ids=own)]


async def draft_text(
    *, staff: Staff, operator_company_id: UUID, title: str, body: str, effective_from: datetime, now: datetime
) -> TextDraftView:
    """Write down a text; raises StaffOnly, NotFound (another's company), TextWrong."""
    if operator_company_id not in staff.company_ids("operator"):
        raise NotFound(kind="operator_company")
    _check(title, body, effective_from, now)
    async with db.transaction():
        draft_id = await store_texts.add_draft(
            operator_company_id=operator_company_id,
            title=title,
            body=body,
            effective_from=effective_from,
            drafted_by=staff.account_id,
            now=now,
        )
        await _record(staff, "agreement_text.drafted", draft_id, operator_company_id, now)
    return _view(await _own(staff, draft_id))


def _check(title: str, body: str, effective_from: datetime, now: datetime) -> None:
    wrong = wrong_text(title=title, body=body)
    if wrong is None and effective_from <= now:
        wrong = ("effective_from", "in the future: nobody may sign a text that was not in force")
    if wrong is not None:
        raise TextWrong(field=wrong[0], right=wrong[1])


async def approve_text(*, staff: Staff, draft_id: UUID, now: datetime) -> TextDraftView:
    """Make a draft the company's next version as the second person.

    Raises StaffOnly, NotFound, TextNotDraft, TextNeedsSecondPerson, and TextWrong when it would be in force before now
    or before the company's newest version. What is signed already keeps its text.
    """
    async with db.transaction():
        row = await _own(staff, draft_id, lock=True)
        if row["drafted_by"] == staff.account_id:
            raise TextNeedsSecondPerson
        _check(row["title"], row["body"], row["effective_from"], now)
        company_id = row["operator_company_id"]
        latest = await store_texts.latest_effective_from(operator_company_id=company_id, code=TEXT_CODE)
        if latest is not None and row["effective_from"] <= latest:
            raise TextWrong(field="effective_from", right=f"after {latest.isoformat()}, when the newest version begins")
        text_id = await store_texts.add_version(
            operator_company_id=company_id,
            code=TEXT_CODE,
            title=row["title"],
            body=row["body"],
            sha256=hashlib.sha256(row["body"].encode()).digest(),
            effective_from=row["effective_from"],
        )
        await store_texts.decide(
            draft_id=draft_id, status="approved", decided_by=staff.account_id, text_id=text_id, now=now
        )
        await _record(staff, "agreement_text.approved", draft_id, company_id, now)
    return _view(await _found(draft_id))


async def withdraw_text(*, staff: Staff, draft_id: UUID, now: datetime) -> TextDraftView:
    """Withdraw a draft; raises StaffOnly, NotFound, TextNotDraft."""
    async with db.transaction():
        row = await _own(staff, draft_id, lock=True)
        await store_texts.decide(
            draft_id=draft_id, status="withdrawn", decided_by=staff.account_id, text_id=None, now=now
        )
        await _record(staff, "agreement_text.withdrawn", draft_id, row["operator_company_id"], now)
    return _view(await _found(draft_id))


async def _found(draft_id: UUID) -> Record:
    row = await store_texts.find_draft(draft_id=draft_id)
    if row is None:
        raise NotFound(kind="agreement_text")
    return row


async def _own(staff: Staff, draft_id: UUID, *, lock: bool = False) -> Record:
    own = staff.company_ids("operator")
    row = await store_texts.find_draft(draft_id=draft_id, lock=lock)
    if row is None or row["operator_company_id"] not in own:
        raise NotFound(kind="agreement_text")
    if row["status"] != "draft":
        raise TextNotDraft(status=row["status"])
    return row


async def _record(staff: Staff, action: str, draft_id: UUID, operator_company_id: UUID, now: datetime) -> None:
    await audit.record(
        actor_id=staff.account_id,
        actor_role=staff.role_at(operator_company_id),
        action=action,
        object_kind="agreement_text",
        object_id=draft_id,
        detail={},
        now=now,
        operator_company_id=operator_company_id,
    )
