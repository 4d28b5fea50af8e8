"""The life of a booking as pure rules."""

from datetime import UTC, datetime, timedelta

import pytest

from backend.reservations.rules.bookings import decide_lapse, decide_suspension, is_free_cancellation, refuse_check_in

START = datetime(2026, 6, 10, 2, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
HOLD = START + 15 * MINUTE
END = START + 60 * MINUTE


class TestCheckIn:
    @pytest.mark.parametrize(
        ("status", "minutes", "why"),
        [
            ("confirmed", -16, "too_early"),
            ("confirmed", -15, None),
            ("confirmed", 0, None),
            ("confirmed", 14, None),
            ("confirmed", 15, "too_late"),
            ("checked_in", 30, None),
            ("fulfilled", 0, "not_open"),
            ("cancelled", 0, "not_open"),
            ("no_show", 0, "not_open"),
        ],
    )
    def test_is_open_from_a_quarter_before_to_the_end_of_the_hold(
        self, status: str, minutes: int, why: str | None
    ) -> None:
        found = refuse_check_in(
            status=status,  # type: ignore[arg-type]
            starts_at=START,
            hold_until=HOLD,
            opens_before=15 * MINUTE,
            now=START + minutes * MINUTE,
        )
        assert found == why


class TestCancelling:
    @pytest.mark.parametrize(("minutes", "free"), [(-16, True), (-15, True), (-14, False), (5, False)])
    def test_is_free_until_a_quarter_before(self, minutes: int, free: bool) -> None:
        at = START + minutes * MINUTE
        assert is_free_cancellation(starts_at=START, free_before=15 * MINUTE, now=at) is free


class TestTheEndOfTheHold:
    @pytest.mark.parametrize(
        ("status", "bay", "minutes", "decision"),
        [
            ("confirmed", "free", 14, "nothing"),
            ("confirmed", "free", 15, "no_show"),
            ("confirmed", "occupied", 15, "no_show"),
            ("checked_in", "occupied", 15, "wait"),
            ("checked_in", "unknown", 15, "wait"),
            ("checked_in", "free", 15, "unused"),
            ("checked_in", "occupied", 60, "unused"),
            ("fulfilled", "free", 15, "nothing"),
            ("cancelled", "free", 15, "nothing"),
            ("no_show", "free", 60, "nothing"),
        ],
    )
    def test_decides_by_status_and_bay(self, status: str, bay: str, minutes: int, decision: str) -> None:
        found = decide_lapse(
            status=status,  # type: ignore[arg-type]
            hold_until=HOLD,
            ends_at=END,
            bay=bay,  # type: ignore[arg-type]
            now=START + minutes * MINUTE,
        )
        assert found == decision


class TestSuspension:
    def suspend(self, *days_ago: int) -> datetime | None:
        no_shows = [START - n * DAY for n in days_ago]
        return decide_suspension(no_shows=no_shows, now=START, limit=3, window=30 * DAY, length=7 * DAY)

    def test_comes_with_the_third_no_show_in_thirty_days(self) -> None:
        assert self.suspend(29, 3, 0) == START + 7 * DAY

    def test_does_not_come_with_two(self) -> None:
        assert self.suspend(3, 0) is None

    def test_forgets_what_is_older_than_thirty_days(self) -> None:
        assert self.suspend(30, 3, 0) is None
