"""The order and the time limits of the fallback plan; no database."""

from datetime import UTC, datetime, timedelta

import pytest

from backend.waiting.rules.fallback import STEPS, answer_by, must_run, next_step, owes_compensation

NOW = datetime(2026, 6, 10, 2, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


class TestTheSteps:
    def test_come_in_the_order_of_the_plan_and_end_with_the_compensation(self) -> None:
        order = [STEPS[0]]
        while (following := next_step(order[-1])) is not None:
            order.append(following)
        assert order == ["resident_connector", "public_connector", "other_station", "compensation"]


class TestMustRun:
    @pytest.mark.parametrize(
        ("waited", "expected", "runs"),
        [(0, 0, False), (0, 5, False), (0, 6, True), (3, 2, False), (3, 3, True), (3, None, False), (4, None, True)],
    )
    def test_begins_when_the_whole_wait_passes_five_minutes(
        self, waited: int, expected: int | None, runs: bool
    ) -> None:
        assert (
            must_run(
                waited=waited * MINUTE,
                expected=None if expected is None else expected * MINUTE,
                promise=5 * MINUTE,
                look_every=MINUTE,
            )
            is runs
        )


class TestAnswerBy:
    @pytest.mark.parametrize(("ahead", "stands"), [(-5, 5), (0, 5), (8, 5), (20, 10), (600, 30)])
    def test_leaves_more_time_for_a_slot_that_is_far(self, ahead: int, stands: int) -> None:
        assert answer_by(now=NOW, starts_at=NOW + ahead * MINUTE, shortest=5 * MINUTE) == NOW + stands * MINUTE


class TestOwesCompensation:
    @pytest.mark.parametrize(
        ("user_class", "wait_s", "owes"),
        [("booking", 300, False), ("booking", 301, True), ("agreement", 301, True), ("other", 9000, False)],
    )
    def test_to_residents_under_agreement_beyond_the_promise(self, user_class: str, wait_s: int, owes: bool) -> None:
        assert owes_compensation(user_class=user_class, wait_s=wait_s, promise_s=300) is owes  # type: ignore[arg-type]
