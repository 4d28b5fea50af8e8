"""One written form of a plate."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.accounts.rules import plates
from backend.accounts.rules.plates import PlateUnreadable

LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ"
DIGITS = "0123456789"

provinces = st.sampled_from(plates.PROVINCES)
letters = st.sampled_from(LETTERS)
ordinary = st.builds("{}{}{}".format, provinces, letters, st.text(LETTERS + DIGITS, min_size=5, max_size=5))
small_nev = st.builds(
    "{}{}{}{}{}".format,
    provinces,
    letters,
    st.sampled_from("DABCEFGHJK"),
    st.sampled_from(LETTERS + DIGITS),
    st.text(DIGITS, min_size=4, max_size=4),
)
large_nev = st.builds(
    "{}{}{}{}".format, provinces, letters, st.text(DIGITS, min_size=5, max_size=5), st.sampled_from("DABCEFGHJK")
)


def full_width(text: str) -> str:
    """Write ASCII in its full-width forms."""
    return "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text)


class TestNormalise:
    @pytest.mark.parametrize(
        ("written", "plate"),
        [
            ("京A12345", "京A12345"),
            ("京a·12345", "京A12345"),
            (" 京A 12345 ", "京A12345"),
            ("京Ａ１２３４５", "京A12345"),
            ("京A・Ｄ12345", "京AD12345"),
            ("京a-d12345", "京AD12345"),
            ("京AF12345", "京AF12345"),
            ("京A12345D", "京A12345D"),
            ("粤Z1234港", "粤Z1234港"),
            ("京A1234警", "京A1234警"),
            ("使123456", "使123456"),
            ("WJ京12345", "WJ京12345"),
            ("京A临12345", "京A临12345"),
            ("京A\u200bD12345", "京AD12345"),
        ],
    )
    def test_gives_the_one_written_form(self, written: str, plate: str) -> None:
        assert plates.normalise(written) == plate

    @pytest.mark.parametrize(
        "written",
        [
            "",
            "京",
            "京A1234",
            "京A123456",
            "京AI2345",
            "京O12345",
            "AA12345",
            "京AD1234O",
            "京AL12345",
            "美A12345",
            "京A12345💥",
        ],
    )
    def test_refuses_what_is_not_a_plate(self, written: str) -> None:
        with pytest.raises(PlateUnreadable):
            plates.normalise(written)

    @given(st.one_of(ordinary, small_nev, large_nev), st.integers(0, 7), st.sampled_from("· -.　•"))
    def test_is_the_same_for_every_way_to_write_a_plate(self, plate: str, place: int, separator: str) -> None:
        at = min(place, len(plate))
        separated = plate[:at] + separator + plate[at:]
        variants = (separated, separated.lower(), full_width(plate), full_width(plate.lower()))
        assert {plates.normalise(variant) for variant in variants} == {plate}

    @given(st.text(max_size=12))
    def test_gives_a_form_that_stays_as_it_is_or_refuses(self, text: str) -> None:
        try:
            plate = plates.normalise(text)
        except PlateUnreadable:
            return
        assert plates.normalise(plate) == plate


class TestEnergyHint:
    @given(st.one_of(small_nev, large_nev))
    def test_sees_a_green_plate(self, plate: str) -> None:
        assert plates.energy_hint(plate) == "nev"

    @pytest.mark.parametrize("plate", ["京A12345", "使123456", "京A临12345", "粤Z1234港"])
    def test_never_calls_another_plate_fuel(self, plate: str) -> None:
        assert plates.energy_hint(plate) == "unknown"


class TestMask:
    def test_shows_too_little_to_find_the_owner(self) -> None:
        assert plates.mask("京AD12345") == "京A*****5"
