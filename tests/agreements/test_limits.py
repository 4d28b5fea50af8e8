"""The signing limit: what is decided, who is told, and that two do not share the last place."""

from uuid import UUID

import httpx
import pytest

from backend.agreements.rules.limits import SigningDecision, decide_signing
from backend.agreements.service.limits import SigningLimitReached, check_signing_limit
from backend.core import db
from backend.core.ids import new_id
from backend.core.services import Services
from backend.stations.rules.settings import StationSettings
from backend.stations.service import build
from tests.agreements.conftest import Scene
from tests.agreements.test_sign import approved, sign
from tests.cast import BOB
from tests.factories.accounts import SentSms, add_vehicle, log_in
from tests.factories.agreements import add_signed_agreement
from tests.fakes import FixedClock


class TestDecideSigning:
    @pytest.mark.parametrize(
        ("signed", "limit", "refuses", "decision"),
        [
            (500, None, True, "free"),
            (0, 2, True, "free"),
            (1, 2, True, "at_limit"),
            (1, 2, False, "at_limit"),
            (2, 2, True, "refused"),
            (2, 2, False, "beyond"),
            (0, 0, True, "refused"),
            (0, 0, False, "beyond"),
        ],
    )
    def test_warns_at_the_limit_and_beyond_it_as_chosen(
        self, signed: int, limit: int | None, refuses: bool, decision: SigningDecision
    ) -> None:
        assert decide_signing(signed=signed, limit=limit, refuses=refuses) == decision


async def bob_has_signed_here(scene: Scene, services: Services, clock: FixedClock) -> None:
    """Bob's agreement leans on the scene's station."""
    bob = await log_in(BOB, services=services, now=clock.now())
    vehicle = await add_vehicle(account_id=bob.account_id, plate="京AD22222")
    agreement = await add_signed_agreement(
        account_id=bob.account_id, vehicle=vehicle, operator_company_id=scene.company_id
    )
    await lean(agreement.id, scene)


async def lean(agreement_id: UUID, scene: Scene) -> None:
    """Make the scene's station the nearest one of a signed agreement."""
    await db.execute(
        "UPDATE agreement_signature SET stations = jsonb_build_array(jsonb_build_object('id', $2::text))"
        " WHERE agreement_id = $1",
        agreement_id,
        str(scene.station.id),
    )


async def set_limit(scene: Scene, clock: FixedClock, limit: int, *, refuses: bool) -> None:
    """Give the station its limit."""
    chosen = StationSettings(signing_limit=limit, signing_limit_refuses=refuses)
    await build.put_settings(station_id=scene.station.id, settings=chosen, now=clock.now())


async def told(scene: Scene) -> int:
    """Count what li was told of the limit."""
    count: int = await db.fetchval(
        "SELECT count(*) FROM inbox_message WHERE recipient_id = $1 AND template = 'signing_limit_reached'",
        scene.li.account_id,
    )
    return count


async def check(scene: Scene, clock: FixedClock) -> None:
    """Look at the limit for one more agreement, alice's."""
    async with db.transaction():
        await check_signing_limit(
            near=[{"id": str(scene.station.id)}],
            operator_company_id=scene.company_id,
            agreement_id=new_id(),
            plate_hash=scene.vehicle.plate_hash,
            now=clock.now(),
        )


class TestSigning:
    @pytest.mark.parametrize(("limit", "refuses", "warnings"), [(3, True, 0), (2, True, 1), (1, False, 1)])
    async def test_warns_at_the_limit_and_beyond(
        self, scene: Scene, services: Services, clock: FixedClock, limit: int, refuses: bool, warnings: int
    ) -> None:
        await bob_has_signed_here(scene, services, clock)
        await set_limit(scene, clock, limit, refuses=refuses)
        await check(scene, clock)
        assert await told(scene) == warnings

    async def test_is_refused_beyond_the_limit_where_so_set(
        self, scene: Scene, services: Services, clock: FixedClock
    ) -> None:
        await bob_has_signed_here(scene, services, clock)
        await set_limit(scene, clock, 1, refuses=True)
        with pytest.raises(SigningLimitReached):
            await check(scene, clock)
        assert await told(scene) == 0

    async def test_counts_nobody_twice_at_a_renewal(self, scene: Scene, services: Services, clock: FixedClock) -> None:
        mine = await add_signed_agreement(
            account_id=scene.alice.account_id, vehicle=scene.vehicle, operator_company_id=scene.company_id
        )
        await lean(mine.id, scene)
        await set_limit(scene, clock, 1, refuses=True)
        await check(scene, clock)
        assert await told(scene) == 1

    async def test_without_a_limit_nothing_is_said(self, scene: Scene, services: Services, clock: FixedClock) -> None:
        await bob_has_signed_here(scene, services, clock)
        await check(scene, clock)
        assert await told(scene) == 0

    async def test_at_a_full_station_leaves_the_application_approved(
        self, api: httpx.AsyncClient, scene: Scene, sms: SentSms, services: Services, clock: FixedClock
    ) -> None:
        path = await approved(api, scene)
        await set_limit(scene, clock, 0, refuses=True)
        answer = await sign(api, scene, sms, services, clock, path)
        assert (answer.status_code, answer.json()["code"]) == (409, "signing_limit_reached")
        assert (await api.get(path, headers=scene.alice.headers)).json()["status"] == "approved"
