"""Acting for a resident on the telephone or at a desk, on record; and telling residents before a term ends."""

from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from backend.accounts import service as accounts
from backend.accounts.rules import plates
from backend.accounts.service import VehicleView
from backend.agreements import store_drivers
from backend.agreements.gateways.evidence import EvidenceStore
from backend.agreements.rules.terms import BEIJING
from backend.agreements.service import AgreementView, Declaration, EvidenceKind, EvidenceView, apply, review
from backend.agreements.service.apply import OnBehalf
from backend.core import audit, db
from backend.core.auth import Staff
from backend.core.errors import Conflict, NotFound
from backend.notifications import service as notifications
from backend.stations import service as stations

REMIND_DAYS = (30, 7)


class HomeDiffers(Conflict):
    """The resident has set another home than the one named."""

    code = "home_differs"
    title_en = "The resident has set another home"
    title_zh = "居民已设置其他小区"
    detail_en = "This account's home is another compound; the resident changes it in the app first."
    detail_zh = "该账号的居住小区与填写不一致，请居民先在应用内修改。"


async def apply_for_resident(
    *,
    staff: Staff,
    operator_company_id: UUID,
    through: Literal["hotline", "desk"],
    phone: str,
    name: str,
    plate: str,
    community_id: UUID,
    declaration: Declaration,
    now: datetime,
) -> AgreementView:
    """Apply for a resident, who is found or added by phone; who did it, and through what, is kept.

    For operators (hotline agents) and leads, with their own company. All or nothing. Raises StaffOnly, NotFound,
    PhoneInvalid, PlateUnreadable, HomeDiffers, NotEligible, VehicleHasAgreement.
    """
    if operator_company_id not in staff.company_ids("operator", "lead"):
        raise NotFound(kind="operator_company")
    async with db.transaction():
        account_id = await accounts.ensure_account(phone=phone, name=name, now=now)
        home = await stations.find_home(account_id=account_id)
        if home is not None and home.community_id != community_id:
            raise HomeDiffers(field="community_id")
        if home is None:
            await stations.set_home(account_id=account_id, community_id=community_id, now=now)
        vehicle = await _vehicle(account_id, plate, now)
        return await apply.submit(
            account_id=account_id,
            vehicle_id=vehicle.id,
            real_name=name,
            declaration=declaration,
            operator_company_id=operator_company_id,
            on_behalf=OnBehalf(staff_id=staff.account_id, role=staff.role_at(operator_company_id), through=through),
            now=now,
        )


async def _vehicle(account_id: UUID, plate: str, now: datetime) -> VehicleView:
    plain = plates.normalise(plate)
    listed = await accounts.list_vehicles(account_id=account_id)
    found = next((vehicle for vehicle in listed if vehicle.plate == plain), None)
    return found or await accounts.add_vehicle(account_id=account_id, plate=plain, now=now)


async def add_evidence(
    *,
    staff: Staff,
    agreement_id: UUID,
    kind: EvidenceKind,
    content: bytes,
    claimed_type: str | None,
    evidence: EvidenceStore,
    now: datetime,
) -> EvidenceView:
    """Add a file for a resident, a photographed paper signature above all; who added it is audited.

    Raises StaffOnly, NotFound, and what `apply.add_evidence` raises.
    """
    staff.company_ids(*review.DECIDERS)
    agreement = await review.read(staff=staff, agreement_id=agreement_id)
    added = await apply.keep_evidence(
        agreement=agreement, kind=kind, content=content, claimed_type=claimed_type, evidence=evidence, now=now
    )
    async with db.transaction():
        await audit.record(
            actor_id=staff.account_id,
            actor_role=staff.role_at(agreement.operator_company_id),
            action="agreement.evidence_added",
            object_kind="agreement",
            object_id=agreement_id,
            detail={"evidence_id": str(added.id), "kind": kind},
            now=now,
            operator_company_id=agreement.operator_company_id,
        )
    return added


async def remind_expiring(*, now: datetime) -> int:
    """Tell residents 30 and 7 days before a term ends that no other follows; returns how many are near their end.

    Each is told once for each of the two, however often this runs (unique event key).
    """
    rows = await store_drivers.list_ending(after=now, until=now + timedelta(days=max(REMIND_DAYS)))
    for row in rows:
        days = min(days for days in REMIND_DAYS if row["ends_at"] - timedelta(days=days) <= now)
        local = row["ends_at"].astimezone(BEIJING)
        async with db.transaction():
            await notifications.notify(
                recipient=row["account_id"],
                event_key=f"agreement:{row['id']}:expires:{days}",
                template="agreement_expiring",
                params={"until": f"{local:%Y-%m-%d}"},
                safety=False,
                now=now,
            )
    return len(rows)
