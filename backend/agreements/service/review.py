"""The review of applications by the operator company; another company's agreements do not exist for it."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from asyncpg import Record

from backend.agreements import service as agreements
from backend.agreements import store, store_drivers
from backend.agreements.events import AgreementApproved
from backend.agreements.gateways.evidence import EvidenceStore
from backend.agreements.rules.terms import SIGN_WITHIN
from backend.agreements.service import AgreementView, EvidenceView, Status
from backend.agreements.service.apply import read_evidence
from backend.agreements.service.sign import Lapse
from backend.core import audit, crypto, db, jobs
from backend.core.auth import Role, Staff
from backend.core.errors import Conflict, Forbidden, NotFound
from backend.notifications import service as notifications

READERS: tuple[Role, ...] = ("operator", "lead", "inspector")
DECIDERS: tuple[Role, ...] = ("operator", "lead")


class AlreadyDecided(Conflict):
    """The application was decided before, or withdrawn."""

    code = "already_decided"
    title_en = "The application is not open"
    title_zh = "该申请已处理"
    detail_en = "Its status is {status}."
    detail_zh = "当前状态：{status}。"


class ApplicantMayNotApprove(Forbidden):
    """Who applied on a resident's behalf may not approve it."""

    code = "second_person_needed"
    title_en = "A second person must approve"
    title_zh = "需由另一人审批"
    detail_en = "You applied on the resident's behalf; another operator or lead of the company has to approve it."
    detail_zh = "该申请由您代为提交，须由本公司另一名人员审批。"


async def list_agreements(
    *,
    staff: Staff,
    status: Status | None,
    after: UUID | None,
    limit: int,
    waiting_for: Literal["company", "resident"] | None = None,
) -> list[AgreementView]:
    """Return a page of the own companies' agreements, oldest first; raises StaffOnly.

    `waiting_for` "company" is the review queue, "resident" what was asked of applicants.
    """
    rows = await store.list_for_companies(
        operator_company_ids=sorted(staff.company_ids(*READERS)),
        status=status,
        after=after,
        limit=limit,
        waiting_for=waiting_for,
    )
    return [agreements.view(row) for row in rows]


async def read(*, staff: Staff, agreement_id: UUID) -> AgreementView:
    """Return an agreement of an own company; raises StaffOnly, NotFound."""
    own = staff.company_ids(*READERS)
    row = await store.find_agreement(agreement_id=agreement_id)
    if row is None or row["operator_company_id"] not in own:
        raise NotFound(kind="agreement")
    return agreements.view(row)


async def open_evidence(
    *, staff: Staff, agreement_id: UUID, evidence_id: UUID, evidence: EvidenceStore, now: datetime
) -> tuple[EvidenceView, bytes]:
    """Return a piece of evidence of an own company's agreement; who looked is audited. Raises StaffOnly, NotFound."""
    agreement = await read(staff=staff, agreement_id=agreement_id)
    found = await read_evidence(agreement_id=agreement_id, evidence_id=evidence_id, evidence=evidence)
    async with db.transaction():
        await audit.record(
            actor_id=staff.account_id,
            actor_role=staff.role_at(agreement.operator_company_id),
            action="agreement.evidence_read",
            object_kind="agreement",
            object_id=agreement_id,
            detail={"evidence_id": str(evidence_id), "kind": found[0].kind},
            now=now,
            operator_company_id=agreement.operator_company_id,
        )
    return found


async def _lock_open(staff: Staff, agreement_id: UUID) -> Record:
    own = staff.company_ids(*DECIDERS)
    row = await store.lock_agreement(agreement_id=agreement_id)
    if row is None or row["operator_company_id"] not in own:
        raise NotFound(kind="agreement")
    if row["status"] != "submitted":
        raise AlreadyDecided(status=row["status"])
    return row


