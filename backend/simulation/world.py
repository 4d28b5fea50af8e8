"""The world of a simulated week: its clock, the chargers and the cars at them, and what can be known of both.

People who book, wait and walk up are in `week`; they are told through `_something_is_free` and `_gone`.
"""

import heapq
import random
from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import datetime, time, timedelta
from functools import partial
from uuid import UUID

from backend.charging.rules.overstay import OverstayTerms, charged_from, is_quiet, quiet_edges
from backend.charging.rules.states import ConnectorBecame, DeviceEnded, DeviceStarted, SessionState, decide
from backend.reservations.rules.periods import leaves_by, quiet_until
from backend.reservations.rules.words import ClaimView
from backend.simulation.book import ClaimBook
from backend.simulation.demand import BEIJING, Trip
from backend.simulation.ground import Ground
from backend.simulation.records import Arrival, Charge, WeekRun
from backend.simulation.station import Gun, SimulatedStation
from backend.waiting.rules.queue import Free
from backend.waiting.rules.waits import Holder, UserClass, can_start_now, usable_from

FAULTS_PER_GUN = 0.1
"""Faults of a connector in a week, unless told otherwise: one in ten weeks, four hours each on average."""


class World(ABC):
    """Clock, ground and claims of one week."""

    def __init__(self, station: SimulatedStation, run: WeekRun) -> None:
        self._station, self._terms, self._settings = station, station.terms, station.settings
        self._guns = {gun.id: gun for gun in station.guns}
        self._book = ClaimBook(station)
        self._ground = Ground(station, ring=lambda at, bay: self._at(at, partial(self._raise_due, bay)))
        self._heap: list[tuple[datetime, int, Callable[[], None]]] = []
        self._pushed = 0
        self._charging: dict[UUID, tuple[Arrival, SessionState, UUID]] = {}
        self.now = run.starts_at
        self.run_so_far = run

    @abstractmethod
    def _something_is_free(self) -> None:
        """A connector may have become usable."""

    @abstractmethod
    def _gone(self, arrival: Arrival) -> None:
        """A car that charged has left."""

    def _at(self, at: datetime, act: Callable[[], None]) -> None:
        self._push(max(at, self.now), act)

    def _push(self, at: datetime, act: Callable[[], None]) -> None:
        """Have something done at an instant, which may lie before the week: bookings are made ahead."""
        self._pushed += 1
        heapq.heappush(self._heap, (at, self._pushed, act))

    def _break(self, seed: int, faults_per_gun: float) -> None:
        for n, gun in enumerate(self._station.guns):
            chance = random.Random(f"{seed}:fault:{n}")
            at = self.run_so_far.starts_at
            while faults_per_gun > 0:
                at += timedelta(days=chance.expovariate(faults_per_gun / 7))
                if at >= self.run_so_far.ends_at:
                    break
                repaired = at + timedelta(hours=min(48.0, 0.25 + chance.expovariate(1 / 4)))
                self._at(at, partial(self._fault, gun, repaired))
                at = repaired

    def _outlook(self) -> list[tuple[Gun, datetime]]:
        """Return when each gun that answers is next usable, as `waiting.service` asks it."""
        outlook = []
        for spot in self._ground.spots.values():
            if spot.status == "faulted":
                continue
            charging = spot.status == "charging" and spot.needs_until is not None
            remaining = spot.needs_until - self.now if charging and spot.needs_until is not None else None
            held = [
                Holder(c.starts_at, c.ends_at, c.held_until, remaining)
                for c in self._book.on_connector(spot.gun.id, now=self.now)
            ]
            usable_at = usable_from(
                held,
                now=self.now,
                shortest=self._terms.shortest,
                gap=self._terms.gap,
                free_now=spot.status == "available",
            )
            outlook.append((spot.gun, usable_at))
        return outlook

    def _free(self, user_class: UserClass) -> list[Free]:
        occupied = self._ground.occupied()
        return [
            Free(gun.id, gun.zone, gun.kind)
            for gun, usable_at in self._outlook()
            if can_start_now(
                usable_at=usable_at,
                now=self.now,
                user_class=user_class,
                zone=gun.zone,
                bay_ids=gun.bay_ids,
                occupied=occupied,
            )
        ]

    def _charge_time(self, trip: Trip, gun: Gun) -> timedelta:
        return timedelta(hours=trip.energy_wh / min(trip.car_w, gun.max_power_w))

    def _raise_due(self, bay_id: UUID) -> None:
        self._ground.raise_due(bay_id, at=self.now)

    def _enter(self, arrival: Arrival, gun: Gun, claim: ClaimView) -> None:
        self._ground.open_bay(claim.bay_id, at=self.now, keep_down_until=claim.ends_at)
        self._ground.drive_in(gun, claim.bay_id, vehicle=arrival.trip.vehicle, at=self.now)
        self._at(self.now + arrival.trip.plugs_in_after, partial(self._start, arrival, gun, claim.id))

    def _start(self, arrival: Arrival, gun: Gun, claim_id: UUID) -> None:
        spot = self._ground.spots[gun.id]
        arrival.started_at = self.now
        if spot.status == "faulted":  # it broke while the car was being plugged in
            arrival.interrupted = True
            self._end(arrival, gun, claim_id)
            return
        state = decide(SessionState("requested", starts_sent=1), DeviceStarted()).state
        self._charging[gun.id] = (arrival, state, claim_id)
        spot.status = "charging"
        full_at = self.now + self._charge_time(arrival.trip, gun)
        spot.needs_until = full_at if gun.kind == "dc" else None
        claim = self._book.find(claim_id)
        limit_at = full_at if claim is None else claim.ends_at
        self._at(min(full_at, max(limit_at, self.now)), partial(self._stop, arrival, gun, claim_id))

    def _stop(self, arrival: Arrival, gun: Gun, claim_id: UUID) -> None:
        """The car is full, or its time is over; one that a fault stopped has ended already."""
        session = self._charging.get(gun.id)
        if session is not None and session[0] is arrival:
            self._ground.spots[gun.id].status = "finishing"
            self._end(arrival, gun, claim_id)

    def _end(self, arrival: Arrival, gun: Gun, claim_id: UUID) -> None:
        arrival.charge_ended_at = self.now
        session = self._charging.pop(gun.id, None)
        if session is not None and arrival.started_at is not None:
            ended = decide(session[1], DeviceEnded("fault" if arrival.interrupted else "target"))
            if ended.state.status != "ended":
                raise RuntimeError(f"trip {arrival.trip.number} charges on after its end")
            self.run_so_far.charges.append(Charge(gun.id, arrival.started_at, self.now))
        self._ground.spots[gun.id].needs_until = None
        leaves_at = self.now + arrival.trip.stays
        if arrival.trip.stays_until_morning:
            leaves_at = max(leaves_at, self._morning())
        self._at(leaves_at, partial(self._drive_out, arrival, gun, claim_id))

    def _morning(self) -> datetime:
        """Return when somebody who charged overnight fetches the car: as the quiet hours end."""
        quiet = quiet_until(self.now, self._terms)
        if quiet is not None:
            return quiet
        local = self.now.astimezone(BEIJING)
        evening = datetime.combine(local.date(), time(23), BEIJING)
        return leaves_by(evening, self._terms) if local.hour >= 18 else self.now

    def _drive_out(self, arrival: Arrival, gun: Gun, claim_id: UUID) -> None:
        claim = self._book.find(claim_id)
        bay_id = self._ground.drive_out(gun, at=self.now)
        self._note_overstay(arrival, claim)
        self._book.release(claim_id, now=self.now)
        self._book.trim_gaps(self.now, bay_ids=[] if bay_id is None else [bay_id])
        self._gone(arrival)
        self._something_is_free()

    def _note_overstay(self, arrival: Arrival, claim: ClaimView | None) -> None:
        """How long the car stayed past its grace, and whether into the night, when that is free."""
        settings = self._settings
        terms = OverstayTerms(
            grace_s=settings.overstay_grace_s,
            free_from_min=settings.overstay_free_from_min,
            free_to_min=settings.overstay_free_to_min,
        )
        over = charged_from(
            charging_ended_at=arrival.charge_ended_at or self.now,
            booked_until=None if claim is None else claim.ends_at,
            terms=terms,
        )
        if self.now > over:
            arrival.overstay_s = int((self.now - over).total_seconds())
            night = quiet_edges(start=over, end=self.now, terms=terms)
            arrival.overnight = is_quiet(over, terms) or bool(night)

    def _fault(self, gun: Gun, repaired_at: datetime) -> None:
        """A charger breaks: its session ends, its next booking goes elsewhere when it comes."""
        spot = self._ground.spots[gun.id]
        spot.status = "faulted"
        self.run_so_far.broken.append(Charge(gun.id, self.now, repaired_at))
        session = self._charging.get(gun.id)
        if session is not None:
            arrival, state, claim_id = session
            self._charging[gun.id] = (arrival, decide(state, ConnectorBecame("faulted")).state, claim_id)
            arrival.interrupted = True
            self._end(arrival, gun, claim_id)
        self._at(repaired_at, partial(self._repair, gun))

    def _repair(self, gun: Gun) -> None:
        spot = self._ground.spots[gun.id]
        spot.status = "available" if spot.car is None else "finishing"
        self._something_is_free()
