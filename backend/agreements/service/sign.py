"""Signing an approved application, and the document of the contract.

Kept with the signature: the exact text (version and SHA-256), time, client address, the one-time code's id, and the
pilot stations of the company within 500 m at that time. `record_sha256` seals all of it; it is printed in the document,
stands in the audit log (whose hash chain stands in for a trusted time stamp), and is what the QR code verifies.
"""

import hashlib
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import msgspec
from asyncpg import ExclusionViolationError, Record

from backend.accounts import service as accounts
from backend.accounts.service import codes
from backend.agreements import service as agreements
from backend.agreements import store
from backend.agreements.events import AgreementSigned
from backend.agreements.gateways import pdf
from backend.agreements.gateways.evidence import EvidenceStore, store_key
from backend.agreements.gateways.pdf import ContractPaper, StationLine
from backend.agreements.rules.terms import BEIJING, SIGN_WITHIN, term_end
from backend.agreements.service import AgreementView, packages
from backend.agreements.service.apply import EvidenceStoreAway, VehicleHasAgreement, fetch_file, keep_file
from backend.agreements.service.limits import check_signing_limit
from backend.core import audit, crypto, db, jobs
from backend.core.auth import Staff
from backend.core.errors import Conflict, NotFound
from backend.notifications import service as notifications
from backend.stations import service as stations

TEXT_CODE = "charging_agreement"


class Lapse(msgspec.Struct, frozen=True, kw_only=True):
    """Payload of the timer that ends an approved application nobody signed."""

    agreement_id: UUID


class _Means(msgspec.Struct, frozen=True, kw_only=True):
    """How an agreement was signed, and who put it on record."""

    method: Literal["sms_code", "paper"]
    actor_id: UUID
    actor_role: str
    code_id: UUID | None = None
    evidence_id: UUID | None = None
    evidence_sha256: bytes | None = None


class TextView(msgspec.Struct, frozen=True, kw_only=True):
    """The contract text a person reads before signing."""

    version: int
    title: str
    body: str
    sha256: bytes


class DocumentView(msgspec.Struct, frozen=True, kw_only=True):
    """The PDF of a contract."""

    sha256: bytes
    content: bytes


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """What anybody may learn from a document's QR code: nothing that names a person."""

    genuine: bool
    status: str | None
    signed_at: datetime | None
    starts_at: datetime | None
    ends_at: datetime | None
    document_sha256: bytes | None


class NotApproved(Conflict):
    """Only an approved application can be signed."""

    code = "agreement_not_approved"
    title_en = "The agreement cannot be signed now"
    title_zh = "协议当前不可签署"
    detail_en = "Its status is {status}; only an approved application can be signed."
    detail_zh = "当前状态：{status}；仅审核通过的申请可以签署。"


class TextChanged(Conflict):
    """The text that was read is not the one in force."""

    code = "agreement_text_changed"
    title_en = "There is a newer text"
    title_zh = "协议文本已更新"
    detail_en = "Read the agreement again and sign the text with SHA-256 {text_sha256}."
    detail_zh = "请重新阅读协议，并签署 SHA-256 为 {text_sha256} 的文本。"


class PhoneMissing(Conflict):
    """A signature needs a phone that is the person's own."""

    code = "phone_missing"
    title_en = "Bind a phone first"
    title_zh = "请先绑定手机号"
    detail_en = "The signing code is sent to your own phone: bind one with PUT /v1/me/phone."
    detail_zh = "签署验证码将发送到本人手机，请先绑定手机号。"


class PaperMissing(Conflict):
    """A paper signature is photographed before it counts."""

    code = "paper_signature_missing"
    title_en = "The paper signature is not photographed"
    title_zh = "缺少纸质签名照片"
    detail_en = "Add the photograph as evidence of kind paper_signature and give its id."
    detail_zh = "请先上传 paper_signature 类型的签名照片，并填写其编号。"


class NotSigned(Conflict):
    """There is no document before the signature."""

    code = "agreement_not_signed"
    title_en = "The agreement is not signed yet"
    title_zh = "协议尚未签署"
    detail_en = "The document is made when the agreement is signed."
    detail_zh = "签署后方可下载协议文件。"


async def current_text(*, at: datetime, operator_company_id: UUID) -> TextView:
    """Return the company's text in force."""
    row = await store.get_current_text(code=TEXT_CODE, at=at, operator_company_id=operator_company_id)
    return TextView(version=row["version"], title=row["title"], body=row["body"], sha256=row["sha256"])


