"""What changes while a car charges: prices, the agreement, the contact with the charger. The start decides."""

import random
from datetime import UTC, datetime, timedelta

import pytest

from backend.agreements import service as agreements
from backend.core import db
from backend.core.services import Services
from tests.factories.charging import add_charging_scene, answer, begin, leave, order_of, report, sample
from tests.factories.tariffs import BEIJING_SPANS, prices_for, publish_tariff
from tests.factories.telemetry import ingest, payload, store_message
from tests.jobs import run_due_jobs

NOON = datetime(2026, 6, 10, 4, 50, tzinfo=UTC)
"""12:50 in Beijing: ten minutes before peak becomes flat."""
MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)

pytestmark = pytest.mark.usefixtures("database")


@pytest.mark.parametrize("change", ["prices", "agreement", "charger offline for hours"])
async def test_the_bill_is_that_of_the_start(services: Services, change: str) -> None:
    scene = await add_charging_scene(now=NOON)
    gun = scene.place.ac
    if change == "prices":
        await publish_tariff(
            operator_company_id=scene.company_id,
            effective_from=NOON + 5 * MINUTE,
            prices=prices_for(BEIJING_SPANS, agreement_service_e4=100),
            now=NOON - MINUTE,
        )
    session = await begin(scene.alice, gun, now=NOON)
    await answer(gun, "start", now=NOON + SECOND)
    await report(gun, "session_started", now=NOON + 2 * SECOND, session=session, meter_wh=1_000_000)
    await run_due_jobs(now=NOON + 2 * SECOND, services=services)
    if change == "agreement":
        agreement_id = await db.fetchval("SELECT id FROM agreement WHERE account_id = $1", scene.alice.account_id)
        await agreements.terminate(account_id=scene.alice.account_id, agreement_id=agreement_id, now=NOON + 5 * MINUTE)
    end = NOON + 20 * MINUTE
    if change == "charger offline for hours":
        # What the charger kept comes in one burst, in any order, each sample with its own time and number.
        back = end + timedelta(hours=6)
        kept = [
            payload("charger", "telemetry", at=NOON + minute * MINUTE, meter_wh=1_000_000 + 100 * minute)
            for minute in range(1, 21)
        ]
        ended = payload(
            "charger", "event", at=end, code="session_ended", connector=1, session_id=str(session.id),
            meter_wh=1_002_000, reason="full",
        )  # fmt: skip
        random.Random(7).shuffle(kept)
        await run_due_jobs(now=back - MINUTE, services=services, only="charging.settle")
        await ingest(gun.charger, *kept, received_at=back)
        await store_message(gun.charger, "event", ended, received_at=back)
        await run_due_jobs(now=back + SECOND, services=services)
        await sample(gun, now=back + 2 * SECOND, meter_wh=1_002_000, status="finishing", power_w=0)
        await run_due_jobs(now=back + MINUTE, services=services)
        await leave(gun, now=back + 2 * MINUTE, meter_wh=1_002_000, services=services)
    else:
        for minute in range(1, 21):
            await sample(gun, now=NOON + minute * MINUTE, meter_wh=1_000_000 + 100 * minute)
        await report(gun, "session_ended", now=end, session=session, meter_wh=1_002_000, reason="full")
        await sample(gun, now=end + 2 * SECOND, meter_wh=1_002_000, status="finishing", power_w=0)
        await run_due_jobs(now=end + 3 * SECOND, services=services)
        await leave(gun, now=end + MINUTE, meter_wh=1_002_000, services=services)
    order = await order_of(session.id)
    assert (order.user_class, order.review_reasons, order.energy_wh) == ("agreement", (), 2000)
    assert [(x.band, x.energy_wh, x.service_e4) for x in order.lines] == [("peak", 1000, 4500), ("flat", 1000, 4500)]
    assert (order.energy_fee_fen, order.service_fee_fen) == (187, 90)
