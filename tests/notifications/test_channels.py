"""Which channel comes next, and when a try is repeated."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.notifications.rules import channels
from backend.notifications.rules.channels import SAFETY_CHAIN, Channel, State

states_of_a_chain = st.dictionaries(
    st.sampled_from(SAFETY_CHAIN), st.sampled_from(["pending", "accepted", "failed", "unreachable"])
)


class TestNextChannel:
    @pytest.mark.parametrize(
        ("states", "expected"),
        [
            ({}, "push"),
            ({"push": "pending"}, "sms"),
            ({"push": "failed"}, "sms"),
            ({"push": "accepted"}, None),
            ({"push": "pending", "sms": "failed"}, "voice"),
            ({"push": "pending", "sms": "accepted"}, None),
            ({"push": "failed", "sms": "failed", "voice": "pending"}, None),
        ],
    )
    def test_is_the_first_not_tried_until_one_accepts(
        self, states: dict[Channel, State], expected: Channel | None
    ) -> None:
        assert channels.next_channel(SAFETY_CHAIN, states) == expected

    @given(states_of_a_chain)
    def test_never_repeats_a_channel_and_stops_at_an_acceptance(self, states: dict[Channel, State]) -> None:
        following = channels.next_channel(SAFETY_CHAIN, states)
        assert following not in states
        if "accepted" in states.values():
            assert following is None


class TestRetryAfter:
    @given(st.integers(1, 20), st.booleans(), st.one_of(st.none(), st.floats(0, 10**6)))
    def test_is_bounded_and_never_negative(self, attempts: int, safety: bool, asked: float | None) -> None:
        wait = channels.retry_after_s(attempts=attempts, safety=safety, asked_s=asked)
        assert 0 < wait <= (30 if safety else 600)

    def test_believes_the_provider_within_reason(self) -> None:
        assert channels.retry_after_s(attempts=1, safety=False, asked_s=120) == 120
        assert channels.retry_after_s(attempts=1, safety=True, asked_s=120) == 30
