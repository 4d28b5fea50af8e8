"""When a message was made, by clocks that are off."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.telemetry.rules.clocks import ClockState, Placed, place

T0 = datetime(2026, 6, 10, 2, tzinfo=UTC)


def s(seconds: float) -> timedelta:
    return timedelta(seconds=seconds)


def run(*messages: tuple[datetime | None, datetime], clock: ClockState | None = None) -> list[Placed]:
    """Place messages (ts, arrival) in their order, each the newest."""
    clock = clock or ClockState()
    placed = []
    for ts, received_at in messages:
        placed.append(place(clock=clock, ts=ts, received_at=received_at, newest=True))
        clock = placed[-1].clock
    return placed


class TestPlace:
    def test_takes_a_good_clock_at_its_word(self) -> None:
        first, second = run((T0, T0 + s(0.2)), (T0 + s(15), T0 + s(15.4)))
        assert (first.flagged, second.flagged) == (False, False)
        assert second.occurred_at == T0 + s(15)

    @pytest.mark.parametrize("off", [timedelta(days=-1), timedelta(days=1), timedelta(minutes=2), s(-61)])
    def test_learns_an_offset_from_messages_that_agree_over_time(self, off: timedelta) -> None:
        placed = run(*[(T0 + s(15 * n) + off, T0 + s(15 * n)) for n in range(6)])
        assert [p.flagged for p in placed] == [True, True, True, False, False, False]
        assert all(abs(p.occurred_at - (T0 + s(15 * n))) < s(0.01) for n, p in enumerate(placed))

    @pytest.mark.parametrize("year", [1970, 2099])
    def test_flags_an_absurd_year_and_takes_the_arrival(self, year: int) -> None:
        good = run((T0, T0))[-1].clock
        (placed,) = run((T0.replace(year=year), T0 + s(15)), clock=good)
        assert (placed.flagged, placed.occurred_at) == (True, T0 + s(15))

    def test_flags_what_cannot_be_read(self) -> None:
        (placed,) = run((None, T0))
        assert (placed.flagged, placed.occurred_at) == (True, T0)

    def test_believes_a_buffer_that_drains_in_a_burst(self) -> None:
        """An hour offline: 240 messages of 15 s each, sent within a second on return, keep their own time."""
        live = [(T0 + s(15 * n), T0 + s(15 * n)) for n in range(4)]
        back = T0 + s(3700)
        late = [(T0 + s(60 + 15 * n), back + s(n / 240)) for n in range(240)]
        placed = run(*live, *late)
        assert not any(p.flagged for p in placed)
        assert all(abs(p.occurred_at - ts) < s(0.1) for p, (ts, _) in zip(placed[4:], late, strict=True))

    def test_believes_several_messages_of_one_moment_in_a_buffer(self) -> None:
        made = T0 + s(100)
        placed = run((T0, T0), (made, T0 + s(900)), (made, T0 + s(900.1)), (made, T0 + s(900.2)))
        assert [p.flagged for p in placed] == [False] * 4

    def test_does_not_take_a_burst_for_a_new_offset(self) -> None:
        made = T0 + s(100)
        placed = run((T0, T0), *[(made, T0 + s(900 + n / 10)) for n in range(50)])
        assert placed[-1].clock.offset_ms == 0

    def test_flags_a_clock_that_stands_still(self) -> None:
        placed = run(*[(T0, T0 + s(15 * n)) for n in range(20)])
        flagged = [p.flagged for p in placed]
        assert flagged == sorted(flagged)
        assert (flagged[3], flagged[7]) == (False, True)

    @pytest.mark.parametrize("away_s", [3, 12, 30, 58])
    def test_does_not_take_the_wait_while_the_bridge_was_away_for_the_clock(self, away_s: int) -> None:
        """What came late all at once and what follows keeps the device's own time: a bill must not move with it."""
        times = [T0 + s(1.5 * n) for n in range(120)]
        back = T0 + s(60 + away_s)
        messages = [(at, back if T0 + s(60) < at < back else at + s(0.05)) for at in times]
        placed = run(*messages)
        assert [p.occurred_at for p in placed] == times
        assert abs(placed[-1].clock.offset_ms or 0) < 200

    def test_learns_a_clock_that_was_set_some_seconds_back(self) -> None:
        before = [(T0 + s(15 * n), T0 + s(15 * n)) for n in range(4)]
        after = [(T0 + s(15 * n - 20), T0 + s(15 * n)) for n in range(4, 12)]
        placed = run(*before, *after)
        assert placed[-1].clock.offset_ms == -20_000
        assert placed[-1].occurred_at == T0 + s(15 * 11)

    @pytest.mark.parametrize("off", [timedelta(days=-1), timedelta(minutes=-2), timedelta(days=1)])
    def test_of_an_unknown_clock_is_not_taken_for_buffered_where_the_next_message_overtook_it(
        self, off: timedelta
    ) -> None:
        """An event takes the other lane: a sample of 40 ms later may be handled before it."""
        clock = run(*[(T0 + s(n / 2) + off, T0 + s(n / 2)) for n in range(18)])[-1].clock
        at = T0 + s(8.46)
        event = place(clock=clock, ts=at + off, received_at=at + s(0.002), newest=False)
        assert (event.flagged, event.occurred_at) == (True, at + s(0.002))

    def test_that_waited_in_the_device_is_at_its_own_time_though_the_next_message_overtook_it(self) -> None:
        away = [(T0 + s(15), T0 + s(15)), (T0 + s(300), T0 + s(600)), (T0 + s(301), T0 + s(600.1))]
        placed = run((T0, T0), *away)
        assert not placed[-1].flagged
        event = place(clock=placed[-1].clock, ts=T0 + s(300.5), received_at=T0 + s(600.05), newest=False)
        assert not event.flagged
        assert abs(event.occurred_at - (T0 + s(300.5))) < s(0.1)

    def test_is_not_taught_by_late_messages(self) -> None:
        clock = run((T0, T0), (T0 + s(15), T0 + s(15)))[-1].clock
        late = place(clock=clock, ts=T0 + s(7), received_at=T0 + s(20), newest=False)
        assert (late.flagged, late.occurred_at, late.clock) == (False, T0 + s(7), clock)

    @given(
        offset=st.integers(-(10**9), 10**9),
        delays=st.lists(st.integers(0, 60), min_size=1, max_size=20),
    )
    def test_never_places_a_message_more_than_a_trusted_second_after_its_arrival(
        self, offset: int, delays: list[int]
    ) -> None:
        messages = [(T0 + s(15 * n) + s(offset / 10), T0 + s(15 * n + delay)) for n, delay in enumerate(delays)]
        placed = run(*messages)
        assert all(p.occurred_at <= arrival + s(1) for p, (_, arrival) in zip(placed, messages, strict=True))
