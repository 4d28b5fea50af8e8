"""Bookings through the database: making, refusing, cancelling, arriving, lapsing."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from icalendar import Calendar

from backend.core import db
from backend.core.errors import NotFound
from backend.core.units import Point
from backend.reservations import service as personal
from backend.reservations.rules.words import ReservationView
from backend.reservations.service import bookings, calendar, claims, slots
from backend.reservations.service.bookings import BookingNotOpen, CheckInNotOpen, TooFarToCheckIn, WrongConnector
from backend.reservations.service.claims import AgreementNeeded, ConnectorTaken, VehicleElsewhere
from backend.reservations.service.reserve import (
    BookingIsSuspended,
    NothingToBook,
    SlotInvalid,
    SlotTaken,
    TooManyOpenBookings,
)
from tests.cast import OTHER_COMPANY
from tests.factories.accounts import add_company
from tests.factories.bays import camera_says, command_names, events_named, lock_answers, lock_says
from tests.factories.reservations import Scene, add_resident, add_scene, approach, book
from tests.factories.stations import add_demo_station, add_station
from tests.jobs import run_due_jobs

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


@pytest.fixture
async def scene(database: Any) -> Scene:
    return await add_scene()


@pytest.fixture
async def booked(scene: Scene, now: datetime) -> ReservationView:
    """Alice's booking of the AC gun, from 11:00 to 12:00; it is 10:00."""
    return await book(scene.alice, scene.place, now=now, starts_at=now + HOUR)


async def status_of(booking: ReservationView) -> str:
    return (await bookings.get_reservation(account_id=booking.account_id, reservation_id=booking.id)).status


async def claim_count() -> int:
    return int(await db.fetchval("SELECT count(*) FROM connector_claim"))


