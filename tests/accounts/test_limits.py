"""When is the next one allowed?"""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.accounts.rules.limits import SMS_PER_PHONE, SMS_PER_PURPOSE, Limit, next_allowed_at

NOW = datetime(2026, 6, 10, 2, 0, tzinfo=UTC)


def ago(**duration: float) -> datetime:
    """Return the instant so long before NOW."""
    return NOW - timedelta(**duration)


class TestNextAllowedAt:
    @pytest.mark.parametrize(
        ("past", "again_at"),
        [
            ([], None),
            ([ago(seconds=60)], None),
            ([ago(seconds=59)], NOW + timedelta(seconds=1)),
            ([ago(minutes=10 * i) for i in range(1, 6)], NOW + timedelta(minutes=10)),
            ([ago(minutes=10 * i) for i in range(1, 5)], None),
            ([ago(hours=2 * i) for i in range(1, 11)], NOW + timedelta(hours=4)),
            ([ago(hours=2 * i) for i in range(1, 11)] + [ago(seconds=1)], NOW + timedelta(hours=6)),
        ],
    )
    def test_of_codes_for_one_number(self, past: list[datetime], again_at: datetime | None) -> None:
        assert next_allowed_at(past, (*SMS_PER_PURPOSE, *SMS_PER_PHONE), NOW) == again_at

    @given(
        st.lists(st.integers(0, 100_000), max_size=30).map(lambda ages: [ago(seconds=age) for age in ages]),
        st.lists(
            st.builds(Limit, st.integers(1, 12), st.integers(1, 90_000).map(lambda s: timedelta(seconds=s))),
            min_size=1,
            max_size=3,
        ),
    )
    def test_is_the_first_moment_at_which_no_window_is_full(self, past: list[datetime], limits: list[Limit]) -> None:
        def full_at(moment: datetime) -> bool:
            return any(sum(moment - limit.window < at for at in past) >= limit.times for limit in limits)

        again_at = next_allowed_at(past, limits, NOW)
        assert full_at(again_at - timedelta(microseconds=1) if again_at else NOW) == (again_at is not None)
        assert not full_at(again_at or NOW)