async def _own_approved(account_id: UUID, agreement_id: UUID) -> AgreementView:
    agreement = await agreements.get_agreement(account_id=account_id, agreement_id=agreement_id)
    if agreement.status != "approved":
        raise NotApproved(status=agreement.status)
    return agreement


async def request_signing_code(
    *, account_id: UUID, agreement_id: UUID, address: str, locale: str, now: datetime
) -> None:
    """Have a code sent to the person's own phone; raises NotFound, NotApproved, PhoneMissing, SmsLimitReached."""
    await _own_approved(account_id, agreement_id)
    await codes.request_code(
        phone=await _own_phone(account_id),
        purpose="sign",
        subject_id=agreement_id,
        address=address,
        locale=locale,
        now=now,
    )


async def _own_phone(account_id: UUID) -> str:
    phone = (await accounts.get_contact(account_id=account_id)).phone
    if phone is None:
        raise PhoneMissing
    return phone


async def sign(
    *, account_id: UUID, agreement_id: UUID, text_sha256: str, code: str, address: str, now: datetime
) -> AgreementView:
    """Sign an approved application: it is in force from now for twelve months, or from the end of the present one.

    Raises NotFound, NotApproved, TextChanged, PhoneMissing, what `codes.check_code` raises, VehicleHasAgreement.
    The text is compared before the code is used up, so that a changed text costs no code.
    """
    agreement = await _own_approved(account_id, agreement_id)
    text = await _text_that_was_read(agreement, text_sha256, now)
    phone = await _own_phone(account_id)
    code_id = await codes.check_code(
        phone=phone, purpose="sign", subject_id=agreement_id, code=code, address=address, now=now
    )
    means = _Means(method="sms_code", code_id=code_id, actor_id=account_id, actor_role="resident")
    await _put_in_force(agreement, text, phone, address, means, now)
    return await agreements.get_agreement(account_id=account_id, agreement_id=agreement_id)


async def _text_that_was_read(agreement: AgreementView, text_sha256: str, now: datetime) -> Record:
    text = await store.get_current_text(code=TEXT_CODE, at=now, operator_company_id=agreement.operator_company_id)
    if text_sha256.strip().lower() != text["sha256"].hex():
        raise TextChanged(field="text_sha256", text_sha256=text["sha256"].hex())
    return text


async def sign_on_paper(
    *, staff: Staff, agreement_id: UUID, text_sha256: str, evidence_id: UUID, address: str, now: datetime
) -> AgreementView:
    """Put a paper signature on record for a resident: the signed text, its photograph, who did it. In force from now.

    For operators and leads of the company. Raises StaffOnly, NotFound, NotApproved, TextChanged, PaperMissing,
    VehicleHasAgreement.
    """
    own = staff.company_ids("operator", "lead")
    row = await store.find_agreement(agreement_id=agreement_id)
    if row is None or row["operator_company_id"] not in own:
        raise NotFound(kind="agreement")
    if row["status"] != "approved":
        raise NotApproved(status=row["status"])
    paper = await store.find_evidence(agreement_id=agreement_id, evidence_id=evidence_id)
    if paper is None or paper["kind"] != "paper_signature":
        raise PaperMissing(field="evidence_id")
    agreement = agreements.view(row)
    text = await _text_that_was_read(agreement, text_sha256, now)
    means = _Means(
        method="paper",
        evidence_id=evidence_id,
        evidence_sha256=paper["sha256"],
        actor_id=staff.account_id,
        actor_role=staff.role_at(agreement.operator_company_id),
    )
    await _put_in_force(agreement, text, agreement.party_phone or "", address, means, now)
    return await agreements.get_agreement(account_id=agreement.account_id, agreement_id=agreement_id)