class TestReserveSlot:
    async def test_assigns_connector_and_bay_of_the_resident_zone(self, scene: Scene, booked: ReservationView) -> None:
        assert (booked.connector_id, booked.bay_id) == (scene.place.ac.connector.id, scene.place.ac.bay.id)
        assert (booked.status, booked.power) == ("confirmed", "ac")

    async def test_holds_the_connector_with_its_gap(self, booked: ReservationView) -> None:
        claim = await claims.find_claim(claim_id=booked.claim_id)
        assert claim is not None
        assert (claim.kind, claim.reference_id) == ("booking", booked.id)
        assert (claim.starts_at, claim.ends_at, claim.held_until) == (
            booked.starts_at,
            booked.ends_at,
            booked.ends_at + 10 * MINUTE,
        )

    async def test_refuses_a_slot_that_overlaps_anothers_with_alternatives_that_can_be_booked(
        self, scene: Scene, booked: ReservationView, now: datetime
    ) -> None:
        with pytest.raises(SlotTaken) as refused:
            await book(scene.bob, scene.place, now=now, starts_at=booked.starts_at + 30 * MINUTE)
        alternatives = refused.value.params["alternatives"]
        assert len(alternatives) == 3
        assert await claim_count() == 1
        for other in alternatives[:2]:
            again = await book(scene.bob, scene.place, now=now, starts_at=other.starts_at)
            await bookings.cancel_reservation(account_id=scene.bob.account_id, reservation_id=again.id, now=now)

    async def test_names_a_station_nearby_of_the_same_company_as_alternative(
        self, scene: Scene, booked: ReservationView, now: datetime
    ) -> None:
        neighbour = await add_demo_station(operator_company_id=scene.company_id, lat=scene.place.station.lat + 0.002)
        others = await add_company(name=OTHER_COMPANY)
        await add_demo_station(operator_company_id=others, lat=scene.place.station.lat + 0.001)  # no agreement there
        with pytest.raises(SlotTaken) as refused:
            await book(scene.bob, scene.place, now=now, starts_at=booked.starts_at)
        first = refused.value.params["alternatives"][0]
        assert (first.station_id, first.starts_at) == (neighbour.station.id, booked.starts_at)
        assert 0 < first.distance_m <= 500
        named = {alternative.station_id for alternative in refused.value.params["alternatives"]}
        assert named <= {neighbour.station.id, scene.place.station.id}

    async def test_takes_another_free_connector_of_the_zone(
        self, scene: Scene, booked: ReservationView, now: datetime
    ) -> None:
        other = await book(scene.bob, scene.place, now=now, starts_at=booked.starts_at, power=None)
        assert other.connector_id == scene.place.dc.connector.id

    async def test_leaves_the_vacate_gap_free(self, scene: Scene, booked: ReservationView, now: datetime) -> None:
        with pytest.raises(SlotTaken):
            await book(scene.bob, scene.place, now=now, starts_at=booked.ends_at)
        following = await book(scene.bob, scene.place, now=now, starts_at=booked.ends_at + 15 * MINUTE)
        assert following.connector_id == booked.connector_id

    async def test_refuses_a_resident_without_an_agreement(self, scene: Scene, now: datetime) -> None:
        with pytest.raises(AgreementNeeded):
            await book(scene.charlie, scene.place, now=now, starts_at=now + HOUR)

    async def test_refuses_an_agreement_with_another_company(self, scene: Scene, now: datetime) -> None:
        elsewhere = await add_demo_station(operator_company_id=await add_company(name=OTHER_COMPANY))
        with pytest.raises(AgreementNeeded):
            await book(scene.alice, elsewhere, now=now, starts_at=now + HOUR)

    async def test_refuses_a_third_open_booking(self, scene: Scene, booked: ReservationView, now: datetime) -> None:
        await book(scene.alice, scene.place, now=now, starts_at=now + 3 * HOUR)
        with pytest.raises(TooManyOpenBookings):
            await book(scene.alice, scene.place, now=now, starts_at=now + 5 * HOUR)

    async def test_refuses_one_car_in_two_places(self, scene: Scene, booked: ReservationView, now: datetime) -> None:
        with pytest.raises(VehicleElsewhere):
            await book(scene.alice, scene.place, now=now, starts_at=booked.starts_at + 30 * MINUTE, power="dc")
        with pytest.raises(VehicleElsewhere):
            await book(scene.alice, scene.place, now=now, starts_at=booked.starts_at)

    async def test_refuses_anothers_vehicle_as_an_absent_one(self, scene: Scene, now: datetime) -> None:
        stolen = await add_resident(company_id=None, phone="13800000009", plate="京AD99999")
        thief = type(scene.bob)(
            account_id=scene.bob.account_id, vehicle=stolen.vehicle, agreement_id=scene.bob.agreement_id
        )
        with pytest.raises(NotFound):
            await book(thief, scene.place, now=now, starts_at=now + HOUR)

    @pytest.mark.parametrize(
        ("starts_in", "minutes", "power", "reason"),
        [
            (-15, 60, "ac", "in_the_past"),
            (7 * 24 * 60, 60, "ac", "too_far_ahead"),
            (65, 60, "ac", "off_grid"),
            (60, 15, "ac", "too_short"),
            (60, 9 * 60, "ac", "too_long"),
            (60, 135, "dc", "too_long"),
        ],
    )
    async def test_refuses_a_period_that_is_no_slot(
        self, scene: Scene, now: datetime, starts_in: int, minutes: int, power: Any, reason: str
    ) -> None:
        with pytest.raises(SlotInvalid) as refused:
            await book(
                scene.alice, scene.place, now=now, starts_at=now + starts_in * MINUTE, minutes=minutes, power=power
            )
        assert refused.value.params["reason"] == reason

    async def test_refuses_the_public_zone_and_a_station_without_connectors(self, scene: Scene, now: datetime) -> None:
        with pytest.raises(NothingToBook):
            public = scene.place.public.connector.id
            await book(scene.alice, scene.place, now=now, starts_at=now + HOUR, connector_id=public)
        bare = await add_station(operator_company_id=scene.company_id)
        with pytest.raises(NothingToBook):
            place = type(scene.place)(
                **{
                    f: getattr(scene.place, f) for f in ("ac", "dc", "public", "approach_camera", "bay_camera", "smoke")
                },
                station=bare,
            )
            await book(scene.alice, place, now=now, starts_at=now + HOUR)


class TestSlotsOfADay:
    async def test_offer_what_can_be_booked(self, scene: Scene, booked: ReservationView, now: datetime) -> None:
        offered = await slots.day(station_id=scene.place.station.id, on=None, power="ac", now=now)
        first = offered[0]
        assert (first.starts_at, first.longest_until) == (now, now + 45 * MINUTE)
        taken = {slot.starts_at for slot in offered}
        assert booked.starts_at not in taken
        assert booked.ends_at not in taken
        assert booked.ends_at + 15 * MINUTE in taken
        await book(scene.bob, scene.place, now=now, starts_at=first.starts_at, minutes=45)

    async def test_are_none_past_seven_days_and_none_yesterday(self, scene: Scene, now: datetime) -> None:
        for days in (-1, 8):
            on = (now + timedelta(days=days)).date()
            assert await slots.day(station_id=scene.place.station.id, on=on, power=None, now=now) == []

    async def test_know_both_power_classes(self, scene: Scene, now: datetime) -> None:
        offered = await slots.day(station_id=scene.place.station.id, on=None, power=None, now=now)
        assert [(s.starts_at, s.power, s.longest_until) for s in offered[:2]] == [
            (now, "ac", now + 8 * HOUR),
            (now, "dc", now + 2 * HOUR),
        ]


