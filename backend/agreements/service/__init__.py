"""Agreements as other features see them: who has one when, at which package; and what becomes of them on erasure.

Applying is in `.apply`, signing and the document in `.sign`, the review of operator companies in `.review`.
"""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import msgspec
from asyncpg import Record

from backend.agreements import store, store_drivers
from backend.agreements.events import AgreementTerminated
from backend.agreements.rules.eligibility import VehicleEnergy, VehicleUse
from backend.agreements.rules.terms import KEEP_AFTER_END, KEEP_UNSIGNED
from backend.core import audit, crypto, db, jobs
from backend.core.errors import Conflict, NotFound

Status = Literal["submitted", "approved", "rejected", "signed", "terminated"]
EvidenceKind = Literal["driving_licence", "residence", "vehicle_use", "identity", "paper_signature", "other"]


class Declaration(msgspec.Struct, frozen=True, kw_only=True):
    """What a person declares when applying, without what names them."""

    long_term_resident: bool
    has_own_bay: bool
    has_private_charger: bool
    vehicle_use: VehicleUse | None
    vehicle_energy: VehicleEnergy


class AgreementView(msgspec.Struct, frozen=True, kw_only=True):
    """An application or a contract; `party_*` are None once they were forgotten."""

    id: UUID
    account_id: UUID
    operator_company_id: UUID
    vehicle_id: UUID
    plate_hash: bytes | None
    status: Status
    community_id: UUID
    community_name: str
    distance_m: int
    declaration: Declaration
    package_id: UUID
    renews_id: UUID | None
    applied_through: Literal["app", "hotline", "desk"]
    applied_by: UUID | None
    waiting_for: Literal["company", "resident"]
    asked_at: datetime | None
    submitted_at: datetime
    decided_at: datetime | None
    decision_reason: str | None
    signed_at: datetime | None
    text_sha256: bytes | None
    record_sha256: bytes | None
    starts_at: datetime | None
    ends_at: datetime | None
    ended_at: datetime | None
    party_name: str | None
    party_plate: str | None
    party_phone: str | None

    def in_force(self, at: datetime) -> bool:
        """Say whether `at` lies within the term: from the signature to before the end."""
        return self.starts_at is not None and self.ends_at is not None and self.starts_at <= at < self.ends_at