async def _put_in_force(
    agreement: AgreementView, text: Record, phone: str, address: str, means: _Means, now: datetime
) -> None:
    agreement_id = agreement.id
    near = await _stations_near(agreement)
    try:
        async with db.transaction():
            row = await store.lock_agreement(agreement_id=agreement_id)
            if row is None or row["status"] != "approved":
                raise NotApproved(status="gone" if row is None else row["status"])
            present = await store.find_in_force(plate_hash=row["plate_hash"], at=now)
            await check_signing_limit(
                near=near,
                operator_company_id=agreement.operator_company_id,
                agreement_id=agreement_id,
                plate_hash=row["plate_hash"],
                now=now,
            )
            starts_at = now if present is None else present["ends_at"]
            ends_at = term_end(starts_at)
            await store.set_signed(agreement_id=agreement_id, starts_at=starts_at, ends_at=ends_at)
            await store.set_party_phone(agreement_id=agreement_id, phone_cipher=crypto.encrypt(phone))
            record = _record(row, phone, starts_at, ends_at, now, text["sha256"], address, means, near)
            await store.add_signature(
                values={
                    "agreement_id": agreement_id,
                    "text_id": text["id"],
                    "text_sha256": text["sha256"],
                    "signed_at": now,
                    "address_cipher": crypto.encrypt(address),
                    "code_id": means.code_id,
                    "method": means.method,
                    "evidence_id": means.evidence_id,
                    "acted_by": means.actor_id if means.method == "paper" else None,
                    "stations": near,
                    "record_sha256": record,
                }
            )
            if row["renews_id"] is not None:
                await packages.carry_on(
                    renewed_id=row["renews_id"], agreement_id=agreement_id, from_at=starts_at, now=now
                )
            await _tell(row, starts_at, ends_at, record, means, now)
    except ExclusionViolationError as error:
        raise VehicleHasAgreement from error


async def _tell(
    row: Record, starts_at: datetime, ends_at: datetime, record: bytes, means: _Means, now: datetime
) -> None:
    await audit.record(
        actor_id=means.actor_id,
        actor_role=means.actor_role,
        action="agreement.signed",
        object_kind="agreement",
        object_id=row["id"],
        detail={"record_sha256": record.hex(), "method": means.method},
        now=now,
        operator_company_id=row["operator_company_id"],
    )
    await jobs.emit(
        AgreementSigned(
            agreement_id=row["id"],
            account_id=row["account_id"],
            operator_company_id=row["operator_company_id"],
            starts_at=starts_at,
            ends_at=ends_at,
        ),
        now=now,
    )
    await notifications.notify(
        recipient=row["account_id"],
        event_key=f"agreement:{row['id']}:signed",
        template="agreement_signed",
        params={},
        safety=False,
        now=now,
    )


async def _stations_near(agreement: AgreementView) -> list[dict[str, Any]]:
    """Return the company's pilot stations within 500 m of the compound of the application, nearest first."""
    home = await stations.get_community(community_id=agreement.community_id)
    near = await stations.pilot_stations_within(lat=home.lat, lng=home.lng)
    return [
        {
            "id": str(station.id),
            "code": station.code,
            "name": station.name,
            "address": station.address,
            "distance_m": distance,
        }
        for station, distance in sorted(near, key=lambda found: found[1])
        if station.operator_company_id == agreement.operator_company_id
    ]


def _record(
    row: Record,
    phone: str,
    starts_at: datetime,
    ends_at: datetime,
    signed_at: datetime,
    text_sha256: bytes,
    address: str,
    means: _Means,
    near: list[dict[str, Any]],
) -> bytes:
    """Return the SHA-256 over everything that was agreed, as sorted JSON."""
    sealed: dict[str, Any] = {
        "agreement_id": row["id"],
        "operator_company_id": row["operator_company_id"],
        "name": crypto.decrypt(row["name_cipher"]),
        "phone": phone,
        "plate": crypto.decrypt(row["plate_cipher"]),
        "community": row["community_name"],
        "starts_at": starts_at,
        "ends_at": ends_at,
        "signed_at": signed_at,
        "text_sha256": text_sha256.hex(),
        "address": address,
        "stations": near,
    }
    if means.method == "paper":
        sealed |= {"paper_sha256": (means.evidence_sha256 or b"").hex(), "acted_by": means.actor_id}
    else:
        sealed["code_id"] = means.code_id
    return hashlib.sha256(msgspec.json.encode(sealed, order="sorted")).digest()


