"""Which bookings move where, and what stands in a booking's way; no database."""

from datetime import UTC, datetime, timedelta
from itertools import combinations
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.reservations.rules.moves import Moving, PlaceState, decide_moves, find_obstacle
from backend.reservations.rules.periods import BookingTerms, held_until
from backend.reservations.rules.slots import Place, Span, fits

NOW = datetime(2026, 6, 10, 2, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
TERMS = BookingTerms()
MINE, BEFORE, STRANGER = b"mine", b"before", b"stranger"


def place(number: int, *busy: Span, power: str = "ac") -> Place:
    return Place(UUID(int=number), UUID(int=100 + number), power, tuple(busy))  # type: ignore[arg-type]


def booking(number: int, start: int, minutes: int = 60, *, arrived: bool = False, power: str = "ac") -> Moving:
    at = NOW + start * MINUTE
    return Moving(
        id=UUID(int=number),
        power=power,  # type: ignore[arg-type]
        starts_at=at,
        ends_at=at + minutes * MINUTE,
        arrived=arrived,
    )


class TestDecideMoves:
    def test_gives_each_a_place_of_its_own(self) -> None:
        found = decide_moves([booking(1, 30), booking(2, 30)], [place(1), place(2)], now=NOW, terms=TERMS)
        assert {p.connector_id for p in found.values()} == {UUID(int=1), UUID(int=2)}

    def test_lets_whoever_is_here_choose_first(self) -> None:
        found = decide_moves([booking(1, 0), booking(2, 15, arrived=True)], [place(1)], now=NOW, terms=TERMS)
        assert set(found) == {UUID(int=2)}

    def test_never_changes_the_kind_of_current(self) -> None:
        assert decide_moves([booking(1, 30)], [place(1, power="dc")], now=NOW, terms=TERMS) == {}

    def test_prefers_a_connector_of_at_least_the_same_power(self) -> None:
        strong = Moving(
            id=UUID(int=1),
            power="ac",
            starts_at=NOW,
            ends_at=NOW + 60 * MINUTE,
            arrived=False,
            strong=frozenset({UUID(int=2)}),
        )
        (chosen,) = decide_moves([strong], [place(1), place(2)], now=NOW, terms=TERMS).values()
        assert chosen.connector_id == UUID(int=2)

    @settings(max_examples=150, deadline=None)
    @given(
        st.lists(st.tuples(st.integers(0, 16), st.integers(2, 8), st.booleans()), min_size=1, max_size=6),
        st.lists(st.lists(st.tuples(st.integers(0, 20), st.integers(1, 6)), max_size=2), min_size=1, max_size=4),
    )
    def test_never_puts_two_in_one_place_and_leaves_nobody_who_fits(
        self, wanted: list[tuple[int, int, bool]], busy: list[list[tuple[int, int]]]
    ) -> None:
        places = []
        for number, spans in enumerate(busy):
            merged: list[Span] = []
            for start, length in sorted(spans):
                at = NOW + start * 15 * MINUTE
                if not merged or merged[-1].ends_at <= at:
                    merged.append(Span(at, at + length * 15 * MINUTE))
            places.append(place(number + 1, *merged))
        bookings = [
            booking(n + 1, start * 15, length * 15, arrived=arrived)
            for n, (start, length, arrived) in enumerate(wanted)
        ]
        found = decide_moves(bookings, places, now=NOW, terms=TERMS)
        taken = [
            (found[b.id].connector_id, b.starts_at, held_until(b.ends_at, TERMS)) for b in bookings if b.id in found
        ]
        for one, other in combinations(taken, 2):
            if one[0] == other[0]:
                assert one[2] <= other[1] or other[2] <= one[1]
        for b in bookings:
            if b.id in found:
                original = next(p for p in places if p.connector_id == found[b.id].connector_id)
                assert fits(original, b.starts_at, b.ends_at, TERMS)
            else:
                for p in places:
                    others = [x for x in taken if x[0] == p.connector_id]
                    free = all(e <= b.starts_at or held_until(b.ends_at, TERMS) <= s for _, s, e in others)
                    assert not (free and fits(p, b.starts_at, b.ends_at, TERMS)), "it could have stayed"


def state(**changes: object) -> PlaceState:
    known: dict[str, object] = {
        "status": "available",
        "in_service": True,
        "safety_hold": False,
        "bay": "free",
        "bay_plate": None,
        "bay_since": NOW - 60 * MINUTE,
        "stayer": BEFORE,
    }
    return PlaceState(**{**known, **changes})  # type: ignore[arg-type]


class TestFindObstacle:
    @pytest.mark.parametrize(
        ("changes", "arrived", "expected"),
        [
            ({}, False, None),
            ({"status": None, "bay": "unknown"}, False, None),
            ({"status": "faulted"}, False, "fault"),
            ({"status": "unknown"}, True, "fault"),
            ({"in_service": False}, False, "out_of_service"),
            ({"safety_hold": True}, False, "safety_hold"),
            ({"bay": "occupied", "bay_plate": MINE}, False, None),
            ({"bay": "occupied", "bay_plate": BEFORE}, False, "overrun"),
            ({"bay": "occupied", "bay_plate": STRANGER}, True, "blocked"),
            ({"bay": "occupied"}, False, "overrun"),
            ({"bay": "occupied", "bay_since": NOW - 20 * MINUTE}, False, "blocked"),
            ({"bay": "occupied", "bay_since": NOW - 5 * MINUTE}, False, None),
            ({"bay": "occupied"}, True, None),
            ({"status": "finishing"}, False, "overrun"),
            ({"status": "charging"}, True, None),
        ],
    )
    def test_names_what_is_in_the_way(self, changes: dict[str, object], arrived: bool, expected: str | None) -> None:
        found = find_obstacle(
            state(**changes),
            plate=MINE,
            arrived=arrived,
            earliest_arrival=NOW - 15 * MINUTE,
            before_ends_at=NOW - 25 * MINUTE,
        )
        assert found == expected
