"""The scene of the agreement tests: a pilot station, a resident beside it, the company that runs it."""

from datetime import datetime
from uuid import UUID

import httpx
import msgspec
import pytest
from piccolo.engine.postgres import PostgresEngine

from backend.accounts.service import VehicleView
from backend.core.gateways import SmsGateway
from backend.core.services import Services
from backend.stations.service import StationView
from tests.cast import ALICE, LI
from tests.factories.accounts import Login, SentSms, add_company, add_vehicle, log_in
from tests.factories.agreements import DECLARATION, add_home
from tests.factories.stations import add_station


class Scene(msgspec.Struct, frozen=True):
    """Who and what there is."""

    company_id: UUID
    station: StationView
    alice: Login
    li: Login
    vehicle: VehicleView


@pytest.fixture
def sms(services: Services) -> SentSms:
    """The SMS gateway of the test."""
    fake = SentSms()
    services.put(SmsGateway, fake)  # type: ignore[type-abstract]
    return fake


@pytest.fixture
async def scene(database: PostgresEngine, services: Services, now: datetime) -> Scene:
    """Alice lives beside a pilot station of the demo company, whose operator is li."""
    company_id = await add_company()
    station = await add_station(operator_company_id=company_id)
    alice = await log_in(ALICE, services=services, now=now)
    await add_home(account_id=alice.account_id)
    vehicle = await add_vehicle(account_id=alice.account_id)
    return Scene(company_id, station, alice, await log_in(LI, services=services, now=now), vehicle)


async def apply_for(
    api: httpx.AsyncClient, person: Login, vehicle: VehicleView, **declaration: object
) -> httpx.Response:
    """Apply as this person, with a declaration that meets every condition but for the changes."""
    body = {"vehicle_id": str(vehicle.id), "declaration": DECLARATION | declaration}
    return await api.post("/v1/agreements", json=body, headers=person.headers)