class TestCancelling:
    async def test_gives_the_slot_back(self, scene: Scene, booked: ReservationView, now: datetime) -> None:
        await bookings.cancel_reservation(account_id=booked.account_id, reservation_id=booked.id, now=now)
        assert await claim_count() == 0
        again = await book(scene.bob, scene.place, now=now, starts_at=booked.starts_at)
        assert again.connector_id == booked.connector_id

    async def test_in_time_does_not_count_and_late_does(
        self, scene: Scene, booked: ReservationView, now: datetime
    ) -> None:
        in_time, late = booked.starts_at - 15 * MINUTE, booked.starts_at + 2 * HOUR - 14 * MINUTE
        await bookings.cancel_reservation(account_id=booked.account_id, reservation_id=booked.id, now=in_time)
        second = await book(scene.alice, scene.place, now=now, starts_at=booked.starts_at + 2 * HOUR)
        await bookings.cancel_reservation(account_id=booked.account_id, reservation_id=second.id, now=late)
        counted = await db.fetch("SELECT id FROM reservation WHERE counts_as_no_show")
        assert [row["id"] for row in counted] == [second.id]

    async def test_twice_is_harmless(self, booked: ReservationView, now: datetime) -> None:
        for _ in range(2):
            view = await bookings.cancel_reservation(account_id=booked.account_id, reservation_id=booked.id, now=now)
            assert view.status == "cancelled"
        assert len(await events_named("ReservationCancelled")) == 1

    async def test_anothers_is_as_absent(self, scene: Scene, booked: ReservationView, now: datetime) -> None:
        with pytest.raises(NotFound):
            await bookings.cancel_reservation(account_id=scene.bob.account_id, reservation_id=booked.id, now=now)

    async def test_is_refused_once_the_car_charges(self, booked: ReservationView, now: datetime) -> None:
        await bookings.mark_fulfilled(reservation_id=booked.id, now=booked.starts_at)
        with pytest.raises(BookingNotOpen):
            await bookings.cancel_reservation(account_id=booked.account_id, reservation_id=booked.id, now=now)


