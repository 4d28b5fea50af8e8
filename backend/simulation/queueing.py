"""Who waits at a simulated station: the queue by the service's rule, its offers, and what a late turn costs.

The two steps of the fallback plan that stay at the station (another connector of the resident zone, a public one) are
`Week._move` for bookings and the queue itself for the others; the way to another station is not simulated, so that
whoever waits longer than promised is owed a compensation (`figures`).
"""

from abc import abstractmethod
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

from backend.reservations.rules.words import ClaimView
from backend.simulation.records import Arrival, Queued, WeekRun
from backend.simulation.station import Gun, SimulatedStation
from backend.simulation.world import World
from backend.waiting.rules.queue import Free, Waiting, in_order, match_offers
from backend.waiting.rules.waits import predict_wait, wait_seconds

DRIVE_IN = timedelta(minutes=10)
"""How long an accepted offer is kept (`waiting.service.queue.DRIVE_IN`)."""
WORST_OF = timedelta(hours=24)
"""Of how long the residents' worst wait counts for the others' turn (`waiting.service.queue.WORST_OF`)."""


class Queueing(World):
    """The queue of a week; `Week` says how somebody drives in."""

    def __init__(self, station: SimulatedStation, run: WeekRun) -> None:
        super().__init__(station, run)
        self._queue: dict[UUID, Queued] = {}
        self._given_up: dict[UUID, Queued] = {}
        self._residents_waits: list[tuple[datetime, int]] = []

    @abstractmethod
    def _start_walk_up(self, arrival: Arrival, gun: Gun) -> bool:
        """Let somebody charge here and now; says whether the rules allow it."""

    def _enqueue(self, arrival: Arrival) -> None:
        entry = self._wishes(arrival)[-1]
        self._queue[entry.id] = Queued(arrival, entry)
        self._offer_free()

    def _wishes(self, arrival: Arrival) -> list[Waiting]:
        """Return what somebody asks the queue for: the wanted kind first, then any, where the driver takes any."""
        trip, entry_id = arrival.trip, UUID(int=arrival.trip.number)
        wanted = Waiting(entry_id, arrival.user_class, trip.power, self.now)
        return [wanted, replace(wanted, power=None)] if trip.takes_any and trip.power is not None else [wanted]

    def _usable(self, arrival: Arrival) -> None:
        """A connector is usable: the wait is over (an accepted offer ended it already)."""
        if arrival.wait_s is None and arrival.counts_from is not None:
            arrival.wait_s = wait_seconds(from_at=arrival.counts_from, usable_at=self.now)
            if arrival.user_class != "other":
                self._residents_waits.append((arrival.counts_from, arrival.wait_s))

    def _residents_worst(self) -> timedelta:
        """Return the longest wait of residents lately (`waiting.store_fallback.residents_worst_s`)."""
        since = self.now - WORST_OF
        self._residents_waits = [wait for wait in self._residents_waits if wait[0] >= since]
        return timedelta(seconds=max((wait_s for _, wait_s in self._residents_waits), default=0))

    def _dequeue(self, queued: Queued) -> None:
        del self._queue[queued.entry.id]
        if queued.offer is not None:
            self._book.release(queued.offer.id, now=self.now)

    def predicted_wait(self, arrival: Arrival) -> int | None:
        """Return what a resident is told on arrival: of the guns the car takes, behind those who wait for them."""
        wish = self._wishes(arrival)[-1]
        waiting = (q.entry for q in self._queue.values() if q.offer is None and q.entry.user_class != "other")
        ahead = sum(wish.power is None or entry.power in (None, wish.power) for entry in waiting)
        usable = [usable_at for gun, usable_at in self._outlook() if wish.power in (None, gun.kind)]
        return predict_wait(usable, ahead=ahead, now=self.now)

    def _offer_free(self) -> None:
        waiting = [q.entry for q in self._queue.values() if q.offer is None]
        if not waiting and not self._given_up:
            return
        free = self._free("agreement")
        self._note_turns(waiting, free)
        worst = self._residents_worst()
        for entry_id, connector_id in match_offers(in_order(waiting), free, now=self.now, residents_worst=worst):
            queued = self._queue[entry_id]
            stands = timedelta(seconds=self._settings.offer_on_site_s)
            queued.offer = self._book.claim(
                self._guns[connector_id],
                plate=queued.arrival.trip.vehicle,
                starts_at=self.now,
                ends_at=self.now + stands,
                kind="offer",
                now=self.now,
            )
            if queued.offer is not None:
                answers_after = queued.arrival.trip.answers_after
                answer = self._accept if answers_after < stands else self._miss
                self._at(self.now + min(answers_after, stands), partial(answer, queued, queued.offer))

    def _note_turns(self, waiting: list[Waiting], free: list[Free]) -> None:
        """Note whose turn it would be of those who gave up: only so can what was predicted to them be judged."""
        if not self._given_up or not free:
            return
        everybody = waiting + [q.entry for q in self._given_up.values()]
        worst = self._residents_worst()
        for entry_id, _ in match_offers(in_order(everybody), free, now=self.now, residents_worst=worst):
            gone = self._given_up.pop(entry_id, None)
            if gone is not None and gone.arrival.counts_from is not None:
                gone.arrival.turn_after_s = wait_seconds(from_at=gone.arrival.counts_from, usable_at=self.now)

    def _accept(self, queued: Queued, offer: ClaimView) -> None:
        if self._queue.get(queued.entry.id) is not queued or queued.offer is not offer:
            return
        kept = self._book.extend(offer, ends_at=self.now + DRIVE_IN, now=self.now)
        if kept is None:
            self._miss(queued, offer)
            return
        queued.offer, queued.accepted = kept, True
        self._usable(queued.arrival)
        gun = self._guns[kept.connector_id]
        del self._queue[queued.entry.id]
        if not self._start_walk_up(queued.arrival, gun):  # the time left until the next booking is too short
            self._book.release(kept.id, now=self.now)
            queued.arrival.wait_s = None
            self._enqueue(queued.arrival)

    def _miss(self, queued: Queued, offer: ClaimView) -> None:
        """An offer nobody answered in time goes to the next; its driver joins again at the end."""
        if self._queue.get(queued.entry.id) is queued and queued.offer is offer:
            self._dequeue(queued)
            self._enqueue(queued.arrival)