async def _decide(row: Record, staff: Staff, status: Status, reason: str | None, now: datetime) -> None:
    await store.set_decision(agreement_id=row["id"], status=status, reason=reason, decided_by=staff.account_id, now=now)
    await audit.record(
        actor_id=staff.account_id,
        actor_role=staff.role_at(row["operator_company_id"]),
        action=f"agreement.{status}",
        object_kind="agreement",
        object_id=row["id"],
        detail={},
        now=now,
        operator_company_id=row["operator_company_id"],
    )
    await notifications.notify(
        recipient=row["account_id"],
        event_key=f"agreement:{row['id']}:{status}",
        template=f"agreement_{status}",
        params={},
        safety=False,
        now=now,
    )


async def terminate(*, staff: Staff, agreement_id: UUID, reason: str, now: datetime) -> AgreementView:
    """End an agreement whose declaration was or became false (text, article 2), with a reason the resident reads.

    Raises StaffOnly, NotFound, AgreementOver. A session that runs keeps its price: it was decided at its start.
    """
    own = staff.company_ids(*DECIDERS)
    async with db.transaction():
        row = await store.lock_agreement(agreement_id=agreement_id)
        if row is None or row["operator_company_id"] not in own:
            raise NotFound(kind="agreement")
        if row["status"] != "signed":
            raise agreements.AgreementOver(status=row["status"])
        role = staff.role_at(row["operator_company_id"])
        await agreements.end(row, reason="by_company", actor_id=staff.account_id, actor_role=role, now=now)
        await store.set_reason(agreement_id=agreement_id, reason=reason)
        await notifications.notify(
            recipient=row["account_id"],
            event_key=f"agreement:{agreement_id}:terminated",
            template="agreement_terminated",
            params={},
            safety=False,
            now=now,
        )
    return await read(staff=staff, agreement_id=agreement_id)


async def approve(*, staff: Staff, agreement_id: UUID, now: datetime) -> AgreementView:
    """Approve an application; the resident has 30 days to sign.

    Raises StaffOnly, NotFound, AlreadyDecided, ApplicantMayNotApprove.
    """
    async with db.transaction():
        row = await _lock_open(staff, agreement_id)
        if row["applied_by"] == staff.account_id:
            raise ApplicantMayNotApprove
        await _decide(row, staff, "approved", None, now)
        await jobs.emit(AgreementApproved(agreement_id=agreement_id, account_id=row["account_id"]), now=now)
        await jobs.schedule("agreements.lapse", Lapse(agreement_id=agreement_id), due_at=now + SIGN_WITHIN, now=now)
    return await read(staff=staff, agreement_id=agreement_id)


async def reject(*, staff: Staff, agreement_id: UUID, reason: str, now: datetime) -> AgreementView:
    """Reject an application with a reason the resident reads; raises StaffOnly, NotFound, AlreadyDecided."""
    async with db.transaction():
        row = await _lock_open(staff, agreement_id)
        await _decide(row, staff, "rejected", reason, now)
    return await read(staff=staff, agreement_id=agreement_id)


async def ask_for_more(*, staff: Staff, agreement_id: UUID, text: str, now: datetime) -> AgreementView:
    """Ask the applicant for more evidence or another declaration, in words the applicant reads.

    The application waits for them; after 30 days without an answer it lapses. Raises StaffOnly, NotFound,
    AlreadyDecided.
    """
    async with db.transaction():
        row = await _lock_open(staff, agreement_id)
        await store_drivers.add_exchange(
            agreement_id=agreement_id,
            kind="asked",
            actor_id=staff.account_id,
            text_cipher=crypto.encrypt(text),
            now=now,
        )
        await store_drivers.set_waiting(agreement_id=agreement_id, waiting_for="resident", asked_at=now)
        await jobs.schedule("agreements.lapse", Lapse(agreement_id=agreement_id), due_at=now + SIGN_WITHIN, now=now)
        await audit.record(
            actor_id=staff.account_id,
            actor_role=staff.role_at(row["operator_company_id"]),
            action="agreement.asked_for_more",
            object_kind="agreement",
            object_id=agreement_id,
            detail={},
            now=now,
            operator_company_id=row["operator_company_id"],
        )
        await notifications.notify(
            recipient=row["account_id"],
            event_key=f"agreement:{agreement_id}:asked:{now.isoformat()}",
            template="agreement_more_wanted",
            params={},
            safety=False,
            now=now,
        )
    return await read(staff=staff, agreement_id=agreement_id)
