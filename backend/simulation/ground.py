"""What stands on the ground: guns, cars and ground locks. It knows nothing of claims; it refuses what cannot be.

The locks run `bays.rules.locks`, the very state machine of the service, with devices that answer at once.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from backend.bays.rules.locks import (
    Acknowledged,
    CheckRaiseAt,
    Lock,
    LockInput,
    LowerWanted,
    RaiseDue,
    Reported,
    SendLower,
    SendRaise,
    step,
)
from backend.bays.rules.occupancy import Occupancy, combine
from backend.simulation.station import Gun, SimulatedStation


class CannotBe(Exception):
    """Two cars at one place, or a lock rising under a car: a fault of the rules or of the simulation."""


@dataclass
class Spot:
    """A gun as its charger reports it; `needs_until` is what the car says it still needs (DC only)."""

    gun: Gun
    status: str = "available"
    car: bytes | None = None
    bay_id: UUID | None = None
    needs_until: datetime | None = None


@dataclass(frozen=True)
class Stay:
    """A car at a gun from driving in to driving out."""

    connector_id: UUID
    bay_id: UUID | None
    vehicle: bytes
    from_at: datetime
    until: datetime


class Ground:
    """The station's guns and bays."""

    def __init__(self, station: SimulatedStation, *, ring: Callable[[datetime, UUID], None]) -> None:
        self.spots = {gun.id: Spot(gun) for gun in station.guns}
        self.stays: list[Stay] = []
        self.raises = 0
        self._ring = ring
        self._delay = timedelta(seconds=station.settings.lock_raise_delay_s)
        self._since: dict[UUID, datetime] = {}
        bay_ids = {bay_id for gun in station.guns for bay_id in gun.bay_ids}
        self._locks = {bay_id: Lock(position="up", car=False, online=True) for bay_id in bay_ids}
        self._cars: dict[UUID, bytes] = {}

    def occupied(self) -> frozenset[UUID]:
        """Return the bays in which a car is seen."""
        return frozenset(bay_id for bay_id in self._cars if self.bay(bay_id) == "occupied")

    def bay(self, bay_id: UUID | None) -> Occupancy:
        """Return what is known of a bay, as the service puts it together."""
        if bay_id is None:
            return "unknown"
        return combine(lock_car=self._locks[bay_id].car, camera_car=self._locks[bay_id].camera)

    def open_bay(self, bay_id: UUID | None, *, at: datetime, keep_down_until: datetime) -> None:
        """Lower the lock for somebody who may drive in."""
        if bay_id is not None:
            self._step(bay_id, LowerWanted(at=at, keep_down_until=keep_down_until))

    def raise_due(self, bay_id: UUID, *, at: datetime) -> None:
        """The timer of a raise rings."""
        self._step(bay_id, RaiseDue(at=at, held=False))

    def drive_in(self, gun: Gun, bay_id: UUID | None, *, vehicle: bytes, at: datetime) -> None:
        """A car takes its place; raises CannotBe when another one stands there or the lock is up."""
        spot = self.spots[gun.id]
        if spot.car is not None or (bay_id is not None and bay_id in self._cars):
            raise CannotBe(f"a second car at {gun.label} at {at}")
        if bay_id is not None and self._locks[bay_id].position != "down":
            raise CannotBe(f"a car drove over a raised lock at {gun.label} at {at}")
        spot.car, spot.bay_id, spot.status = vehicle, bay_id, "preparing"
        self._since[gun.id] = at
        if bay_id is not None:
            self._cars[bay_id] = vehicle
            self._see(bay_id, car=True, at=at)

    def drive_out(self, gun: Gun, *, at: datetime) -> UUID | None:
        """The car leaves; the charger is ready again unless it is broken. Returns the bay that is empty now."""
        spot = self.spots[gun.id]
        if spot.car is None:
            raise CannotBe(f"nobody left {gun.label} at {at}")
        self.stays.append(Stay(gun.id, spot.bay_id, spot.car, self._since.pop(gun.id), at))
        bay_id, spot.car, spot.bay_id, spot.needs_until = spot.bay_id, None, None, None
        if spot.status != "faulted":
            spot.status = "available"
        if bay_id is not None:
            del self._cars[bay_id]
            self._see(bay_id, car=False, at=at)
        return bay_id

    def _see(self, bay_id: UUID, *, car: bool, at: datetime) -> None:
        lock = self._locks[bay_id]
        self._step(bay_id, Reported(at=at, position=lock.position, car=car, online=True))

    def _step(self, bay_id: UUID, event: LockInput) -> None:
        lock, intents = step(self._locks[bay_id], event, delay=self._delay)
        self._locks[bay_id] = lock
        for intent in intents:
            if isinstance(intent, CheckRaiseAt):
                self._ring(intent.due_at, bay_id)
            elif isinstance(intent, SendLower | SendRaise):
                if isinstance(intent, SendRaise):
                    self.raises += 1
                    if bay_id in self._cars:
                        raise CannotBe(f"a lock was told to rise under a car at {event.at}")
                self._locks[bay_id] = replace(self._locks[bay_id], command_id=bay_id)
                self._step(bay_id, Acknowledged(at=event.at, command_id=bay_id, ok=True))
