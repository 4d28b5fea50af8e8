"""Slots as pure rules: what is offered fits, nothing that fits is left out, cars that stay overnight are expected."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.reservations.rules.alternatives import Alternative, alternatives_at, nearest
from backend.reservations.rules.periods import BookingTerms, floor_to, held_until, latest_end, leaves_by
from backend.reservations.rules.slots import (
    Place,
    SlotOffer,
    Span,
    day_slots,
    fits,
    longest_end,
    merge,
    rank_places,
    refuse_slot,
)

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = datetime(2026, 6, 9, 16, 0, tzinfo=UTC)
"""Midnight in Beijing, 10 June."""
TERMS = BookingTerms()
PLAIN = BookingTerms(quiet_from_min=0, quiet_to_min=0)


def beijing(clock: str, *, days: int = 0) -> datetime:
    hour, minute = clock.split(":")
    return DAY + timedelta(days=days, hours=int(hour), minutes=int(minute))


def place(*spans: tuple[str, str], power: str = "ac", number: int = 1) -> Place:
    busy = merge(Span(beijing(a), beijing(b)) for a, b in spans)
    return Place(UUID(int=number), None, power, busy)  # type: ignore[arg-type]


@st.composite
def busy_times(draw: st.DrawFn) -> tuple[Span, ...]:
    starts = draw(st.lists(st.integers(0, 3 * 24 * 12), max_size=8))
    spans = [Span(DAY + 5 * MINUTE * s, DAY + 5 * MINUTE * (s + draw(st.integers(1, 60)))) for s in starts]
    return merge(spans)


@st.composite
def odd_terms(draw: st.DrawFn) -> BookingTerms:
    return BookingTerms(
        gap=draw(st.sampled_from([timedelta(0), 5 * MINUTE, 10 * MINUTE, 25 * MINUTE])),
        grace=draw(st.sampled_from([timedelta(0), 10 * MINUTE, 20 * MINUTE])),
        quiet_from_min=draw(st.sampled_from([0, 60, 22 * 60, 23 * 60])),
        quiet_to_min=draw(st.sampled_from([0, 5 * 60 + 40, 7 * 60])),
    )


class TestHowLongAConnectorIsHeld:
    @pytest.mark.parametrize(
        ("ends", "until", "days"),
        [
            ("10:00", "10:10", 0),
            ("22:45", "22:55", 0),
            ("22:50", "07:10", 1),
            ("23:30", "07:10", 1),
            ("03:00", "07:10", 0),
            ("06:55", "07:10", 0),
            ("07:00", "07:10", 0),
            ("07:15", "07:25", 0),
        ],
    )
    def test_is_the_gap_or_until_the_morning(self, ends: str, until: str, days: int) -> None:
        assert held_until(beijing(ends), TERMS) == beijing(until, days=days)

    def test_is_the_gap_alone_where_there_are_no_quiet_hours(self) -> None:
        assert held_until(beijing("23:30"), PLAIN) == beijing("23:40")

    @given(odd_terms(), st.integers(0, 2 * 1440), st.integers(1, 600))
    def test_never_shrinks_when_the_end_moves_later(self, terms: BookingTerms, minute: int, more: int) -> None:
        end = DAY + minute * MINUTE
        assert held_until(end, terms) <= held_until(end + more * MINUTE, terms)
        assert leaves_by(end, terms) >= end

    @given(odd_terms(), st.integers(60, 3 * 1440), st.sampled_from([1, 15]))
    def test_has_a_last_end_that_fits_and_none_later_does(self, terms: BookingTerms, minute: int, step: int) -> None:
        free_until = DAY + minute * MINUTE
        end = latest_end(free_until=free_until, terms=terms, step=step * MINUTE)
        assert held_until(end, terms) <= free_until
        later = end + step * MINUTE
        while later <= free_until:
            assert held_until(later, terms) > free_until
            later += step * MINUTE


class TestASlot:
    @pytest.mark.parametrize(
        ("starts", "ends", "why"),
        [
            ("10:00", "11:00", None),
            ("09:45", "10:45", "in_the_past"),
            ("10:05", "11:05", "off_grid"),
            ("10:15", "11:10", "off_grid"),
            ("10:15", "10:30", "too_short"),
            ("10:15", "10:15", "too_short"),
            ("10:15", "18:30", "too_long"),
            ("10:15", "18:15", None),
        ],
    )
    def test_is_refused_for_its_period(self, starts: str, ends: str, why: str | None) -> None:
        now = beijing("10:00")
        found = refuse_slot(
            starts_at=beijing(starts), ends_at=beijing(ends), longest=TERMS.longest_ac, now=now, terms=TERMS
        )
        assert found == why

    def test_is_refused_more_than_seven_days_ahead(self) -> None:
        now, later = beijing("10:00"), beijing("10:00", days=7)
        found = refuse_slot(starts_at=later, ends_at=later + HOUR, longest=8 * HOUR, now=now, terms=TERMS)
        assert found == "too_far_ahead"

    def test_ends_before_the_next_claim_and_its_gap(self) -> None:
        busy = place(("12:00", "13:10"))
        assert longest_end(busy, beijing("10:00"), TERMS) == beijing("11:45")
        assert longest_end(busy, beijing("11:15"), TERMS) == beijing("11:45")
        assert longest_end(busy, beijing("11:30"), TERMS) is None
        assert longest_end(busy, beijing("12:30"), TERMS) is None
        assert longest_end(busy, beijing("13:15"), TERMS) == beijing("21:15")

    def test_on_dc_ends_after_two_hours(self) -> None:
        assert longest_end(place(power="dc"), beijing("10:00"), TERMS) == beijing("12:00")

    def test_is_not_sold_where_the_car_may_stay_until_somebody_elses_morning(self) -> None:
        early = Place(UUID(int=1), None, "ac", (Span(beijing("05:00", days=1), beijing("06:00", days=1)),))
        assert longest_end(early, beijing("20:00"), TERMS) == beijing("22:45")
        assert not fits(early, beijing("20:00"), beijing("23:00"), TERMS)
        assert longest_end(early, beijing("22:30"), TERMS) is None

    @settings(max_examples=200)
    @given(busy_times(), odd_terms(), st.sampled_from(["ac", "dc"]))
    def test_that_is_offered_can_be_booked_in_every_length_and_none_is_left_out(
        self, busy: tuple[Span, ...], terms: BookingTerms, power: str
    ) -> None:
        one = Place(UUID(int=1), None, power, busy)  # type: ignore[arg-type]
        offers = {
            o.starts_at: o.longest_until
            for o in day_slots([one], opens_at=DAY, closes_at=DAY + 24 * HOUR, now=DAY, terms=terms)
        }

        def is_free(start: datetime, end: datetime) -> bool:
            return all(held_until(end, terms) <= s.starts_at or start >= s.ends_at for s in busy)

        for index in range(96):
            start = DAY + index * 15 * MINUTE
            lengths = range(2, int(one_longest(terms, power) / (15 * MINUTE)) + 1)
            possible = [start + n * 15 * MINUTE for n in lengths if is_free(start, start + n * 15 * MINUTE)]
            assert offers.get(start) == (max(possible) if possible else None)
            assert len(possible) == (0 if not possible else (max(possible) - start) // (15 * MINUTE) - 1)


def one_longest(terms: BookingTerms, power: str) -> timedelta:
    return terms.longest_dc if power == "dc" else terms.longest_ac


class TestTheDay:
    def test_starts_at_the_next_quarter_hour(self) -> None:
        offers = day_slots([place()], opens_at=DAY, closes_at=DAY + 24 * HOUR, now=beijing("10:01"), terms=TERMS)
        assert offers[0] == SlotOffer(beijing("10:15"), beijing("18:15"))
        assert offers[-1].starts_at == beijing("23:45")

    def test_gives_the_longest_end_of_any_place(self) -> None:
        places = [place(("12:00", "13:00")), place(("14:00", "15:00"), number=2)]
        offers = day_slots(places, opens_at=DAY, closes_at=DAY + 24 * HOUR, now=beijing("11:00"), terms=TERMS)
        assert offers[0] == SlotOffer(beijing("11:00"), beijing("13:45"))

    @given(
        busy=st.lists(st.tuples(busy_times(), st.sampled_from(["ac", "dc"])), max_size=5),
        terms=odd_terms(),
        minutes=st.integers(0, 30 * 60),
    )
    @settings(max_examples=300)
    def test_asks_what_a_booking_asks_of_every_place_at_every_start(
        self, busy: list[tuple[tuple[Span, ...], str]], terms: BookingTerms, minutes: int
    ) -> None:
        places = [Place(UUID(int=n), None, power, spans) for n, (spans, power) in enumerate(busy)]  # type: ignore[arg-type]
        opens, now = DAY, DAY + minutes * MINUTE - 3 * HOUR
        expected = []
        for quarter in range(96):
            start = opens + 15 * quarter * MINUTE
            ends = [end for p in places if (end := longest_end(p, start, terms)) is not None]
            if start >= now and ends:
                expected.append(SlotOffer(start, max(ends)))
        found = day_slots(places, opens_at=opens, closes_at=opens + 24 * HOUR, now=now, terms=terms)
        assert found == expected

    def test_is_empty_when_everything_is_held(self) -> None:
        full = place(("00:00", "24:00"))
        assert day_slots([full], opens_at=DAY, closes_at=DAY + 24 * HOUR, now=DAY, terms=TERMS) == []


class TestThePlaceOfABooking:
    def rank(self, places: list[Place], starts: str, ends: str) -> list[int]:
        now = beijing("06:00")
        ranked = rank_places(places, starts_at=beijing(starts), ends_at=beijing(ends), now=now, terms=TERMS)
        return [place.connector_id.int for place in ranked]

    def test_is_one_that_is_free(self) -> None:
        assert self.rank([place(("09:00", "12:00")), place(number=2)], "10:00", "11:00") == [2]

    def test_leaves_no_gap_too_short_to_sell(self) -> None:
        leaves_a_gap = place(("06:00", "09:30"))
        fits_exactly = place(("06:00", "10:00"), number=2)
        assert self.rank([leaves_a_gap, fits_exactly], "10:00", "11:00")[0] == 2

    def test_fills_a_hole_before_it_opens_a_new_day(self) -> None:
        hole = place(("06:00", "09:00"), ("13:00", "14:00"))
        assert self.rank([place(number=2), hole], "10:00", "11:00")[0] == 1

    def test_is_ac_unless_dc_was_asked_for(self) -> None:
        assert self.rank([place(power="dc"), place(number=2)], "10:00", "11:00") == [2, 1]


class TestAlternatives:
    HERE, THERE = UUID(int=1), UUID(int=2)

    def test_are_the_nearest_in_time_and_by_foot(self) -> None:
        here = [SlotOffer(beijing(t), beijing(t) + 2 * HOUR) for t in ("09:00", "09:30", "10:30", "12:00")]
        there = [SlotOffer(beijing(t), beijing(t) + 2 * HOUR) for t in ("10:00", "10:15")]
        found = nearest(
            alternatives_at(here, station_id=self.HERE, distance_m=0, power="ac", length=HOUR)
            + alternatives_at(there, station_id=self.THERE, distance_m=450, power="ac", length=HOUR),
            wanted_at=beijing("10:00"),
        )
        assert [(a.station_id, a.starts_at) for a in found] == [
            (self.THERE, beijing("10:00")),
            (self.THERE, beijing("10:15")),
            (self.HERE, beijing("09:30")),
        ]

    def test_are_long_enough(self) -> None:
        short = [SlotOffer(beijing("10:00"), beijing("10:30"))]
        assert alternatives_at(short, station_id=self.HERE, distance_m=0, power="ac", length=HOUR) == []

    def test_name_a_time_once_though_both_power_classes_have_it(self) -> None:
        offers = [SlotOffer(beijing("10:00"), beijing("12:00"))]
        found = nearest(
            alternatives_at(offers, station_id=self.HERE, distance_m=0, power="dc", length=HOUR)
            + alternatives_at(offers, station_id=self.HERE, distance_m=0, power="ac", length=HOUR),
            wanted_at=beijing("10:00"),
        )
        assert [a.power for a in found] == ["ac"]

    def test_keep_the_wanted_length(self) -> None:
        offer = SlotOffer(beijing("10:00"), beijing("18:00"))
        assert alternatives_at([offer], station_id=self.HERE, distance_m=0, power="ac", length=HOUR) == [
            Alternative(self.HERE, beijing("10:00"), beijing("11:00"), 0, "ac")
        ]


class TestTheGrid:
    @given(st.datetimes(min_value=datetime(2026, 1, 1), max_value=datetime(2027, 1, 1)))  # noqa: DTZ001
    def test_agrees_with_the_clock_in_beijing(self, at: datetime) -> None:
        floored = floor_to(at.replace(tzinfo=UTC), 15 * MINUTE)
        assert floored.minute % 15 == 0
        assert (floored.second, floored.microsecond) == (0, 0)


class TestTheBestPlaceAgainstBruteForce:
    """The assignment keeps the day as bookable as possible: fewest gaps nobody can use, of all places that fit."""

    @staticmethod
    def unusable_after(chosen: Place, starts_at: datetime, ends_at: datetime, now: datetime) -> int:
        """Count, slot by slot on the grid, the free stretches around the new claim in which nothing can be booked."""
        busy = merge([*chosen.busy, Span(starts_at, held_until(ends_at, PLAIN))])
        edges = [now, *(edge for span in busy for edge in (span.starts_at, span.ends_at))]
        gaps = [(a, b) for a, b in zip(edges[::2], edges[1::2], strict=False) if a < b]
        touching = [(a, b) for a, b in gaps if b == starts_at or a == held_until(ends_at, PLAIN)]
        need = PLAIN.shortest + PLAIN.gap
        return sum(b - a < need for a, b in touching)

    @settings(max_examples=200, deadline=None)
    @given(
        st.lists(
            st.lists(st.tuples(st.integers(0, 30), st.integers(1, 6)), max_size=3).map(tuple), min_size=1, max_size=4
        ),
        st.integers(0, 24),
        st.integers(2, 6),
    )
    def test_takes_one_with_the_fewest_unusable_gaps(
        self, plan: list[tuple[tuple[int, int], ...]], start: int, length: int
    ) -> None:
        now = beijing("08:00")
        quarter = 15 * MINUTE
        places = [
            Place(
                UUID(int=number + 1),
                None,
                "ac",
                merge(Span(now + a * quarter, now + (a + n) * quarter) for a, n in spans),
            )
            for number, spans in enumerate(plan)
        ]
        starts_at, ends_at = now + start * quarter, now + (start + length) * quarter
        possible = [
            p
            for p in places
            if all(s.ends_at <= starts_at or s.starts_at >= held_until(ends_at, PLAIN) for s in p.busy)
        ]
        ranked = rank_places(places, starts_at=starts_at, ends_at=ends_at, now=now, terms=PLAIN)
        assert {p.connector_id for p in ranked} == {p.connector_id for p in possible}
        if ranked:
            fewest = min(self.unusable_after(p, starts_at, ends_at, now) for p in possible)
            assert self.unusable_after(ranked[0], starts_at, ends_at, now) == fewest
