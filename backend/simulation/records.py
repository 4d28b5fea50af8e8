"""What a simulated week leaves behind: one record an arrival, with exactly one outcome, and the stays on the ground."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal
from uuid import UUID

from backend.reservations.rules.words import BookingStatus, ClaimView
from backend.simulation.demand import Trip
from backend.simulation.ground import Stay
from backend.simulation.station import Gun, SimulatedStation
from backend.waiting.rules.queue import Waiting
from backend.waiting.rules.waits import UserClass

Outcome = Literal["served", "left", "no_show", "refused", "still_there"]
"""`left`: waited and gave up. `refused`: the station has no gun for it. `still_there`: the same car is here already."""


@dataclass
class Arrival:
    """What became of one trip. `wait_s` is measured as in domain.md "The three fives"; `turn_after_s` is after how
    long somebody who gave up would have been served.
    """

    trip: Trip
    user_class: UserClass
    outcome: Outcome | None = None
    booked: bool = False
    moved: bool = False
    interrupted: bool = False
    arrived_at: datetime | None = None
    counts_from: datetime | None = None
    predicted_s: int | None = None
    wait_s: int | None = None
    turn_after_s: int | None = None
    started_at: datetime | None = None
    charge_ended_at: datetime | None = None
    left_at: datetime | None = None
    overstay_s: int = 0
    overnight: bool = False

    def close(self, outcome: Outcome) -> None:
        """Give the arrival its outcome; a second one is a fault of the simulation."""
        if self.outcome is not None:
            raise RuntimeError(f"trip {self.trip.number} is {self.outcome} already and cannot be {outcome}")
        self.outcome = outcome


@dataclass
class Booking:
    """A slot that is held for a trip."""

    arrival: Arrival
    gun: Gun
    claim: ClaimView
    starts_at: datetime
    ends_at: datetime
    hold_until: datetime
    status: BookingStatus = "confirmed"
    waiting: bool = False


@dataclass
class Queued:
    """Somebody who waits on site, or is offered a gun."""

    arrival: Arrival
    entry: Waiting
    offer: ClaimView | None = None
    accepted: bool = False


@dataclass(frozen=True)
class Charge:
    """Energy flowing at a connector."""

    connector_id: UUID
    from_at: datetime
    until: datetime


@dataclass
class WeekRun:
    """A finished week."""

    station: SimulatedStation
    agreements: int
    seed: int
    starts_at: datetime
    ends_at: datetime
    arrivals: list[Arrival] = field(default_factory=list)
    stays: list[Stay] = field(default_factory=list)
    charges: list[Charge] = field(default_factory=list)
    broken: list[Charge] = field(default_factory=list)
    bookings_refused: int = 0
    suspensions: int = 0
    events: int = 0
