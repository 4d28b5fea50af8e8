"""Applying for an agreement: the declaration is judged at once, evidence is added, the company decides later."""

import asyncio
import hashlib
from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec
import structlog

from backend.accounts import service as accounts
from backend.agreements import service as agreements
from backend.agreements import store, store_drivers, store_packages
from backend.agreements.gateways.evidence import EvidenceStore, store_key
from backend.agreements.rules import eligibility, files
from backend.agreements.rules.terms import RENEWABLE_WITHIN
from backend.agreements.service import AgreementView, Declaration, EvidenceKind, EvidenceView
from backend.core import audit, crypto, db
from backend.core.errors import Conflict, GatewayError, Invalid, NotFound, Unavailable
from backend.core.services import Services
from backend.stations import service as stations

log = structlog.get_logger()


class OnBehalf(msgspec.Struct, frozen=True, kw_only=True):
    """Who applies for a resident, and through what: kept with the application."""

    staff_id: UUID
    role: str
    through: Literal["hotline", "desk"]


class NotEligible(Invalid):
    """One or more conditions of the pilot plan are not met; `failed` names each."""

    code = "not_eligible"
    title_en = "The conditions are not all met"
    title_zh = "不符合签约条件"
    detail_en = "See 'failed' for each condition that is not met."
    detail_zh = "不符合的条件见 failed。"


class VehicleHasAgreement(Conflict):
    """The plate has an agreement, or an open application, with some company (one per vehicle on the whole platform)."""

    code = "vehicle_has_agreement"
    title_en = "The vehicle has an agreement already"
    title_zh = "该车辆已有协议或正在申请"
    detail_en = (
        "A vehicle has one agreement at a time. End the other one first, or apply within 30 days before its end."
    )
    detail_zh = "同一车辆同一时间只能有一份协议。请先终止原协议，或在原协议到期前 30 日内申请。"


class EvidenceRefused(Invalid):
    """The file is none of the types that are taken, or broken, or not what it was called."""

    code = "evidence_refused"
    title_en = "The file cannot be taken"
    title_zh = "文件无法接收"
    detail_en = "Send a whole JPEG, PNG, WebP or HEIC picture or a PDF of at most 10 MB. {reason}"
    detail_zh = "请上传完整的 JPEG、PNG、WebP、HEIC 图片或 PDF，不超过 10 MB。（{reason}）"


class EvidenceMislabelled(EvidenceRefused):
    """The content is of a type that is taken, but not of the one it was sent as."""

    code = "evidence_not_what_it_says"
    title_en = "The file is not what it says"
    title_zh = "文件内容与声明的类型不符"
    detail_en = "'file' was sent as {claimed}, but its content is {found}. Send it again with Content-Type: {found}."
    detail_zh = "文件（file）声明为 {claimed}，实际内容为 {found}；请以 Content-Type: {found} 重新上传。"


class EvidenceTooLarge(EvidenceRefused):
    """The file passes the limit."""

    code = "evidence_too_large"
    title_en = "The file is too large"
    title_zh = "文件过大"
    detail_en = "'file' has {size_bytes} bytes; send at most {max_bytes}: a smaller picture, or the pages apart."
    detail_zh = "文件（file）为 {size_bytes} 字节，最多 {max_bytes} 字节；请压缩图片或分页上传。"


class EvidenceStoreAway(Unavailable):
    """The evidence store does not answer; nothing was changed, nothing is lost."""

    code = "evidence_store_unavailable"
    title_en = "Files are out of reach for now"
    title_zh = "文件存储暂时不可用"
    detail_en = "Nothing was changed, nothing is lost. Try again in a minute; send a file that you sent just now again."
    detail_zh = "未做任何更改，已有文件不会丢失。请稍后重试；刚上传的文件需要重新上传。"


class TooMuchEvidence(Conflict):
    """The application has twenty files already."""

    code = "too_much_evidence"
    title_en = "There are enough files"
    title_zh = "文件数量已达上限"
    detail_en = "An application takes at most {max_files} files."
    detail_zh = "每份申请最多上传 {max_files} 个文件。"


def store_of(services: Services) -> EvidenceStore:
    """Return the store of evidence and documents that this process was wired with."""
    return services.get(EvidenceStore)  # type: ignore[type-abstract]