class EvidenceView(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of evidence, without its content."""

    id: UUID
    kind: EvidenceKind
    sha256: bytes
    media_type: str
    size_bytes: int
    uploaded_at: datetime


class ExchangeView(msgspec.Struct, frozen=True, kw_only=True):
    """A question of the company or an answer of the applicant."""

    kind: Literal["asked", "answered"]
    text: str
    at: datetime


class DeleteFiles(msgspec.Struct, frozen=True):
    """Payload of the job that removes files after the rows are gone."""

    keys: list[str]


class AgreementOver(Conflict):
    """The agreement is not in a state in which this can be done."""

    code = "agreement_over"
    title_en = "The agreement is not in force"
    title_zh = "协议未生效或已结束"
    detail_en = "Its status is {status}."
    detail_zh = "当前状态：{status}。"


def view(row: Record) -> AgreementView:
    """Turn a row of the store into the view."""
    return AgreementView(
        **{name: row[name] for name in _PLAIN},
        declaration=msgspec.json.decode(row["declaration"], type=Declaration),
        party_name=_reveal(row["name_cipher"]),
        party_plate=_reveal(row["plate_cipher"]),
        party_phone=_reveal(row["phone_cipher"]),
    )


_PLAIN = tuple(
    name
    for name in AgreementView.__struct_fields__
    if name not in ("declaration", "party_name", "party_plate", "party_phone")
)


def _reveal(cipher: bytes | None) -> str | None:
    return None if cipher is None else crypto.decrypt(cipher)


def evidence_view(row: Record) -> EvidenceView:
    """Turn a row of the store into the view."""
    return EvidenceView(**{name: row[name] for name in EvidenceView.__struct_fields__})


async def active_agreement(
    *, account_id: UUID, plate_hash: bytes, operator_company_id: UUID, at: datetime
) -> AgreementView | None:
    """Return the agreement that gives this person, with this car, at this company, the agreement price at `at`.

    The person is its holder or a named driver.
    Decided by the term alone, to the second (domain.md, Agreements); a session asks at its start, for all of itself.
    """
    row = await store.find_in_force(plate_hash=plate_hash, at=at)
    if row is None or row["operator_company_id"] != operator_company_id:
        return None
    if row["account_id"] != account_id and not await store_drivers.is_driver(
        agreement_id=row["id"], account_id=account_id
    ):
        return None
    return view(row)


async def lock_agreement(*, agreement_id: UUID) -> AgreementView:
    """Return the agreement, its row locked for the rest of the transaction (to count bookings); raises NotFound."""
    row = await store.lock_agreement(agreement_id=agreement_id)
    if row is None:
        raise NotFound(kind="agreement")
    return view(row)


async def get_agreement(*, account_id: UUID, agreement_id: UUID) -> AgreementView:
    """Return a person's own agreement; another's is NotFound too."""
    row = await store.find_agreement(agreement_id=agreement_id)
    if row is None or row["account_id"] != account_id:
        raise NotFound(kind="agreement")
    return view(row)


async def list_exchanges(*, agreement_id: UUID) -> list[ExchangeView]:
    """Return what the company asked and the applicant answered, oldest first; who may see it the caller decides."""
    rows = await store_drivers.list_exchanges(agreement_id=agreement_id)
    return [ExchangeView(kind=row["kind"], text=crypto.decrypt(row["text_cipher"]), at=row["at"]) for row in rows]


async def list_agreements(*, account_id: UUID) -> list[AgreementView]:
    """Return a person's agreements and applications, newest first."""
    return [view(row) for row in await store.list_agreements(account_id=account_id)]


async def companies_of(*, account_id: UUID, at: datetime) -> frozenset[UUID]:
    """Return the companies with which a person has an agreement in force, as its holder or as a named driver.

    Whoever charges under the agreement is shown its prices.
    """
    return frozenset(await store_drivers.list_companies(account_id=account_id, at=at))


async def list_evidence(*, agreement_id: UUID) -> list[EvidenceView]:
    """Return the evidence of an agreement, oldest first; who may see it is decided by the caller."""
    return [evidence_view(row) for row in await store.list_evidence(agreement_id=agreement_id)]


async def terminate(*, account_id: UUID, agreement_id: UUID, now: datetime) -> AgreementView:
    """End the own agreement now, or withdraw an application; raises NotFound, AgreementOver."""
    async with db.transaction():
        row = await store.lock_agreement(agreement_id=agreement_id)
        if row is None or row["account_id"] != account_id:
            raise NotFound(kind="agreement")
        await end(row, reason="by_resident", actor_id=account_id, actor_role="resident", now=now)
    return await get_agreement(account_id=account_id, agreement_id=agreement_id)


async def end(row: Record, *, reason: str, actor_id: UUID | None, actor_role: str, now: datetime) -> None:
    """End a locked agreement in the caller's transaction; raises AgreementOver when there is nothing to end."""
    running = row["status"] == "signed" and row["ends_at"] > now
    if not running and row["status"] not in ("submitted", "approved"):
        raise AgreementOver(status="expired" if row["status"] == "signed" else row["status"])
    await store.set_terminated(agreement_id=row["id"], reason=reason, now=now)
    await audit.record(
        actor_id=actor_id,
        actor_role=actor_role,
        action="agreement.terminated",
        object_kind="agreement",
        object_id=row["id"],
        detail={"reason": reason, "was": row["status"]},
        now=now,
        operator_company_id=row["operator_company_id"],
    )
    if running:
        await jobs.emit(
            AgreementTerminated(
                agreement_id=row["id"],
                account_id=row["account_id"],
                operator_company_id=row["operator_company_id"],
                ended_at=now,
            ),
            now=now,
        )


# Personal data


async def export_personal_data(*, account_id: UUID) -> dict[str, Any]:
    """Return everything agreements knows of a person, in clear."""
    exported = []
    for agreement in await list_agreements(account_id=account_id):
        signature = await store.find_signature(agreement_id=agreement.id)
        exported.append(
            {
                "id": agreement.id,
                "status": agreement.status,
                "name": agreement.party_name,
                "phone": agreement.party_phone,
                "plate": agreement.party_plate,
                "community": agreement.community_name,
                "declaration": agreement.declaration,
                "submitted_at": agreement.submitted_at,
                "decided_at": agreement.decided_at,
                "decision_reason": agreement.decision_reason,
                "starts_at": agreement.starts_at,
                "ends_at": agreement.ends_at,
                "signed_at": agreement.signed_at,
                "signed_from_address": None if signature is None else _reveal(signature["address_cipher"]),
                "signed_text": None if signature is None else signature["body"],
                "drivers": [
                    {"name": _reveal(row["name_cipher"]), "phone": _reveal(row["phone_cipher"])}
                    for row in await store_drivers.list_drivers(agreement_id=agreement.id)
                ],
                "exchanges": await list_exchanges(agreement_id=agreement.id),
                "evidence": [
                    {"kind": item.kind, "media_type": item.media_type, "uploaded_at": item.uploaded_at}
                    for item in await list_evidence(agreement_id=agreement.id)
                ],
            }
        )
    return {"agreements": exported}


async def erase_personal_data(*, account_id: UUID, now: datetime) -> None:
    """Forget a person: applications go with their evidence; signed contracts end and stay, apart from the account.

    What is kept three years after a signed contract's end (by law): the contract, its signature and document, and the
    party's identity in its own table, which nothing but the retention sweep reads by then.
    """
    async with db.transaction():
        rows = [
            await store.lock_agreement(agreement_id=row["id"])
            for row in await store.list_agreements(account_id=account_id)
        ]
        found = [row for row in rows if row is not None]
        signed = [row["id"] for row in found if row["signed_at"] is not None]
        unsigned = [row["id"] for row in found if row["signed_at"] is None]
        for row in found:
            if row["status"] == "signed" and row["ends_at"] > now:
                await end(row, reason="erased", actor_id=account_id, actor_role="resident", now=now)
        keys = await store.list_store_keys(agreement_ids=unsigned + signed, documents=False)
        await store.delete_agreements(agreement_ids=unsigned)
        await store.delete_evidence(agreement_ids=signed)
        await store_drivers.forget_drivers_of(agreement_ids=signed)
        await store_drivers.forget_exchanges(agreement_ids=signed)
        await store_drivers.forget_driver(account_id=account_id)
        await store.forget_plates(agreement_ids=signed)
        await delete_files_later(keys, now)


async def delete_files_later(keys: list[str], now: datetime) -> None:
    """Have files removed from the store by a job, which tries until the store answers."""
    if keys:
        await jobs.schedule("agreements.delete_files", DeleteFiles(keys), due_at=now, now=now)


async def sweep(*, now: datetime, limit: int = 200) -> int:
    """Delete what was kept long enough, with its files; returns how many agreements went."""
    async with db.transaction():
        rows = await store.list_over(
            ended_before=now - KEEP_AFTER_END, unsigned_before=now - KEEP_UNSIGNED, limit=limit
        )
        ids = [row["id"] for row in rows]
        keys = await store.list_store_keys(agreement_ids=ids, documents=True)
        await store.delete_agreements(agreement_ids=ids)
        await delete_files_later(keys, now)
    return len(ids)
