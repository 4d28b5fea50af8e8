"""What a car pays that stays after charging."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.charging.rules.overstay import (
    OverstayTerms,
    ZoneLook,
    charged_from,
    charged_seconds,
    is_quiet,
    overstay_fee_fen,
)

NOON = datetime(2026, 7, 1, 4, 0, tzinfo=UTC)  # 12:00 in Beijing
EVENING = datetime(2026, 7, 1, 14, 30, tzinfo=UTC)  # 22:30 in Beijing
TERMS = OverstayTerms()


def looks(start: datetime, minutes: int, free: frozenset[int] = frozenset()) -> list[ZoneLook]:
    return [ZoneLook(start + timedelta(minutes=m), m in free) for m in range(minutes + 1)]


class TestOverstayFee:
    @pytest.mark.parametrize(
        ("minutes", "fen"), [(5, 0), (10, 0), (11, 50), (20, 500), (110, 5000), (300, 5000)], ids=lambda v: str(v)
    )
    def test_starts_after_the_grace_and_stops_at_the_cap(self, minutes: int, fen: int) -> None:
        start = charged_from(charging_ended_at=NOON, booked_until=None, terms=TERMS)
        until = NOON + timedelta(minutes=minutes)
        assert overstay_fee_fen(looks=looks(NOON, minutes), from_at=start, until=until, terms=TERMS) == fen

    def test_counts_from_the_end_of_the_booked_time_when_that_is_later(self) -> None:
        booked = NOON + timedelta(minutes=30)
        assert charged_from(charging_ended_at=NOON, booked_until=booked, terms=TERMS) == booked + timedelta(minutes=10)
        assert charged_from(charging_ended_at=booked, booked_until=NOON, terms=TERMS) == booked + timedelta(minutes=10)

    def test_counts_no_part_minute(self) -> None:
        until = NOON + timedelta(minutes=2, seconds=59)
        assert overstay_fee_fen(looks=looks(NOON, 3), from_at=NOON, until=until, terms=TERMS) == 100

    def test_is_nothing_at_night(self) -> None:
        until = EVENING + timedelta(hours=9)  # 07:30
        assert charged_seconds(looks=looks(EVENING, 9 * 60), from_at=EVENING, until=until, terms=TERMS) == 3600

    @pytest.mark.parametrize(
        ("hour", "minute", "quiet"), [(22, 59, False), (23, 0, True), (3, 0, True), (6, 59, True), (7, 0, False)]
    )
    def test_knows_the_night_by_beijings_clock(self, hour: int, minute: int, quiet: bool) -> None:
        assert is_quiet(datetime(2026, 7, 1, hour, minute, tzinfo=UTC) - timedelta(hours=8), TERMS) is quiet

    def test_is_nothing_while_another_connector_is_free(self) -> None:
        seen = looks(NOON, 10, free=frozenset({3, 4}))
        until = NOON + timedelta(minutes=10)
        assert charged_seconds(looks=seen, from_at=NOON, until=until, terms=TERMS) == 7 * 60

    def test_is_nothing_for_time_that_nobody_looked_at(self) -> None:
        assert charged_seconds(looks=looks(NOON, 0), from_at=NOON, until=NOON + timedelta(hours=2), terms=TERMS) == 0

    @given(st.integers(0, 3000), st.integers(0, 3000), st.sets(st.integers(0, 600)))
    def test_never_falls_as_the_car_stays(self, first: int, second: int, free: set[int]) -> None:
        seen = looks(EVENING, 600, free=frozenset(free))
        shorter, longer = sorted((first, second))
        fees = [
            overstay_fee_fen(looks=seen, from_at=EVENING, until=EVENING + timedelta(minutes=m), terms=TERMS)
            for m in (shorter, longer)
        ]
        assert 0 <= fees[0] <= fees[1] <= TERMS.cap_fen
