"""Residents with a car and an agreement, and bookings as they make them."""

from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from backend.accounts import service as accounts
from backend.accounts.service import VehicleView
from backend.core import db, jobs
from backend.reservations.rules.words import Power, ReservationView
from backend.reservations.service import reserve
from backend.telemetry.events import PlateRead
from tests.factories.accounts import LONG_AGO, add_company
from tests.factories.agreements import add_signed_agreement
from tests.factories.stations import DemoStation, add_demo_station
from tests.jobs import run_due_jobs

MINUTE = timedelta(minutes=1)


class Resident(msgspec.Struct, frozen=True, kw_only=True):
    """A person with a car and, where there is one, an agreement."""

    account_id: UUID
    vehicle: VehicleView
    agreement_id: UUID | None

    @property
    def plate_hash(self) -> bytes:
        """Return the hash of the car's plate."""
        return self.vehicle.plate_hash


async def add_resident(
    *,
    company_id: UUID | None,
    phone: str = "13800000001",
    plate: str = "京AD12345",
    now: datetime = LONG_AGO,
    station_ids: tuple[UUID, ...] = (),
    community_id: UUID | None = None,
) -> Resident:
    """Add a person with a car, under an agreement with the company (None: no agreement) for these stations."""
    account_id = await accounts.ensure_account(phone=phone, now=now)
    vehicle = await accounts.add_vehicle(account_id=account_id, plate=plate, now=now)
    agreement_id = None
    if company_id is not None:
        agreement = await add_signed_agreement(
            account_id=account_id,
            vehicle=vehicle,
            operator_company_id=company_id,
            station_ids=station_ids,
            community_id=community_id,
        )
        agreement_id = agreement.id
    return Resident(account_id=account_id, vehicle=vehicle, agreement_id=agreement_id)


class Scene(msgspec.Struct, frozen=True, kw_only=True):
    """A demo station and its company, with alice and bob under agreement and charlie without."""

    company_id: UUID
    place: DemoStation
    alice: Resident
    bob: Resident
    charlie: Resident


async def add_scene() -> Scene:
    """Build the scene."""
    company_id = await add_company()
    return Scene(
        company_id=company_id,
        place=await add_demo_station(operator_company_id=company_id),
        alice=await add_resident(company_id=company_id, phone="13800000001", plate="京AD10001"),
        bob=await add_resident(company_id=company_id, phone="13800000002", plate="京AD10002"),
        charlie=await add_resident(company_id=None, phone="13800000003", plate="京AD10003"),
    )


async def book(
    resident: Resident,
    place: DemoStation,
    *,
    now: datetime,
    starts_at: datetime,
    minutes: int = 60,
    power: Power | None = "ac",
    connector_id: UUID | None = None,
) -> ReservationView:
    """Book a slot as the resident would."""
    return await reserve.reserve_slot(
        account_id=resident.account_id,
        station_id=place.station.id,
        vehicle_id=resident.vehicle.id,
        starts_at=starts_at,
        ends_at=starts_at + minutes * MINUTE,
        power=power,
        connector_id=connector_id,
        now=now,
    )


async def approach(resident: Resident, place: DemoStation, *, now: datetime) -> None:
    """Let the approach camera read the resident's plate, and the features that listen to bookings react."""
    camera = place.approach_camera
    event = PlateRead(
        device_id=camera.id,
        device_code=camera.code,
        station_id=place.station.id,
        occurred_at=now,
        received_at=now,
        lane=camera.lane,
        plate_hash=resident.plate_hash,
        plate_cipher=b"cipher",
        energy_type="nev",
        confidence=0.98,
    )
    async with db.transaction():
        await jobs.emit(event, now=now)
    await run_due_jobs(now=now, only="reservations.")