async def submit(
    *,
    account_id: UUID,
    vehicle_id: UUID,
    real_name: str,
    declaration: Declaration,
    operator_company_id: UUID | None = None,
    renews_id: UUID | None = None,
    on_behalf: OnBehalf | None = None,
    now: datetime,
) -> AgreementView:
    """Apply with the company of the nearest pilot station (or the named one).

    Raises NotFound (vehicle), NotEligible with every failed condition, VehicleHasAgreement. Two concurrent applications
    for one plate: one is taken (partial unique index).
    """
    vehicle = await accounts.get_vehicle(account_id=account_id, vehicle_id=vehicle_id)
    home = await stations.find_home(account_id=account_id)
    near = [] if home is None else await stations.pilot_stations_within(lat=home.lat, lng=home.lng)
    if operator_company_id is not None:
        near = [(station, distance) for station, distance in near if station.operator_company_id == operator_company_id]
    nearest = min(near, key=lambda found: found[1], default=None)
    failed = eligibility.failed_conditions(
        eligibility.Situation(
            home_known=home is not None,
            distance_m=None if nearest is None else nearest[1],
            long_term_resident=declaration.long_term_resident,
            has_own_bay=declaration.has_own_bay,
            has_private_charger=declaration.has_private_charger,
            vehicle_energy=declaration.vehicle_energy,
            vehicle_use=declaration.vehicle_use,
        )
    )
    if failed or home is None or nearest is None:
        raise NotEligible(
            failed=[
                {"condition": name, "text_zh": eligibility.WORDINGS[name].zh, "text_en": eligibility.WORDINGS[name].en}
                for name in failed
            ]
        )
    contact = await accounts.get_contact(account_id=account_id)
    async with db.transaction():
        present = await store.find_in_force(plate_hash=vehicle.plate_hash, at=now)
        if present is not None and present["ends_at"] - now > RENEWABLE_WITHIN:
            raise VehicleHasAgreement(field="vehicle_id")
        agreement_id = await store.add_application(
            values={
                "account_id": account_id,
                "operator_company_id": nearest[0].operator_company_id,
                "vehicle_id": vehicle_id,
                "plate_hash": vehicle.plate_hash,
                "community_id": home.community_id,
                "community_name": home.name,
                "distance_m": nearest[1],
                "declaration": msgspec.to_builtins(declaration),
                "package_id": await store_packages.get_default_package_id(),
                "submitted_at": now,
                "name_cipher": crypto.encrypt(real_name),
                "plate_cipher": crypto.encrypt(vehicle.plate),
                "phone_cipher": None if contact.phone is None else crypto.encrypt(contact.phone),
                "renews_id": renews_id,
                "applied_through": "app" if on_behalf is None else on_behalf.through,
                "applied_by": None if on_behalf is None else on_behalf.staff_id,
            }
        )
        if agreement_id is None:
            raise VehicleHasAgreement(field="vehicle_id")
        await audit.record(
            actor_id=account_id if on_behalf is None else on_behalf.staff_id,
            actor_role="resident" if on_behalf is None else on_behalf.role,
            action="agreement.submitted",
            object_kind="agreement",
            object_id=agreement_id,
            detail={"distance_m": nearest[1], "through": "app" if on_behalf is None else on_behalf.through},
            now=now,
            operator_company_id=nearest[0].operator_company_id,
        )
    return await agreements.get_agreement(account_id=account_id, agreement_id=agreement_id)


async def add_evidence(
    *,
    account_id: UUID,
    agreement_id: UUID,
    kind: EvidenceKind,
    content: bytes,
    claimed_type: str | None,
    evidence: EvidenceStore,
    now: datetime,
) -> EvidenceView:
    """Add a file to an open application; the same file again is the one there is.

    Raises NotFound, AgreementOver (decided already), EvidenceRefused, TooMuchEvidence. The content is stored before its
    row: a crash in between leaves a file nobody names, never a row without its file.
    """
    agreement = await agreements.get_agreement(account_id=account_id, agreement_id=agreement_id)
    return await keep_evidence(
        agreement=agreement, kind=kind, content=content, claimed_type=claimed_type, evidence=evidence, now=now
    )


def _takes_evidence(status: str, kind: EvidenceKind) -> bool:
    """Evidence belongs to an open application, a paper signature to an approved one too."""
    return status == "submitted" or (status == "approved" and kind == "paper_signature")


async def keep_evidence(
    *,
    agreement: AgreementView,
    kind: EvidenceKind,
    content: bytes,
    claimed_type: str | None,
    evidence: EvidenceStore,
    now: datetime,
) -> EvidenceView:
    """Check and keep a file of an agreement that the caller may add to; raises as `add_evidence`."""
    agreement_id = agreement.id
    if not _takes_evidence(agreement.status, kind):
        raise agreements.AgreementOver(status=agreement.status)
    if len(content) > files.MAX_BYTES:
        raise EvidenceTooLarge(field="file", size_bytes=len(content), max_bytes=files.MAX_BYTES)
    media_type = files.detect(content)
    if media_type is None:
        raise EvidenceRefused(field="file", reason="The content is none of these, or is cut off.", found=None)
    if not files.agrees(claimed_type, media_type):
        raise EvidenceMislabelled(field="file", claimed=claimed_type, found=media_type)
    digest = await asyncio.to_thread(lambda: hashlib.sha256(content).digest())
    key = store_key(agreement_id, content)
    await _check_room(agreement_id, digest)
    await keep_file(evidence, key, content)
    try:
        async with db.transaction():
            row = await store.lock_agreement(agreement_id=agreement_id)
            if row is None or not _takes_evidence(row["status"], kind):
                raise agreements.AgreementOver(status="gone" if row is None else row["status"])
            await _check_room(agreement_id, digest)
            added = await store.add_evidence(
                agreement_id=agreement_id,
                kind=kind,
                sha256=digest,
                store_key=key,
                media_type=media_type,
                size_bytes=len(content),
                now=now,
            )
    except (agreements.AgreementOver, TooMuchEvidence):
        if all(item["sha256"] != digest for item in await store.list_evidence(agreement_id=agreement_id)):
            await agreements.delete_files_later([key], now)  # nothing personal stays that nobody's row names
        raise
    return agreements.evidence_view(added)