class TestArriving:
    async def test_by_plate_checks_in_and_lowers_the_lock(self, scene: Scene, booked: ReservationView) -> None:
        await approach(scene.alice, scene.place, now=booked.starts_at)
        assert await status_of(booked) == "checked_in"
        assert await command_names(scene.place.ac) == ["lower"]
        assert len(await events_named("ReservationCheckedIn")) == 1

    async def test_twice_checks_in_once(self, scene: Scene, booked: ReservationView) -> None:
        for _ in range(2):
            await approach(scene.alice, scene.place, now=booked.starts_at)
        assert len(await events_named("ReservationCheckedIn")) == 1

    async def test_of_another_plate_does_nothing(self, scene: Scene, booked: ReservationView) -> None:
        await approach(scene.bob, scene.place, now=booked.starts_at)
        assert await status_of(booked) == "confirmed"
        assert await command_names(scene.place.ac) == []

    async def test_early_holds_the_connector_from_then(self, scene: Scene, booked: ReservationView) -> None:
        early = booked.starts_at - 10 * MINUTE
        await approach(scene.alice, scene.place, now=early)
        claim = await claims.find_claim(claim_id=booked.claim_id)
        assert claim is not None
        assert claim.starts_at == early
        assert await status_of(booked) == "checked_in"

    async def test_too_early_does_nothing(self, scene: Scene, booked: ReservationView) -> None:
        await approach(scene.alice, scene.place, now=booked.starts_at - 16 * MINUTE)
        assert await status_of(booked) == "confirmed"

    async def test_early_while_somebody_is_there_waits_for_the_slot(
        self, scene: Scene, booked: ReservationView, now: datetime
    ) -> None:
        await claims.claim(
            connector_id=booked.connector_id,
            plate_hash=scene.charlie.plate_hash,
            starts_at=now,
            ends_at=booked.starts_at - 10 * MINUTE,
            kind="walk_up",
            reference_id=None,
            now=now,
        )
        await approach(scene.alice, scene.place, now=booked.starts_at - 12 * MINUTE)
        assert await status_of(booked) == "confirmed"
        await run_due_jobs(now=booked.starts_at, only="reservations.")
        assert await status_of(booked) == "checked_in"

    async def test_early_into_a_bay_another_car_stands_in_is_refused(
        self, scene: Scene, booked: ReservationView
    ) -> None:
        early = booked.starts_at - 5 * MINUTE
        await lock_says(scene.place.ac, now=early, car=True)
        with pytest.raises(ConnectorTaken):
            await bookings.check_in(reservation_id=booked.id, means="app", now=early)

    async def test_by_app_must_be_within_a_hundred_metres(self, scene: Scene, booked: ReservationView) -> None:
        station = scene.place.station
        common: dict[str, Any] = {
            "account_id": booked.account_id,
            "reservation_id": booked.id,
            "qr": None,
            "now": booked.starts_at,
        }
        with pytest.raises(TooFarToCheckIn) as refused:
            await bookings.check_in_by_app(position=Point(station.lat + 0.002, station.lng), **common)
        assert 200 < refused.value.params["distance_m"] < 240
        view = await bookings.check_in_by_app(position=Point(station.lat + 0.0005, station.lng), **common)
        assert (view.status, view.checked_in_by) == ("checked_in", "app")

    async def test_by_code_must_be_at_the_booked_connector(self, scene: Scene, booked: ReservationView) -> None:
        common: dict[str, Any] = {
            "account_id": booked.account_id,
            "reservation_id": booked.id,
            "position": None,
            "now": booked.starts_at,
        }
        with pytest.raises(WrongConnector):
            await bookings.check_in_by_app(qr=scene.place.dc.connector.qr, **common)
        with pytest.raises(NotFound):
            await bookings.check_in_by_app(qr="nothing-here", **common)
        view = await bookings.check_in_by_app(qr=scene.place.ac.connector.qr, **common)
        assert view.checked_in_by == "qr"

    async def test_again_lowers_the_lock_again(self, scene: Scene, booked: ReservationView) -> None:
        for _ in range(2):
            await bookings.check_in(reservation_id=booked.id, means="app", now=booked.starts_at)
        assert await command_names(scene.place.ac) == ["lower", "lower"]

    async def test_after_the_hold_is_refused(self, booked: ReservationView) -> None:
        with pytest.raises(CheckInNotOpen):
            await bookings.check_in(reservation_id=booked.id, means="app", now=booked.hold_until)

    async def test_seen_only_by_the_bay_camera_counts_too(self, scene: Scene, booked: ReservationView) -> None:
        await camera_says(
            scene.place.ac,
            "bay_occupied",
            now=booked.starts_at,
            camera=scene.place.bay_camera,
            plate_hash=scene.alice.plate_hash,
        )
        await run_due_jobs(now=booked.starts_at, only="reservations.")
        assert await status_of(booked) == "checked_in"


