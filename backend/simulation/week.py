"""A week at a station as discrete events: the clock jumps from one to the next, and the rules decide at each.

Where the service looks at rows, this looks at `ClaimBook` and `Ground`; the questions and the rules that answer them
are the same. People do what their trip says (`demand.Trip`); all chance is in the trips and the faults.
"""

import heapq
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

from backend.reservations.rules.alternatives import alternatives_at, nearest
from backend.reservations.rules.bookings import decide_lapse, decide_suspension, refuse_check_in
from backend.reservations.rules.moves import Moving, decide_moves
from backend.reservations.rules.periods import ceil_to
from backend.reservations.rules.slots import day_slots, rank_places, refuse_slot
from backend.reservations.rules.walk_ups import decide_walk_up
from backend.reservations.rules.words import OPEN, BookingStatus
from backend.simulation.demand import WEEK, Trip
from backend.simulation.queueing import Queueing
from backend.simulation.records import Arrival, Booking, Outcome, WeekRun
from backend.simulation.station import Gun, SimulatedStation
from backend.simulation.world import FAULTS_PER_GUN
from backend.waiting.rules.queue import match_offers
from backend.waiting.rules.waits import may_use, wait_from

ALTERNATIVES_WITHIN = timedelta(hours=12)
SHIFTS_UP_TO = timedelta(hours=2)
"""How far a resident shifts a wish to another slot; else the resident comes without a booking."""
MARGIN = 1.15
"""How much longer than the bare charge people book."""


