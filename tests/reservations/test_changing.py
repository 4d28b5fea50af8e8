"""Changing a booking, reminders, and limits, through the database."""

from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest

from backend.core import db
from backend.reservations.rules.words import ReservationView
from backend.reservations.service import bookings, changing, claims, slots
from backend.reservations.service.changing import ChangeTooLate, TooManyChanges
from backend.reservations.service.reserve import SlotInvalid, SlotTaken, TooManyNewBookings, TooManyOpenBookings
from backend.stations.service import build
from tests.factories.reservations import Scene, add_scene, book
from tests.jobs import run_due_jobs

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


@pytest.fixture
async def scene(database: Any) -> Scene:
    return await add_scene()


@pytest.fixture
async def booked(scene: Scene, now: datetime) -> ReservationView:
    return await book(scene.alice, scene.place, now=now, starts_at=now + HOUR)


async def change(booked: ReservationView, *, starts_at: datetime, now: datetime, minutes: int = 60) -> ReservationView:
    return await changing.change_slot(
        account_id=booked.account_id,
        reservation_id=booked.id,
        starts_at=starts_at,
        ends_at=starts_at + minutes * MINUTE,
        power="ac",
        connector_id=None,
        now=now,
    )


async def templates(booked: ReservationView) -> list[str]:
    rows = await db.fetch("SELECT template FROM inbox_message WHERE recipient_id = $1 ORDER BY id", booked.account_id)
    return [row["template"] for row in rows]


class TestChangeSlot:
    async def test_may_overlap_its_own_old_place_and_keeps_the_id(self, booked: ReservationView, now: datetime) -> None:
        changed = await change(booked, starts_at=booked.starts_at + 30 * MINUTE, now=now)
        assert (changed.id, changed.starts_at) == (booked.id, booked.starts_at + 30 * MINUTE)
        assert (changed.hold_until, changed.changes) == (changed.starts_at + 15 * MINUTE, 1)
        rows = await db.fetch("SELECT id, starts_at FROM connector_claim")
        assert [(r["id"], r["starts_at"]) for r in rows] == [(changed.claim_id, changed.starts_at)]

    async def test_that_is_refused_leaves_the_booking_as_it_was(
        self, scene: Scene, booked: ReservationView, now: datetime
    ) -> None:
        await book(scene.bob, scene.place, now=now, starts_at=now + 3 * HOUR)
        with pytest.raises(SlotTaken) as refused:
            await change(booked, starts_at=now + 3 * HOUR, now=now)
        assert refused.value.params["alternatives"]
        assert await bookings.get_reservation(account_id=booked.account_id, reservation_id=booked.id) == booked
        held = await claims.find_claim(claim_id=booked.claim_id)
        assert held is not None
        assert held.starts_at == booked.starts_at

    async def test_is_refused_after_the_free_time_and_too_often(self, booked: ReservationView, now: datetime) -> None:
        with pytest.raises(ChangeTooLate):
            await change(booked, starts_at=now + 2 * HOUR, now=booked.starts_at - 14 * MINUTE)
        for hours in (2, 3, 4):
            booked = await change(booked, starts_at=now + hours * HOUR, now=now)
        with pytest.raises(TooManyChanges):
            await change(booked, starts_at=now + 5 * HOUR, now=now)

    async def test_moves_the_end_of_the_hold(self, booked: ReservationView, now: datetime) -> None:
        changed = await change(booked, starts_at=now + 3 * HOUR, now=now)
        await run_due_jobs(now=booked.hold_until, only="reservations.")
        assert (await bookings.get_reservation(account_id=booked.account_id, reservation_id=booked.id)).status == (
            "confirmed"
        )
        await run_due_jobs(now=changed.hold_until, only="reservations.")
        assert (await bookings.get_reservation(account_id=booked.account_id, reservation_id=booked.id)).status == (
            "no_show"
        )


class TestReminders:
    async def test_come_before_the_start_and_before_the_hold_ends(self, booked: ReservationView, now: datetime) -> None:
        await run_due_jobs(now=booked.starts_at - 31 * MINUTE, only="reservations.")
        assert await templates(booked) == []
        await run_due_jobs(now=booked.starts_at - 30 * MINUTE, only="reservations.")
        assert await templates(booked) == ["reservation_reminder"]
        await run_due_jobs(now=booked.hold_until - 5 * MINUTE, only="reservations.")
        assert await templates(booked) == ["reservation_reminder", "reservation_hold_ends"]

    async def test_of_a_slot_that_was_changed_or_cancelled_are_void(
        self, booked: ReservationView, now: datetime
    ) -> None:
        changed = await change(booked, starts_at=now + 3 * HOUR, now=now)
        await run_due_jobs(now=booked.hold_until, only="reservations.")
        assert await templates(booked) == []
        await bookings.cancel_reservation(account_id=booked.account_id, reservation_id=booked.id, now=booked.hold_until)
        await run_due_jobs(now=changed.starts_at, only="reservations.")
        assert "reservation_reminder" not in await templates(booked)


class TestLimits:
    async def test_end_booking_and_cancelling_over_and_over(self, scene: Scene, now: datetime) -> None:
        for _ in range(8):
            booked = await book(scene.alice, scene.place, now=now, starts_at=now + HOUR)
            await bookings.cancel_reservation(account_id=booked.account_id, reservation_id=booked.id, now=now)
        with pytest.raises(TooManyNewBookings):
            await book(scene.alice, scene.place, now=now, starts_at=now + HOUR)
        later = now + timedelta(days=1, minutes=1)
        await book(scene.alice, scene.place, now=later, starts_at=later + 89 * MINUTE)

    async def test_hold_for_all_agreements_of_a_household(
        self, scene: Scene, booked: ReservationView, now: datetime
    ) -> None:
        limits = msgspec.structs.replace(scene.place.station.settings, max_open_bookings_household=1)
        await build.put_settings(station_id=scene.place.station.id, settings=limits, now=now)
        with pytest.raises(TooManyOpenBookings):
            await book(scene.alice, scene.place, now=now, starts_at=now + 4 * HOUR)


class TestOpeningHours:
    async def test_bound_what_is_offered_and_what_can_be_booked(self, scene: Scene, now: datetime) -> None:
        hours = msgspec.structs.replace(scene.place.station.settings, open_from_min=8 * 60, open_to_min=12 * 60)
        await build.put_settings(station_id=scene.place.station.id, settings=hours, now=now)
        offers = await slots.day(station_id=scene.place.station.id, on=None, power="ac", now=now)
        assert {offer.longest_until for offer in offers} == {now + 2 * HOUR}, "noon in Beijing"
        assert offers[-1].starts_at == now + 90 * MINUTE
        for offer in (offers[0], offers[-1]):
            booked = await book(scene.alice, scene.place, now=now, starts_at=offer.starts_at, minutes=30)
            await bookings.cancel_reservation(account_id=booked.account_id, reservation_id=booked.id, now=now)
        with pytest.raises(SlotInvalid) as refused:
            await book(scene.alice, scene.place, now=now, starts_at=now + 90 * MINUTE, minutes=60)
        assert refused.value.params["reason"] == "closed"
