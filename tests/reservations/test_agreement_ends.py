"""The end of an agreement gives back the bookings ahead of it."""

from datetime import datetime, timedelta
from typing import Any

from backend.agreements import service as agreements
from backend.core import db
from backend.reservations.service import bookings
from tests.factories.reservations import add_scene, book
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