async def _check_room(agreement_id: UUID, digest: bytes) -> None:
    present = await store.list_evidence(agreement_id=agreement_id)
    if len(present) >= files.MAX_FILES and not any(item["sha256"] == digest for item in present):
        raise TooMuchEvidence(max_files=files.MAX_FILES)


async def keep_file(evidence: EvidenceStore, key: str, content: bytes) -> None:
    """Keep a file in the store; raises EvidenceStoreAway, also for a folder that is full or not to be written."""
    try:
        await evidence.put(key, content)
    except (GatewayError, OSError) as error:
        log.warning("evidence_store_away", error=str(error))
        raise EvidenceStoreAway from error


async def fetch_file(evidence: EvidenceStore, key: str) -> bytes | None:
    """Return a file of the store, None where there is none; raises EvidenceStoreAway."""
    try:
        return await evidence.get(key)
    except (GatewayError, OSError) as error:
        log.warning("evidence_store_away", error=str(error))
        raise EvidenceStoreAway from error


async def read_evidence(
    *, agreement_id: UUID, evidence_id: UUID, evidence: EvidenceStore
) -> tuple[EvidenceView, bytes]:
    """Return a piece of evidence with its content; the caller has checked who asks.

    Raises NotFound, and EvidenceStoreAway where the store does not answer or lacks what it was given (a folder that is
    not mounted, a bucket that was rolled back): the row says that there is a file.
    """
    row = await store.find_evidence(agreement_id=agreement_id, evidence_id=evidence_id)
    if row is None:
        raise NotFound(kind="evidence")
    content = await fetch_file(evidence, row["store_key"])
    if content is None:
        log.error("evidence_missing", agreement_id=str(agreement_id), evidence_id=str(evidence_id))
        raise EvidenceStoreAway
    return agreements.evidence_view(row), content


class NotAsked(Conflict):
    """The company asked for nothing that is still open."""

    code = "nothing_asked"
    title_en = "Nothing was asked"
    title_zh = "当前无需补充材料"
    detail_en = "The application waits for the company; its status is {status}."
    detail_zh = "申请正在等待服务商审核，当前状态：{status}。"


async def resubmit(*, account_id: UUID, agreement_id: UUID, note: str, now: datetime) -> AgreementView:
    """Hand an application in again after the company asked for more; raises NotFound, NotAsked."""
    async with db.transaction():
        row = await store.lock_agreement(agreement_id=agreement_id)
        if row is None or row["account_id"] != account_id:
            raise NotFound(kind="agreement")
        if row["status"] != "submitted" or row["waiting_for"] != "resident":
            raise NotAsked(status=row["status"])
        await store_drivers.add_exchange(
            agreement_id=agreement_id, kind="answered", actor_id=account_id, text_cipher=crypto.encrypt(note), now=now
        )
        await store_drivers.set_waiting(agreement_id=agreement_id, waiting_for="company", asked_at=None)
        await audit.record(
            actor_id=account_id,
            actor_role="resident",
            action="agreement.resubmitted",
            object_kind="agreement",
            object_id=agreement_id,
            detail={},
            now=now,
            operator_company_id=row["operator_company_id"],
        )
    return await agreements.get_agreement(account_id=account_id, agreement_id=agreement_id)


class RenewalTooEarly(Conflict):
    """An agreement is renewed in its last 30 days."""

    code = "renewal_too_early"
    title_en = "It is too early to renew"
    title_zh = "尚未到续签时间"
    detail_en = "The agreement can be renewed from {renewable_from}."
    detail_zh = "自 {renewable_from} 起可以续签。"


async def renew(*, account_id: UUID, agreement_id: UUID, declaration: Declaration, now: datetime) -> AgreementView:
    """Apply for the next term of an agreement, with the same company, car and name.

    Everything is declared and judged anew. Once approved and signed it begins when the present term ends, with the
    package the resident has then. Raises NotFound, AgreementOver (ended before its term), RenewalTooEarly, NotEligible,
    VehicleHasAgreement.
    """
    present = await agreements.get_agreement(account_id=account_id, agreement_id=agreement_id)
    if present.status != "signed" or present.ends_at is None or present.party_name is None:
        raise agreements.AgreementOver(status=present.status)
    if present.ends_at - now > RENEWABLE_WITHIN:
        raise RenewalTooEarly(renewable_from=present.ends_at - RENEWABLE_WITHIN)
    return await submit(
        account_id=account_id,
        vehicle_id=present.vehicle_id,
        real_name=present.party_name,
        declaration=declaration,
        operator_company_id=present.operator_company_id,
        renews_id=agreement_id,
        now=now,
    )