class Week(Queueing):
    """One week; `run` plays it to the end, until the last car has gone."""

    def __init__(
        self,
        station: SimulatedStation,
        trips: Sequence[Trip],
        *,
        seed: int,
        agreements: int,
        starts_at: datetime,
        faults_per_gun: float = FAULTS_PER_GUN,
    ) -> None:
        super().__init__(station, WeekRun(station, agreements, seed, starts_at, starts_at + WEEK))
        self._bookings: list[Booking] = []
        self._no_shows: dict[bytes, list[datetime]] = defaultdict(list)
        self._suspended: dict[bytes, datetime] = {}
        self._here: set[bytes] = set()
        self._expect(trips)
        self._break(seed, faults_per_gun)

    def run(self, *, on_progress: Callable[[int], None] | None = None) -> WeekRun:
        """Play every event; `on_progress` gets the number of arrivals that have their outcome, now and then."""
        while self._heap:
            self.now, _, act = heapq.heappop(self._heap)
            act()
            self.run_so_far.events += 1
            if on_progress is not None and self.run_so_far.events % 500 == 0:
                on_progress(sum(arrival.outcome is not None for arrival in self.run_so_far.arrivals))
        self.run_so_far.stays = self._ground.stays
        return self.run_so_far

    def _expect(self, trips: Sequence[Trip]) -> None:
        for trip in trips:
            arrival = Arrival(trip, "agreement" if trip.resident else "other")
            self.run_so_far.arrivals.append(arrival)
            if trip.books_at is None:
                self._at(trip.arrives_at, partial(self._arrive, arrival))
            else:
                self._push(trip.books_at, partial(self._reserve, arrival))

    # Booking

    def _length(self, trip: Trip, gun_kind: str) -> timedelta:
        """Return for how long somebody books: the charge, a margin, on the grid, within the station's bounds."""
        power_w = min([trip.car_w, *(g.max_power_w for g in self._station.guns if g.kind == gun_kind)])
        wanted = timedelta(hours=MARGIN * trip.energy_wh / power_w)
        longest = self._terms.longest("dc" if gun_kind == "dc" else "ac")
        return min(max(ceil_span(wanted, self._terms.grid), self._terms.shortest), longest)

    def _reserve(self, arrival: Arrival) -> None:
        """Book as `reserve_slot` does, or the nearest alternative, or come without a booking."""
        trip, plate = arrival.trip, arrival.trip.vehicle
        open_bookings = sum(b.status in OPEN and b.arrival.trip.vehicle == plate for b in self._bookings)
        suspended = self._suspended.get(plate, self.now) > self.now
        guns = [g for g in self._station.guns if g.zone == "resident" and trip.power in (None, g.kind)]
        if suspended or open_bookings >= self._settings.max_open_bookings or not guns:
            self._come_without(arrival)
            return
        starts_at = ceil_to(max(trip.arrives_at, self.now), self._terms.grid)
        length = max(self._length(trip, g.kind) for g in guns)
        if not self._take(arrival, guns, starts_at, length):
            offers = day_slots(
                self._book.places(guns, now=self.now),
                opens_at=starts_at - ALTERNATIVES_WITHIN,
                closes_at=starts_at + ALTERNATIVES_WITHIN,
                now=self.now,
                terms=self._terms,
            )
            others = alternatives_at(
                offers, station_id=self._station.id, distance_m=0, power=guns[0].kind, length=length
            )
            for other in nearest(others, wanted_at=starts_at):
                near = abs(other.starts_at - starts_at) <= SHIFTS_UP_TO
                if near and self._take(arrival, guns, other.starts_at, length):
                    return
            self.run_so_far.bookings_refused += 1
            self._come_without(arrival)

    def _come_without(self, arrival: Arrival) -> None:
        """Who cannot book and would not have shown up does not show up either."""
        if arrival.trip.shows_up:
            self._at(arrival.trip.arrives_at, partial(self._arrive, arrival))
        else:
            arrival.close("no_show")

    def _take(self, arrival: Arrival, guns: Sequence[Gun], starts_at: datetime, length: timedelta) -> bool:
        ends_at = starts_at + length
        terms = self._terms
        longest = max(terms.longest(gun.kind) for gun in guns)
        if refuse_slot(starts_at=starts_at, ends_at=ends_at, longest=longest, now=self.now, terms=terms) is not None:
            return False
        fitting = [gun for gun in guns if length <= terms.longest(gun.kind)]
        places = self._book.places(fitting, now=self.now)
        for place in rank_places(places, starts_at=starts_at, ends_at=ends_at, now=self.now, terms=terms):
            gun = self._guns[place.connector_id]
            claim = self._book.claim(
                gun,
                plate=arrival.trip.vehicle,
                starts_at=starts_at,
                ends_at=ends_at,
                kind="booking",
                now=self.now,
                bay_id=place.bay_id,
            )
            if claim is not None:
                hold_until = min(starts_at + timedelta(seconds=self._settings.hold_after_start_s), ends_at)
                booking = Booking(arrival, gun, claim, starts_at, ends_at, hold_until)
                arrival.booked = True
                self._bookings.append(booking)
                self._at(hold_until, partial(self._lapse, booking))
                if arrival.trip.shows_up:
                    opens_at = starts_at - timedelta(seconds=self._settings.check_in_before_s)
                    comes_at = max(starts_at + arrival.trip.late_by, opens_at, self.now)
                    self._at(comes_at, partial(self._arrive, arrival, booking))
                return True
        return False

    def _lapse(self, booking: Booking) -> None:
        """The timer of a booking's hold rings (`reservations.service.bookings.lapse`)."""
        match decide_lapse(
            status=booking.status,
            hold_until=booking.hold_until,
            ends_at=booking.ends_at,
            bay=self._ground.bay(booking.claim.bay_id),
            now=self.now,
        ):
            case "wait":
                booking.hold_until = booking.ends_at
                self._at(booking.hold_until, partial(self._lapse, booking))
            case "no_show":
                self._close_booking(booking, "no_show")
                self._count_no_show(booking.arrival)
                if not booking.arrival.trip.shows_up:
                    booking.arrival.close("no_show")
                self._something_is_free()
            case "unused":
                was_waiting = booking.waiting
                self._close_booking(booking, "no_show")
                if was_waiting:  # its place never became usable: it waits on in the queue
                    booking.arrival.user_class = "agreement"
                    self._enqueue(booking.arrival)
                self._something_is_free()

    def _close_booking(self, booking: Booking, status: BookingStatus) -> None:
        booking.status, booking.waiting = status, False
        self._bookings.remove(booking)
        if status != "fulfilled":
            self._book.release(booking.claim.id, now=self.now)

    def _count_no_show(self, arrival: Arrival) -> None:
        plate = arrival.trip.vehicle
        self._no_shows[plate].append(self.now)
        until = decide_suspension(
            no_shows=self._no_shows[plate],
            now=self.now,
            limit=self._settings.no_show_limit,
            window=timedelta(days=self._settings.no_show_window_days),
            length=timedelta(days=self._settings.suspension_days),
        )
        if until is not None:
            self._suspended[plate] = until
            self._no_shows[plate].clear()
            self.run_so_far.suspensions += 1

    # Arriving

    def _arrive(self, arrival: Arrival, booking: Booking | None = None) -> None:
        trip = arrival.trip
        if trip.vehicle in self._here:
            arrival.close("still_there")
            return
        self._here.add(trip.vehicle)
        arrival.arrived_at = arrival.counts_from = self.now
        if booking is not None:
            refusal = refuse_check_in(
                status=booking.status,
                starts_at=booking.starts_at,
                hold_until=booking.hold_until,
                opens_before=timedelta(seconds=self._settings.check_in_before_s),
                now=self.now,
            )
            if refusal is None:
                arrival.user_class = "booking"
                arrival.counts_from = wait_from(arrived_at=self.now, slot_starts_at=booking.starts_at)
                self._at(self.now + trip.patience, partial(self._lose_patience, arrival))
                self._check_in(booking)
                return
        if arrival.user_class == "agreement":
            arrival.predicted_s = self.predicted_wait(arrival)
        self._walk_up(arrival)

    def _check_in(self, booking: Booking) -> None:
        """Before its start only where the gun is free; else again at the start."""
        if booking.status not in OPEN or booking.arrival.outcome is not None:
            return
        if self.now < booking.starts_at:
            occupied = self._ground.bay(booking.claim.bay_id) == "occupied"
            earlier = None if occupied else self._book.move(booking.claim, now=self.now, starts_at=self.now)
            if earlier is None:
                self._at(booking.starts_at, partial(self._check_in, booking))
                return
            booking.claim = earlier
        booking.status = "checked_in"
        booking.waiting = True
        self._serve_booking(booking)

    def _serve_booking(self, booking: Booking) -> None:
        """Let a booked car in where its gun is usable, else move the booking to one that is, else it waits on."""
        if not booking.waiting:
            return
        if not self._is_clear(booking.gun, booking.claim.bay_id):
            self._move(booking)
        if self._is_clear(booking.gun, booking.claim.bay_id):
            arrival = booking.arrival
            self._close_booking(booking, "fulfilled")
            self._usable(arrival)
            self._enter(arrival, booking.gun, booking.claim)

    def _is_clear(self, gun: Gun, bay_id: UUID | None) -> bool:
        spot = self._ground.spots[gun.id]
        return spot.status == "available" and spot.car is None and self._ground.bay(bay_id) != "occupied"

    def _move(self, booking: Booking) -> None:
        """Give a booking a place that can serve it now: the resident zone first, then the public one."""
        length = booking.ends_at - max(booking.starts_at, self.now)
        if length < self._terms.shortest:
            length = self._terms.shortest
        for zone in ("resident", "public"):
            clear = [g for g in self._station.guns if g.zone == zone and g.kind == booking.gun.kind]
            places = [
                place
                for place in self._book.places(clear, now=self.now)
                if self._is_clear(self._guns[place.connector_id], place.bay_id)
            ]
            moving = Moving(
                id=booking.claim.id,
                power=booking.gun.kind,
                starts_at=self.now,
                ends_at=self.now + length,
                arrived=True,
            )
            found = decide_moves([moving], places, now=self.now, terms=self._terms).get(moving.id)
            if found is None:
                continue
            gun = self._guns[found.connector_id]
            self._book.release(booking.claim.id, now=self.now)
            claim = self._book.claim(
                gun,
                plate=booking.arrival.trip.vehicle,
                starts_at=self.now,
                ends_at=self.now + length,
                kind="booking",
                now=self.now,
                bay_id=found.bay_id,
            )
            if claim is not None:
                booking.gun, booking.claim, booking.ends_at = gun, claim, self.now + length
                booking.arrival.moved = True
                return

    def _walk_up(self, arrival: Arrival) -> None:
        """Take a gun that is usable at once, or join the queue."""
        trip = arrival.trip
        kinds = {g.kind for g in self._station.guns if may_use(user_class=arrival.user_class, zone=g.zone)}
        if not kinds or not (trip.power in kinds or trip.power is None or trip.takes_any):
            self._leave_site(arrival, "refused")
            return
        free = self._free(arrival.user_class)
        for entry in self._wishes(arrival):
            left = list(free)
            while pairs := match_offers([entry], left, now=self.now, residents_worst=self._residents_worst()):
                if self._start_walk_up(arrival, self._guns[pairs[0][1]]):
                    return
                left = [connector for connector in left if connector.id != pairs[0][1]]
        self._at(self.now + trip.patience, partial(self._lose_patience, arrival))
        self._enqueue(arrival)

    def _start_walk_up(self, arrival: Arrival, gun: Gun) -> bool:
        holders = [c for c in self._book.on_connector(gun.id, now=self.now) if c.starts_at <= self.now < c.ends_at]
        trip = arrival.trip
        longest = self._terms.longest(gun.kind)
        if trip.says_when_leaving:
            longest = min(longest, self._charge_time(trip, gun) * MARGIN + trip.stays)
        ends_at = decide_walk_up(
            zone=gun.zone,
            has_agreement=trip.resident,
            holders=holders,
            next_starts_at=self._book.next_start(gun, now=self.now),
            longest=self._terms.longest(gun.kind),
            now=self.now,
            terms=self._terms,
        )
        if isinstance(ends_at, str):
            return False
        claim = self._book.claim(
            gun,
            plate=trip.vehicle,
            starts_at=self.now,
            ends_at=min(ends_at, self.now + longest),
            kind="walk_up",
            now=self.now,
        )
        if claim is None:
            return False
        self._usable(arrival)
        self._enter(arrival, gun, claim)
        return True

    # Waiting

    def _lose_patience(self, arrival: Arrival) -> None:
        queued = self._queue.get(UUID(int=arrival.trip.number))
        booking = next((b for b in self._bookings if b.arrival is arrival and b.waiting), None)
        if arrival.outcome is not None or (queued is not None and queued.accepted):
            return
        if booking is not None:
            self._close_booking(booking, "failed")
        elif queued is not None:
            self._dequeue(queued)
            if arrival.predicted_s is not None:
                self._given_up[queued.entry.id] = queued
        else:
            return
        self._leave_site(arrival, "left")
        self._something_is_free()

    def _gone(self, arrival: Arrival) -> None:
        self._leave_site(arrival, "served")

    def _leave_site(self, arrival: Arrival, outcome: Outcome) -> None:
        self._here.discard(arrival.trip.vehicle)
        arrival.left_at = self.now
        arrival.close(outcome)

    def _something_is_free(self) -> None:
        for booking in [b for b in self._bookings if b.waiting]:
            self._serve_booking(booking)
        self._offer_free()


def ceil_span(span: timedelta, step: timedelta) -> timedelta:
    """Return the first multiple of `step` not shorter than `span`."""
    return -(-span // step) * step
