"""The end of an agreement gives back the bookings ahead of it."""

from datetime import datetime, timedelta
from typing import Any

from backend.accounts import service as accounts
from backend.agreements import service as agreements
from backend.agreements.service import drivers
from backend.core import db
from backend.reservations.service import bookings
from tests.factories.reservations import Resident, add_scene, book
from tests.jobs import run_due_jobs

HOUR = timedelta(hours=1)


class TestTermination:
    async def test_gives_back_bookings_ahead_and_tells_their_resident_without_a_no_show(
        self, database: Any, now: datetime
    ) -> None:
        scene = await add_scene()
        ahead = await book(scene.alice, scene.place, now=now, starts_at=now + HOUR)
        others = await book(scene.bob, scene.place, now=now, starts_at=now + 3 * HOUR)
        assert scene.alice.agreement_id is not None
        await agreements.terminate(account_id=scene.alice.account_id, agreement_id=scene.alice.agreement_id, now=now)
        await run_due_jobs(now=now, only="reservations.cancel_bookings_ahead")
        gone = await bookings.get_reservation(account_id=ahead.account_id, reservation_id=ahead.id)
        kept = await bookings.get_reservation(account_id=others.account_id, reservation_id=others.id)
        assert (gone.status, kept.status) == ("cancelled", "confirmed")
        row = await db.fetchrow("SELECT closed_reason, counts_as_no_show FROM reservation WHERE id = $1", ahead.id)
        assert row is not None
        assert (row["closed_reason"], row["counts_as_no_show"]) == ("agreement_ended", False)
        told = await db.fetch("SELECT recipient_id FROM inbox_message WHERE template = 'reservation_agreement_ended'")
        assert [message["recipient_id"] for message in told] == [scene.alice.account_id]


class TestDriverTakenOff:
    async def test_gives_back_the_drivers_bookings_and_no_others(self, database: Any, now: datetime) -> None:
        scene = await add_scene()
        agreement_id = scene.alice.agreement_id
        assert agreement_id is not None
        named = await drivers.add_driver(
            account_id=scene.alice.account_id, agreement_id=agreement_id, phone="13800000077", name="家人", now=now
        )
        driver_id = await accounts.ensure_account(phone="13800000077", now=now)
        [car] = await accounts.list_vehicles(account_id=driver_id)
        driver = Resident(account_id=driver_id, vehicle=car, agreement_id=agreement_id)
        holders = await book(scene.alice, scene.place, now=now, starts_at=now + HOUR)
        drivers_own = await book(driver, scene.place, now=now, starts_at=now + 4 * HOUR)
        await drivers.remove_driver(
            account_id=scene.alice.account_id, agreement_id=agreement_id, driver_id=named.id, now=now
        )
        await run_due_jobs(now=now, only="reservations.cancel_drivers_bookings")
        gone = await bookings.get_reservation(account_id=driver_id, reservation_id=drivers_own.id)
        kept = await bookings.get_reservation(account_id=scene.alice.account_id, reservation_id=holders.id)
        assert (gone.status, kept.status) == ("cancelled", "confirmed")
        told = await db.fetch("SELECT template FROM inbox_message WHERE recipient_id = $1 ORDER BY id", driver_id)
        assert {"agreement_driver_removed", "reservation_agreement_ended"} <= {row["template"] for row in told}
