"""Waits and the queue as pure rules."""

from datetime import UTC, datetime, timedelta
from itertools import permutations
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from backend.waiting.rules.queue import Free, Waiting, in_order, match_offers, position_of, suits
from backend.waiting.rules.waits import (
    Holder,
    UserClass,
    Zone,
    can_start_now,
    may_use,
    predict_wait,
    usable_from,
    wait_from,
    wait_seconds,
)

T0 = datetime(2026, 6, 10, 2, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
GAP = 10 * MINUTE
SHORTEST = 30 * MINUTE


class TestAWait:
    def test_runs_from_the_arrival(self) -> None:
        assert wait_from(arrived_at=T0, slot_starts_at=None) == T0

    def test_runs_from_the_slots_start_when_that_is_later(self) -> None:
        assert wait_from(arrived_at=T0, slot_starts_at=T0 + 5 * MINUTE) == T0 + 5 * MINUTE
        assert wait_from(arrived_at=T0, slot_starts_at=T0 - 5 * MINUTE) == T0

    @pytest.mark.parametrize(("seconds", "expected"), [(-60, 0), (0, 0), (59.9, 59), (300, 300)])
    def test_is_whole_seconds_and_never_negative(self, seconds: float, expected: int) -> None:
        assert wait_seconds(from_at=T0, usable_at=T0 + timedelta(seconds=seconds)) == expected


class TestCanStartNow:
    @pytest.mark.parametrize(
        ("usable_in", "user_class", "zone", "bays", "answer"),
        [
            (0, "agreement", "resident", (1,), True),
            (1, "agreement", "resident", (1,), False),
            (0, "other", "resident", (1,), False),
            (0, "other", "public", (1,), True),
            (0, "agreement", "resident", (9,), False),
            (0, "agreement", "resident", (9, 1), True),
            (0, "agreement", "resident", (), True),
        ],
    )
    def test_needs_a_usable_connector_of_an_own_zone_with_an_empty_bay(
        self, usable_in: int, user_class: UserClass, zone: Zone, bays: tuple[int, ...], answer: bool
    ) -> None:
        can = can_start_now(
            usable_at=T0 + usable_in * MINUTE,
            now=T0,
            user_class=user_class,
            zone=zone,
            bay_ids=[UUID(int=bay) for bay in bays],
            occupied={UUID(int=9)},
        )
        assert can is answer


class TestUsableFrom:
    def at(self, *holders: Holder, free_now: bool = False) -> float:
        found = usable_from(holders, now=T0, shortest=SHORTEST, gap=GAP, free_now=free_now)
        return (found - T0) / MINUTE

    def held(self, starts: int, ends: int, remaining: int | None = None) -> Holder:
        left = None if remaining is None else remaining * MINUTE
        return Holder(T0 + starts * MINUTE, T0 + ends * MINUTE, T0 + ends * MINUTE + GAP, left)

    def test_is_now_when_nobody_holds_it(self) -> None:
        assert self.at(free_now=True) == 0

    def test_is_after_the_claim_and_its_gap(self) -> None:
        assert self.at(self.held(-30, 20)) == 30

    def test_believes_the_car_that_needs_less(self) -> None:
        assert self.at(self.held(-30, 60, remaining=5)) == 15

    def test_does_not_believe_the_car_that_wants_more_than_it_has(self) -> None:
        assert self.at(self.held(-30, 20, remaining=90)) == 30

    def test_is_after_the_next_claim_when_too_little_time_is_left(self) -> None:
        assert self.at(self.held(39, 60), free_now=True) == 70
        assert self.at(self.held(40, 60), free_now=True) == 0

    def test_expects_a_car_to_leave_at_its_end_though_it_may_stay_overnight(self) -> None:
        overnight = Holder(T0 - 60 * MINUTE, T0 + 20 * MINUTE, T0 + 500 * MINUTE)
        assert self.at(overnight) == 30
        assert self.at(Holder(T0 - 60 * MINUTE, T0, T0 + 500 * MINUTE)) == 500  # it stayed: until morning

    def test_is_one_gap_away_when_a_car_stays_without_a_claim(self) -> None:
        assert self.at() == 10


class TestThePrediction:
    def test_is_nothing_where_nothing_is_known(self) -> None:
        assert predict_wait([], ahead=0, now=T0) is None

    @pytest.mark.parametrize(("ahead", "minutes"), [(0, 0), (1, 10), (2, 30), (5, 30)])
    def test_gives_each_one_ahead_a_connector(self, ahead: int, minutes: int) -> None:
        usable = [T0 + 30 * MINUTE, T0, T0 + 10 * MINUTE]
        assert predict_wait(usable, ahead=ahead, now=T0) == minutes * 60


def entry(number: int, user_class: str, power: str | None = None) -> Waiting:
    return Waiting(UUID(int=number), user_class, power, T0 + number * MINUTE)  # type: ignore[arg-type]


def free(number: int, zone: str, power: str = "ac") -> Free:
    return Free(UUID(int=100 + number), zone, power)  # type: ignore[arg-type]


class TestTheQueue:
    def test_serves_bookings_then_agreements_then_others_each_in_the_order_they_came(self) -> None:
        entries = [
            entry(1, "other"),
            entry(2, "agreement"),
            entry(3, "booking"),
            entry(4, "agreement"),
            entry(5, "other"),
        ]
        for shuffled in permutations(entries):
            assert [e.id.int for e in in_order(shuffled)] == [3, 2, 4, 1, 5]

    def test_tells_the_position(self) -> None:
        entries = [entry(1, "other"), entry(2, "agreement")]
        assert position_of(UUID(int=1), entries) == 2
        assert position_of(UUID(int=9), entries) is None

    def test_offers_the_resident_zone_first_to_those_who_may_use_it(self) -> None:
        offers = match_offers([entry(1, "agreement"), entry(2, "other")], [free(1, "public"), free(2, "resident")])
        assert offers == [(UUID(int=1), UUID(int=102)), (UUID(int=2), UUID(int=101))]

    def test_never_offers_the_resident_zone_to_others(self) -> None:
        assert match_offers([entry(1, "other")], [free(1, "resident")]) == []
        assert not may_use(user_class="other", zone="resident")

    def test_passes_over_somebody_whom_nothing_free_suits(self) -> None:
        offers = match_offers([entry(1, "agreement", "dc"), entry(2, "other", "ac")], [free(1, "public", "ac")])
        assert offers == [(UUID(int=2), UUID(int=101))]

    @given(
        st.lists(
            st.tuples(st.sampled_from(["booking", "agreement", "other"]), st.sampled_from([None, "ac", "dc"])),
            max_size=8,
        ),
        st.lists(st.tuples(st.sampled_from(["resident", "public"]), st.sampled_from(["ac", "dc"])), max_size=5),
    )
    def test_leaves_no_connector_unoffered_that_somebody_could_use(
        self, people: list[tuple[str, str | None]], guns: list[tuple[str, str]]
    ) -> None:
        entries = [entry(n, c, p) for n, (c, p) in enumerate(people)]
        connectors = [free(n, z, p) for n, (z, p) in enumerate(guns)]
        offers = match_offers(entries, connectors)
        taken, given_to = {c for _, c in offers}, {e for e, _ in offers}
        assert len(taken) == len(given_to) == len(offers)
        for one in entries:
            for gun in connectors:
                if one.id not in given_to and suits(one, gun):
                    assert gun.id in taken


class TestFairness:
    def other(self, minutes: int, number: int = 1) -> Waiting:
        return Waiting(UUID(int=number), "other", None, T0 - minutes * MINUTE)

    def resident(self, minutes: int, number: int = 50) -> Waiting:
        return Waiting(UUID(int=number), "agreement", None, T0 - minutes * MINUTE)

    @pytest.mark.parametrize(
        ("waits", "resident_waits", "worst", "first"),
        [
            (4, 0, 0, False),
            (5, 0, 0, True),
            (9, 10, 0, False),
            (10, 10, 0, True),
            (19, 2, 20, False),
            (20, 2, 20, True),
        ],
    )
    def test_lets_another_go_first_who_has_waited_as_long_as_the_residents_worst(
        self, waits: int, resident_waits: int, worst: int, first: bool
    ) -> None:
        other, resident = self.other(waits), self.resident(resident_waits)
        connector = Free(UUID(int=99), "public", "ac")
        ((served, _),) = match_offers([resident, other], [connector], now=T0, residents_worst=worst * MINUTE)
        assert served == (other.id if first else resident.id)

    def test_never_gives_the_resident_zone_to_others(self) -> None:
        connector = Free(UUID(int=99), "resident", "ac")
        assert match_offers([self.other(600)], [connector], now=T0) == []

    @example([(False, 0), (False, 0), (True, 0), (True, 0), (True, 0)], 4)
    @given(st.lists(st.tuples(st.booleans(), st.integers(0, 40)), min_size=1, max_size=25), st.integers(1, 5))
    def test_keeps_others_within_twice_the_residents_worst(self, arrivals: list[tuple[bool, int]], every: int) -> None:
        """A public connector comes free every few minutes; those who came before among the others take one each."""
        queue: list[Waiting] = []
        others_ahead: dict[UUID, int] = {}
        pending = sorted(arrivals, key=lambda a: a[1])
        worst, waits_of_others = timedelta(0), []
        for minute in range(0, 2000, every):
            now = T0 + minute * MINUTE
            while pending and pending[0][1] <= minute:
                is_other, at = pending.pop(0)
                kind: UserClass = "other" if is_other else "agreement"
                joined = Waiting(UUID(int=len(queue) + minute * 1000 + 1), kind, None, T0 + at * MINUTE)
                others_ahead[joined.id] = sum(1 for e in queue if e.user_class == "other")
                queue.append(joined)
            connector = Free(UUID(int=99), "public", "ac")
            for served, _ in match_offers(queue, [connector], now=now, residents_worst=worst):
                entry = next(e for e in queue if e.id == served)
                queue.remove(entry)
                waited = now - entry.joined_at
                if entry.user_class == "other":
                    waits_of_others.append((waited, max(worst, 5 * MINUTE), others_ahead[entry.id]))
                else:
                    worst = max(worst, waited)
            if not queue and not pending:
                break
        for waited, bound, ahead in waits_of_others:
            residents_now = max(bound, worst)
            assert waited <= 2 * residents_now + (ahead + 1) * every * MINUTE
