"""The table of claims, in memory: the same rows and the same three exclusion constraints (decision 070).

It decides nothing: it refuses what the constraints of `connector_claim` refuse, and moves periods as
`reservations.service.claims` does. Which claim is asked for is up to the rules.
"""

from bisect import insort
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from backend.reservations.rules.slots import Place, Span, merge
from backend.reservations.rules.walk_ups import held_for
from backend.reservations.rules.words import ClaimKind, ClaimView
from backend.simulation.station import Gun, SimulatedStation


def _start(claim: ClaimView) -> datetime:
    return claim.starts_at


class ClaimBook:
    """Who holds which connector, bay and car when."""

    def __init__(self, station: SimulatedStation) -> None:
        self._station = station
        self._terms = station.terms
        self._claims: dict[UUID, ClaimView] = {}
        self._of_connector: dict[UUID, list[ClaimView]] = defaultdict(list)
        self._of_bay: dict[UUID, list[ClaimView]] = defaultdict(list)
        self._of_plate: dict[bytes, list[ClaimView]] = defaultdict(list)
        self._made = 0

    def find(self, claim_id: UUID) -> ClaimView | None:
        """Return the claim as it is now, or None when it was given back before it began."""
        return self._claims.get(claim_id)

    def on_connector(self, connector_id: UUID, *, now: datetime) -> list[ClaimView]:
        """Return the claims that hold the connector now or later, by start."""
        held = self._of_connector[connector_id]
        while held and held[0].held_until <= now:
            del held[0]
        return held

    def next_start(self, gun: Gun, *, now: datetime) -> datetime | None:
        """Return when the next claim begins on the connector, or on the only bay it reaches."""
        coming = [c.starts_at for c in self._of_connector[gun.id] if c.starts_at > now]
        if len(gun.bay_ids) == 1:
            coming += [c.starts_at for c in self._of_bay[gun.bay_ids[0]] if c.starts_at > now]
        return min(coming, default=None)

    def places(self, guns: Iterable[Gun], *, now: datetime) -> list[Place]:
        """Return each connector with each of its bays, and when either is held from now on."""
        found: list[Place] = []
        for gun in guns:
            bays: Sequence[UUID | None] = gun.bay_ids or (None,)
            for bay_id in bays:
                held = self._of_connector[gun.id] + ([] if bay_id is None else self._of_bay[bay_id])
                spans = (Span(c.starts_at, c.held_until) for c in held if c.held_until > now)
                found.append(Place(gun.id, bay_id, gun.kind, merge(spans)))
        return found

    def claim(
        self,
        gun: Gun,
        *,
        plate: bytes,
        starts_at: datetime,
        ends_at: datetime,
        kind: ClaimKind,
        now: datetime,
        bay_id: UUID | None = None,
    ) -> ClaimView | None:
        """Hold the connector and one of its bays, or return None where another claim or the car's own forbids it.

        As in the service, a claim that starts now gives back the gap of a car that has left, and a walk-up takes over
        the same plate's offer.
        """
        offers = [c for c in self._of_connector[gun.id] if kind == "walk_up" and c.kind == "offer"]
        own_offers = [c for c in offers if c.plate_hash == plate]
        for offer in own_offers:
            self.delete(offer)
        bays: Sequence[UUID | None] = (bay_id,) if bay_id else gun.bay_ids or (None,)
        if starts_at <= now:
            self.trim_gaps(starts_at, gun=gun, bay_ids=[bay for bay in bays if bay])
        for bay in bays:
            self._made += 1
            wanted = ClaimView(
                id=UUID(int=self._made),
                connector_id=gun.id,
                station_id=self._station.id,
                bay_id=bay,
                plate_hash=plate,
                kind=kind,
                reference_id=None,
                starts_at=starts_at,
                ends_at=ends_at,
                held_until=held_for(kind, ends_at, self._terms),
            )
            if self._add(wanted):
                return wanted
        for offer in own_offers:  # the transaction rolls back
            self._add(offer)
        return None

    def _add(self, wanted: ClaimView) -> bool:
        start, held = wanted.starts_at, wanted.held_until
        if any(c.starts_at < held and c.held_until > start for c in self._of_connector[wanted.connector_id]):
            return False
        on_bay = () if wanted.bay_id is None else self._of_bay[wanted.bay_id]
        if any(c.starts_at < held and c.held_until > start for c in on_bay):
            return False
        if wanted.plate_hash is not None:
            of_car = self._of_plate[wanted.plate_hash]
            if any(c.starts_at < wanted.ends_at and c.ends_at > start for c in of_car):
                return False
            insort(of_car, wanted, key=_start)
        self._claims[wanted.id] = wanted
        insort(self._of_connector[wanted.connector_id], wanted, key=_start)
        if wanted.bay_id is not None:
            insort(self._of_bay[wanted.bay_id], wanted, key=_start)
        return True

    def delete(self, claim: ClaimView) -> None:
        """Forget a claim."""
        self._claims.pop(claim.id, None)
        lists = [self._of_connector[claim.connector_id]]
        if claim.bay_id is not None:
            lists.append(self._of_bay[claim.bay_id])
        if claim.plate_hash is not None:
            lists.append(self._of_plate[claim.plate_hash])
        for held in lists:
            held[:] = [other for other in held if other.id != claim.id]

    def move(self, claim: ClaimView, *, now: datetime, starts_at: datetime | None = None) -> ClaimView | None:
        """Let a claim begin earlier because its car is here; None when somebody else holds that time."""
        start = min(starts_at or claim.starts_at, claim.starts_at)
        return self._replace(claim, msgspec.structs.replace(claim, starts_at=start), now=now)

    def extend(self, claim: ClaimView, *, ends_at: datetime, now: datetime) -> ClaimView | None:
        """Let a claim end later; None when somebody else holds that time."""
        held = max(claim.held_until, held_for(claim.kind, ends_at, self._terms))
        return self._replace(claim, msgspec.structs.replace(claim, ends_at=ends_at, held_until=held), now=now)

    def _replace(self, old: ClaimView, new: ClaimView, *, now: datetime) -> ClaimView | None:
        if new.starts_at <= now:
            gun = next(g for g in self._station.guns if g.id == old.connector_id)
            self.trim_gaps(new.starts_at, gun=gun, bay_ids=[old.bay_id] if old.bay_id else [])
        self.delete(old)
        if self._add(new):
            return new
        self._add(old)
        return None

    def release(self, claim_id: UUID, *, now: datetime) -> None:
        """End a claim now without a vacate gap: its car never came or has left."""
        claim = self._claims.get(claim_id)
        if claim is None:
            return
        self.delete(claim)
        if now > claim.starts_at:
            shorter = msgspec.structs.replace(claim, ends_at=min(now, claim.ends_at), held_until=now)
            self._claims[claim.id] = shorter  # over: it holds nothing any more

    def trim_gaps(self, at: datetime, *, gun: Gun | None = None, bay_ids: Iterable[UUID] = ()) -> None:
        """Give back the vacate gaps that cover `at`: their cars have left."""
        held = list(self._of_connector[gun.id]) if gun is not None else []
        for bay_id in bay_ids:
            held += self._of_bay[bay_id]
        for claim in held:
            if claim.ends_at <= at < claim.held_until:
                self.delete(claim)
