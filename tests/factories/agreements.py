"""Homes and agreements as tests need them."""

from datetime import UTC, datetime
from itertools import count
from typing import Any
from uuid import UUID

from backend.accounts.service import VehicleView
from backend.agreements import service as agreements
from backend.agreements import store, store_packages
from backend.agreements.rules.terms import term_end
from backend.agreements.service import AgreementView
from backend.core import crypto, db
from backend.core.ids import new_id
from backend.stations import service as stations
from backend.stations.service.imports import import_communities
from tests.factories.stations import BEIJING_LAT, BEIJING_LNG

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
_numbers = count(1)

DECLARATION: dict[str, object] = {
    "name": "李小爱",
    "long_term_resident": True,
    "has_own_bay": False,
    "has_private_charger": False,
    "vehicle_use": "owner",
    "vehicle_energy": "battery",
}
"""A declaration that meets every condition."""

PNG = b"\x89PNG\r\n\x1a\n" + b"a picture" + b"\x00\x00\x00\x00IEND\xaeB`\x82"
PDF = b"%PDF-1.7\na licence\n%%EOF\n"


async def add_home(*, account_id: UUID, lat: float = BEIJING_LAT, lng: float = BEIJING_LNG) -> UUID:
    """Make a compound at this place the home of a person."""
    name = f"小区{next(_numbers)}"
    await import_communities(file=f"name,district,lng,lat\n{name},东城区,{lng},{lat}\n".encode(), now=LONG_AGO)
    community = next(found for found, _ in await stations.list_communities(text=name) if found.name == name)
    await stations.set_home(account_id=account_id, community_id=community.id, now=LONG_AGO)
    return community.id


async def add_signed_agreement(
    *,
    account_id: UUID,
    vehicle: VehicleView,
    operator_company_id: UUID,
    starts_at: datetime = LONG_AGO,
    station_ids: tuple[UUID, ...] = (),
    community_id: UUID | None = None,
) -> AgreementView:
    """Put an agreement in force for twelve months, without the way there; signed for these stations."""
    async with db.transaction():
        agreement_id = await store.add_application(
            values={
                "account_id": account_id,
                "operator_company_id": operator_company_id,
                "vehicle_id": vehicle.id,
                "plate_hash": vehicle.plate_hash,
                "community_id": community_id or new_id(),
                "community_name": "东直门内北小街",
                "distance_m": 200,
                "declaration": {key: value for key, value in DECLARATION.items() if key != "name"},
                "package_id": await store_packages.get_default_package_id(),
                "submitted_at": starts_at,
                "name_cipher": crypto.encrypt("李小爱"),
                "plate_cipher": crypto.encrypt(vehicle.plate),
                "phone_cipher": None,
            }
        )
        assert agreement_id is not None, "the plate has an open application"
        await store.set_signed(agreement_id=agreement_id, starts_at=starts_at, ends_at=term_end(starts_at))
        text = await store.get_current_text(code="charging_agreement", at=starts_at)
        await store.add_signature(
            values={
                "agreement_id": agreement_id,
                "text_id": text["id"],
                "text_sha256": text["sha256"],
                "signed_at": starts_at,
                "address_cipher": crypto.encrypt("10.0.0.1"),
                "code_id": new_id(),
                "stations": [{"id": str(station_id)} for station_id in station_ids],
                "record_sha256": bytes(32),
            }
        )
    return await agreements.get_agreement(account_id=account_id, agreement_id=agreement_id)


async def offer_package(*, operator_company_id: UUID, now: datetime = LONG_AGO, **terms: Any) -> UUID:
    """Put a package on offer, drafted and approved by two people; a bundle of 100 kWh for 20 yuan unless told."""
    values: dict[str, Any] = {
        "code": f"package_{next(_numbers)}",
        "name_zh": "月度套餐",
        "name_en": "Monthly bundle",
        "description_zh": "",
        "description_en": "",
        "kind": "bundle",
        "price_fen": 2000,
        "included_wh": 100_000,
        "bands": (),
        "max_periods": None,
        "available_from": None,
        "available_until": None,
        "drafted_by": new_id(),
        "drafted_at": now,
    }
    values |= terms
    package_id = await store_packages.add_draft(operator_company_id=operator_company_id, values=values)
    assert package_id is not None, "the company has a package of this code"
    await store_packages.offer(package_id=package_id, approved_by=new_id(), now=now)
    return package_id
