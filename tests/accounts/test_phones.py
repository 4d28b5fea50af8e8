"""Phone numbers in one form."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.accounts.service import phones
from backend.accounts.service.phones import PhoneInvalid


class TestNormalise:
    @pytest.mark.parametrize(
        "written",
        [
            "13800000001",
            "+8613800000001",
            "+86 138 0000 0001",
            "0086 13800000001",
            "１３８０００００００１",
            "138-0000-0001",
        ],
    )
    def test_gives_eleven_digits_for_every_way_to_write_a_number(self, written: str) -> None:
        assert phones.normalise(written) == "13800000001"

    @pytest.mark.parametrize(
        "written",
        [
            "",
            "1380000000",
            "138000000011",
            "12000000001",
            "010-65529988",
            "+1 202 555 0123",
            "400-800-8888",
            "abc",
            "110",
        ],
    )
    def test_refuses_what_cannot_receive_a_code(self, written: str) -> None:
        with pytest.raises(PhoneInvalid):
            phones.normalise(written)

    @given(st.text(max_size=20))
    def test_never_fails_otherwise_and_never_repeats_the_text(self, text: str) -> None:
        try:
            plain = phones.normalise(text)
        except PhoneInvalid as refused:
            assert refused.params == {"field": "phone"}
        else:
            assert len(plain) == 11 and plain.isdecimal() and phones.normalise(plain) == plain
