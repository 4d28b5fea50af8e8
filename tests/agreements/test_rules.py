"""Who may have an agreement, for how long, and which files are taken."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.agreements.rules import eligibility, files
from backend.agreements.rules.eligibility import Situation, failed_conditions
from backend.agreements.rules.terms import term_end
from tests.factories.agreements import PDF, PNG

GOOD = Situation(
    home_known=True,
    distance_m=500,
    long_term_resident=True,
    has_own_bay=False,
    has_private_charger=False,
    vehicle_energy="battery",
    vehicle_use="owner",
)
BROKEN: list[tuple[dict[str, object], str]] = [
    ({"home_known": False, "distance_m": None}, "home_unknown"),
    ({"distance_m": 501}, "home_too_far"),
    ({"distance_m": None}, "home_too_far"),
    ({"long_term_resident": False}, "not_long_term"),
    ({"has_own_bay": True}, "has_own_bay"),
    ({"has_private_charger": True}, "has_private_charger"),
    ({"vehicle_energy": "fuel"}, "not_a_new_energy_vehicle"),
    ({"vehicle_use": None}, "no_use_of_the_vehicle"),
]


def box(name: bytes, content: bytes) -> bytes:
    """A box of an ISO base media file."""
    return (8 + len(content)).to_bytes(4, "big") + name + content


HEIC = box(b"ftyp", b"heic" + bytes(4) + b"mif1heic") + box(b"meta", bytes(20)) + box(b"mdat", bytes(40))


class TestFailedConditions:
    @pytest.mark.parametrize("distance_m", [0, 499, 500])
    @pytest.mark.parametrize("energy", sorted(eligibility.NEW_ENERGY))
    def test_are_none_for_a_resident_the_plan_means(self, distance_m: int, energy: str) -> None:
        assert failed_conditions(replace(GOOD, distance_m=distance_m, vehicle_energy=energy)) == ()  # type: ignore[arg-type]

    @pytest.mark.parametrize(("change", "condition"), BROKEN)
    def test_name_the_one_that_is_not_met(self, change: dict[str, object], condition: str) -> None:
        assert failed_conditions(replace(GOOD, **change)) == (condition,)  # type: ignore[arg-type]

    @given(st.sets(st.sampled_from(range(3, 8))), st.sampled_from([None, 0, 1, 2]))
    def test_name_all_that_are_not_met_at_once(self, broken: set[int], home: int | None) -> None:
        chosen = sorted(broken) if home is None else [home, *sorted(broken)]
        situation = GOOD
        for index in chosen:
            situation = replace(situation, **BROKEN[index][0])  # type: ignore[arg-type]
        assert set(failed_conditions(situation)) == {BROKEN[index][1] for index in chosen}

    def test_have_words_in_both_languages(self) -> None:
        assert set(eligibility.WORDINGS) == {condition for _, condition in BROKEN}
        assert all(words.zh and words.en for words in eligibility.WORDINGS.values())


class TestTermEnd:
    @pytest.mark.parametrize(
        ("starts", "ends"),
        [
            ("2026-06-10T10:00+08:00", "2027-06-10T10:00+08:00"),
            ("2028-02-29T23:30+08:00", "2029-02-28T23:30+08:00"),
            ("2027-02-28T00:00+08:00", "2028-02-28T00:00+08:00"),
            ("2026-12-31T23:59:59+08:00", "2027-12-31T23:59:59+08:00"),
            ("2026-02-28T17:00+00:00", "2027-02-28T17:00+00:00"),
        ],
    )
    def test_is_the_same_moment_a_year_later_on_the_beijing_clock(self, starts: str, ends: str) -> None:
        assert term_end(datetime.fromisoformat(starts)) == datetime.fromisoformat(ends)

    @given(st.integers(0, 70 * 366 * 86_400), st.integers(1, 36))
    def test_keeps_the_wall_clock_and_never_skips_a_month(self, seconds: int, months: int) -> None:
        beijing = ZoneInfo("Asia/Shanghai")
        starts = datetime(2020, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
        ends, before = term_end(starts, months=months).astimezone(beijing), starts.astimezone(beijing)
        assert ends.time() == before.time()
        assert (ends.year - before.year) * 12 + ends.month - before.month == months
        assert ends.day == before.day or (ends.day < before.day and (ends + timedelta(days=1)).day == 1)


class TestDetect:
    @pytest.mark.parametrize(
        ("content", "media_type"),
        [
            (PNG, "image/png"),
            (PDF, "application/pdf"),
            (b"\xff\xd8\xff\xe0 a photograph \xff\xd9", "image/jpeg"),
            (b"RIFF" + (8).to_bytes(4, "little") + b"WEBPVP8 ", "image/webp"),
            (HEIC, "image/heic"),
            (HEIC + box(b"free", b""), "image/heic"),
            (HEIC[:-1], None),
            (HEIC[:24], None),
            (b"\x00\x00\x00\x18ftypheic and so on", None),
            (HEIC[:24] + b"\x00\x00\x00\x00meta", None),
        ],
    )
    def test_knows_a_type_by_its_content(self, content: bytes, media_type: str) -> None:
        assert files.detect(content) == media_type

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"<html><script>alert(1)</script></html>",
            b"GIF89a",
            b"MZ\x90\x00",
            PNG[:-6],
            PDF[:10],
            b"\xff\xd8\xff\xe0 cut off",
            b"RIFF" + (800).to_bytes(4, "little") + b"WEBPVP8 ",
            b"\x00\x00\x00\x18ftypmp42 a film",
            b"PK\x03\x04 a document",
        ],
    )
    def test_takes_nothing_else_and_nothing_cut_off(self, content: bytes) -> None:
        assert files.detect(content) is None

    @pytest.mark.parametrize(
        ("claimed", "fits"),
        [
            (None, True),
            ("image/png", True),
            ("application/octet-stream", True),
            ("image/jpeg", False),
            ("text/html", False),
        ],
    )
    def test_is_compared_with_what_the_client_says(self, claimed: str | None, fits: bool) -> None:
        assert files.agrees(claimed, "image/png") is fits