class TestNobodyComes:
    async def test_fifteen_minutes_after_the_start_the_slot_is_given_back(
        self, scene: Scene, booked: ReservationView
    ) -> None:
        await run_due_jobs(now=booked.hold_until - MINUTE, only="reservations.")
        assert await status_of(booked) == "confirmed"
        await run_due_jobs(now=booked.hold_until, only="reservations.")
        assert await status_of(booked) == "no_show"
        claim = await claims.find_claim(claim_id=booked.claim_id)
        assert claim is not None
        assert claim.held_until == booked.hold_until
        inbox = await db.fetch("SELECT template FROM inbox_message WHERE recipient_id = $1", booked.account_id)
        told = sorted(row["template"] for row in inbox)
        assert told == ["reservation_hold_ends", "reservation_no_show", "reservation_reminder"]

    async def test_or_comes_and_does_not_charge_is_told_and_not_counted(
        self, scene: Scene, booked: ReservationView
    ) -> None:
        await bookings.check_in(reservation_id=booked.id, means="app", now=booked.starts_at)
        await bookings.lapse(reservation_id=booked.id, now=booked.ends_at)
        row = await db.fetchrow("SELECT status, closed_reason, counts_as_no_show FROM reservation")
        assert row is not None
        assert tuple(row) == ("no_show", "unused", False)
        inbox = await db.fetch("SELECT template FROM inbox_message WHERE recipient_id = $1", booked.account_id)
        assert [row["template"] for row in inbox] == ["reservation_unused"]

    async def test_happens_once(self, booked: ReservationView) -> None:
        for _ in range(2):
            await bookings.lapse(reservation_id=booked.id, now=booked.hold_until)
        assert len(await events_named("ReservationNotUsed")) == 1

    async def test_does_not_happen_to_a_car_that_stands_there(self, scene: Scene, booked: ReservationView) -> None:
        await approach(scene.alice, scene.place, now=booked.starts_at)
        await lock_says(scene.place.ac, now=booked.starts_at, car=True)
        await run_due_jobs(now=booked.hold_until, only="reservations.")
        assert await status_of(booked) == "checked_in"

    async def test_a_car_that_checked_in_and_left_frees_the_bay_without_a_mark(
        self, scene: Scene, booked: ReservationView
    ) -> None:
        gun = scene.place.ac
        await lock_says(gun, now=booked.starts_at, position="up")
        await approach(scene.alice, scene.place, now=booked.starts_at)
        await lock_answers(gun, now=booked.starts_at)
        await run_due_jobs(now=booked.hold_until, only="reservations.")
        assert await status_of(booked) == "no_show"
        assert not await db.fetchval("SELECT counts_as_no_show FROM reservation WHERE id = $1", booked.id)
        await run_due_jobs(now=booked.hold_until, only="bays.")
        assert await command_names(gun) == ["lower", "raise"]

    async def test_three_times_in_thirty_days_suspends_for_seven(self, scene: Scene, now: datetime) -> None:
        for days in (0, 3, 6):
            start = now + timedelta(days=days, hours=1)
            missed = await book(scene.alice, scene.place, now=start - HOUR, starts_at=start)
            await bookings.lapse(reservation_id=missed.id, now=missed.hold_until)
        last = start + 15 * MINUTE
        with pytest.raises(BookingIsSuspended):
            await book(scene.alice, scene.place, now=last + timedelta(days=6), starts_at=start + timedelta(days=7))
        after = now + timedelta(days=14)
        again = await book(scene.alice, scene.place, now=after, starts_at=after + HOUR)
        assert again.status == "confirmed"
        assert len(await events_named("BookingSuspended")) == 1


class TestCharging:
    async def test_fulfils_the_booking_and_stops_its_timer(self, booked: ReservationView) -> None:
        await bookings.mark_fulfilled(reservation_id=booked.id, now=booked.starts_at)
        await run_due_jobs(now=booked.ends_at, only="reservations.")
        assert await status_of(booked) == "fulfilled"

    async def test_finds_the_booking_whose_turn_it_is(self, booked: ReservationView) -> None:
        async def current(at: datetime) -> UUID | None:
            found = await claims.current_reservation(connector_id=booked.connector_id, at=at)
            return None if found is None else found.id

        assert await current(booked.starts_at - 16 * MINUTE) is None
        assert await current(booked.starts_at - 15 * MINUTE) == booked.id
        assert await current(booked.ends_at - MINUTE) == booked.id
        assert await current(booked.ends_at) is None


class TestTheCalendar:
    async def test_holds_the_bookings_at_a_secret_address(
        self, scene: Scene, booked: ReservationView, now: datetime
    ) -> None:
        token = await calendar.new_address(account_id=scene.alice.account_id, now=now)
        entries = Calendar.from_ical(await calendar.calendar(token=token, now=now)).walk("VEVENT")
        assert [(e["UID"], e["STATUS"]) for e in entries] == [(f"{booked.id}@linli", "CONFIRMED")]
        assert entries[0].decoded("DTSTART") == booked.starts_at
        await bookings.cancel_reservation(account_id=booked.account_id, reservation_id=booked.id, now=now)
        changed = Calendar.from_ical(await calendar.calendar(token=token, now=now)).walk("VEVENT")[0]
        assert (changed["STATUS"], changed["SEQUENCE"]) == ("CANCELLED", 1)

    async def test_is_closed_to_a_wrong_or_replaced_token(self, scene: Scene, now: datetime) -> None:
        old = await calendar.new_address(account_id=scene.alice.account_id, now=now)
        await calendar.new_address(account_id=scene.alice.account_id, now=now)
        for token in (old, "guess"):
            with pytest.raises(NotFound):
                await calendar.calendar(token=token, now=now)


class TestErasure:
    async def test_cancels_what_is_open_and_forgets_the_plate(
        self, scene: Scene, booked: ReservationView, now: datetime
    ) -> None:
        exported = await personal.export_personal_data(account_id=booked.account_id)
        assert [entry["id"] for entry in exported["reservations"]] == [str(booked.id)]  # type: ignore[attr-defined]
        await personal.erase_personal_data(account_id=booked.account_id, now=now)
        assert await status_of(booked) == "cancelled"
        assert await db.fetchval("SELECT count(*) FROM reservation WHERE plate_hash = $1", booked.plate_hash) == 0