async def lapse(*, agreement_id: UUID, now: datetime) -> None:
    """End an approved application nobody signed within 30 days, or one asked for more and not answered (timer)."""
    async with db.transaction():
        row = await store.lock_agreement(agreement_id=agreement_id)
        if row is not None and row["status"] == "approved" and row["decided_at"] + SIGN_WITHIN <= now:
            await agreements.end(row, reason="not_signed", actor_id=None, actor_role="service", now=now)
        elif (
            row is not None
            and (row["status"], row["waiting_for"]) == ("submitted", "resident")
            and row["asked_at"] + SIGN_WITHIN <= now
        ):
            await agreements.end(row, reason="not_answered", actor_id=None, actor_role="service", now=now)


def _wall(at: datetime) -> str:
    local = at.astimezone(BEIJING)
    return f"{local.year}年{local.month}月{local.day}日 {local:%H:%M:%S}"


async def make_document(*, agreement_id: UUID, evidence: EvidenceStore, public_url: str, now: datetime) -> DocumentView:
    """Return the PDF of a signed agreement, making it the first time; raises NotFound, NotSigned,
    EvidenceStoreAway.

    Made once and kept: everybody who downloads it gets the same bytes, whatever becomes of fonts and templates.
    """
    row, signature = await _signed(agreement_id)
    kept = await store.find_document(agreement_id=agreement_id)
    content = None if kept is None else await fetch_file(evidence, kept["store_key"])
    if kept is not None and content is not None:
        return DocumentView(sha256=kept["sha256"], content=content)
    paper = await _paper(row, signature, public_url)
    made = await pdf.render_in_thread(paper)
    key = store_key(agreement_id, made)
    await keep_file(evidence, key, made)
    first = await store.add_document(
        agreement_id=agreement_id, sha256=hashlib.sha256(made).digest(), store_key=key, size_bytes=len(made), now=now
    )
    if first is None or first["store_key"] == key:
        return DocumentView(sha256=hashlib.sha256(made).digest(), content=made)
    content = await fetch_file(evidence, first["store_key"])
    if content is None:
        raise EvidenceStoreAway  # the contract's hash was given out: other bytes are not the contract
    return DocumentView(sha256=first["sha256"], content=content)


async def _signed(agreement_id: UUID) -> tuple[AgreementView, Record]:
    row = await store.find_agreement(agreement_id=agreement_id)
    if row is None:
        raise NotFound(kind="agreement")
    signature = await store.find_signature(agreement_id=agreement_id)
    if signature is None:
        raise NotSigned
    return agreements.view(row), signature


async def _paper(agreement: AgreementView, signature: Record, public_url: str) -> ContractPaper:
    company = await accounts.get_operator_company(company_id=agreement.operator_company_id)
    if agreement.starts_at is None or agreement.ends_at is None:
        raise NotSigned
    record = signature["record_sha256"].hex()
    return ContractPaper(
        title=signature["title"],
        number=str(agreement.id),
        resident=agreement.party_name or "",
        phone=agreement.party_phone or "",
        plate=agreement.party_plate or "",
        community=agreement.community_name,
        company=company.name,
        hotline=company.hotline,
        starts=_wall(agreement.starts_at),
        ends=_wall(agreement.ends_at),
        signed=_wall(signature["signed_at"]),
        method=(
            "甲方本人手机号码接收的一次性短信验证码"
            if signature["method"] == "sms_code"
            else "甲方在纸质文本上签名，由乙方工作人员拍照存档并代为登记"
        ),
        client_address=crypto.decrypt(signature["address_cipher"]),
        text_version=signature["version"],
        text_sha256=signature["text_sha256"].hex(),
        record_sha256=record,
        verify_url=f"{public_url.rstrip('/')}/v1/agreements/{agreement.id}/verification?record={record}",
        articles=pdf.split_articles(signature["body"]),
        stations=msgspec.json.decode(signature["stations"], type=list[StationLine]),
    )


async def verify(*, agreement_id: UUID, record_sha256: str) -> Verification:
    """Say whether a document with this number and record was signed here, and whether it is in force; names nobody."""
    row = await store.find_agreement(agreement_id=agreement_id)
    if row is None or row["record_sha256"] is None or row["record_sha256"].hex() != record_sha256.strip().lower():
        return Verification(
            genuine=False, status=None, signed_at=None, starts_at=None, ends_at=None, document_sha256=None
        )
    document = await store.find_document(agreement_id=agreement_id)
    return Verification(
        genuine=True,
        status=row["status"],
        signed_at=row["signed_at"],
        starts_at=row["starts_at"],
        ends_at=row["ends_at"],
        document_sha256=None if document is None else document["sha256"],
    )
