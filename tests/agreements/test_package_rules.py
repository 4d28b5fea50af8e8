"""Which package is had when, and what of it counts: tables of cases and properties."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.agreements.rules.packages import (
    Choice,
    PackageKind,
    PackageTerms,
    Stretch,
    effective_from,
    month_of,
    share_of,
    stretches,
    trial_ends,
    wrong_terms,
)

FREE, A, B = UUID(int=1), UUID(int=2), UUID(int=3)
JUNE = (datetime(2026, 5, 31, 16, tzinfo=UTC), datetime(2026, 6, 30, 16, tzinfo=UTC))
"""June in Beijing."""
YEAR = (datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC))
BUNDLE = PackageTerms("bundle", 3000, 100_000, (), None)
DAY = timedelta(days=1)


def instants(start: tuple[int, int, int], end: tuple[int, int, int]) -> st.SearchStrategy[datetime]:
    """Draw instants between two days."""
    first, last = (datetime(*day, tzinfo=UTC) for day in (start, end))
    span = int((last - first).total_seconds() * 1_000_000)
    return st.integers(0, span).map(lambda n: first + timedelta(microseconds=n))


class TestMonth:
    @pytest.mark.parametrize(
        ("at", "month"),
        [
            (JUNE[0], JUNE),
            (JUNE[1] - timedelta(microseconds=1), JUNE),
            (
                datetime(2024, 2, 29, 15, 59, tzinfo=UTC),
                (datetime(2024, 1, 31, 16, tzinfo=UTC), datetime(2024, 2, 29, 16, tzinfo=UTC)),
            ),
            (
                datetime(2026, 12, 31, 16, tzinfo=UTC),
                (datetime(2026, 12, 31, 16, tzinfo=UTC), datetime(2027, 1, 31, 16, tzinfo=UTC)),
            ),
        ],
    )
    def test_is_that_of_the_beijing_clock(self, at: datetime, month: tuple[datetime, datetime]) -> None:
        assert month_of(at) == month

    @given(instants((2020, 1, 1), (2040, 1, 1)))
    def test_holds_its_instant_and_touches_the_next(self, at: datetime) -> None:
        start, end = month_of(at)
        assert start <= at < end
        assert month_of(end)[0] == end


class TestTerms:
    @pytest.mark.parametrize(
        ("terms", "field"),
        [
            (BUNDLE, None),
            (PackageTerms("valley", 1500, 150_000, ("valley",), None), None),
            (PackageTerms("trial", 0, 50_000, (), 1), None),
            (PackageTerms("valley", 1500, 150_000, (), None), "bands"),
            (PackageTerms("valley", 1500, 150_000, ("valley", "flat"), None), "bands"),
            (PackageTerms("bundle", 0, 100_000, (), None), "price_fen"),
            (PackageTerms("bundle", -1, 100_000, (), None), "price_fen"),
            (PackageTerms("bundle", 3000, 0, (), None), "included_wh"),
            (PackageTerms("bundle", 3000, -5, (), None), "included_wh"),
            (PackageTerms("bundle", 3000, 1, ("flat", "flat"), None), "bands"),
            (PackageTerms("bundle", 3000, 1, (), 2), "max_periods"),
            (PackageTerms("trial", 0, 1, (), None), "max_periods"),
            (PackageTerms("trial", 0, 1, (), 13), "max_periods"),
            (PackageTerms("pay_as_you_go", 0, 0, (), None), "kind"),
            (PackageTerms("bundle", 3000, 1, (), None, JUNE[1], JUNE[0]), "available_until"),
        ],
    )
    def test_that_make_no_package_name_their_field(self, terms: PackageTerms, field: str | None) -> None:
        wrong = wrong_terms(terms)
        assert (None if wrong is None else wrong[0]) == field


class TestChoice:
    @pytest.mark.parametrize(
        ("present", "from_at"),
        [("pay_as_you_go", JUNE[0] + DAY), ("bundle", JUNE[1]), ("valley", JUNE[1]), ("trial", JUNE[1])],
    )
    def test_counts_at_once_only_from_pay_as_you_go(self, present: PackageKind, from_at: datetime) -> None:
        assert effective_from(present=present, now=JUNE[0] + DAY) == from_at

    @pytest.mark.parametrize(("months", "ends"), [(1, JUNE[1]), (2, datetime(2026, 7, 31, 16, tzinfo=UTC))])
    def test_of_a_trial_ends_with_a_month(self, months: int, ends: datetime) -> None:
        assert trial_ends(starts_at=JUNE[0] + 10 * DAY, max_periods=months) == ends

    @pytest.mark.parametrize(
        ("choices", "ends", "had"),
        [
            ([], {}, [(FREE, *JUNE)]),
            ([Choice(A, YEAR[0])], {}, [(A, *JUNE)]),
            ([Choice(A, JUNE[0] + DAY)], {}, [(FREE, JUNE[0], JUNE[0] + DAY), (A, JUNE[0] + DAY, JUNE[1])]),
            ([Choice(A, YEAR[0]), Choice(B, JUNE[1])], {}, [(A, *JUNE)]),
            ([Choice(A, YEAR[0]), Choice(B, JUNE[0])], {}, [(B, *JUNE)]),
            ([Choice(A, JUNE[0]), Choice(B, JUNE[0])], {}, [(B, *JUNE)]),
            ([Choice(A, YEAR[0])], {A: JUNE[0]}, [(FREE, *JUNE)]),
            ([Choice(A, YEAR[0])], {A: JUNE[0] + DAY}, [(A, *JUNE)]),
        ],
    )
    def test_is_had_from_its_instant_until_the_next_or_its_own_end(
        self, choices: list[Choice], ends: dict[UUID, datetime], had: list[tuple[UUID, datetime, datetime]]
    ) -> None:
        found = stretches(choices, default=FREE, month=JUNE, term=YEAR, ends=ends)
        assert [(s.package_id, s.starts_at, s.ends_at) for s in found] == had

    @given(
        st.lists(
            st.builds(
                Choice,
                st.sampled_from([FREE, A, B]),
                instants((2026, 5, 1), (2026, 8, 1)),
            )
        ),
        instants((2026, 5, 1), (2026, 6, 20)),
        instants((2026, 6, 20), (2026, 8, 1)),
    )
    def test_fills_the_term_without_gap_or_overlap(
        self, choices: list[Choice], starts_at: datetime, ends_at: datetime
    ) -> None:
        found = stretches(choices, default=FREE, month=JUNE, term=(starts_at, ends_at), ends={})
        begin, end = max(JUNE[0], starts_at), min(JUNE[1], ends_at)
        if begin >= end:
            assert found == []
            return
        assert (found[0].starts_at, found[-1].ends_at) == (begin, end)
        assert all(a.ends_at == b.starts_at and a.package_id != b.package_id for a, b in pairwise(found))
        for stretch in found:
            before = [c for c in choices if c.effective_from <= stretch.starts_at]
            last = max(before, key=lambda c: c.effective_from, default=None)
            if last is not None and sum(c.effective_from == last.effective_from for c in before) == 1:
                assert stretch.package_id == last.package_id


class TestShare:
    def test_of_a_whole_month_is_the_whole_package(self) -> None:
        share = share_of(BUNDLE, stretch=Stretch(A, *JUNE), month=JUNE)
        assert (share.price_fen, share.included_wh) == (3000, 100_000)

    def test_of_a_third_of_the_month_is_a_third_rounded_for_the_resident(self) -> None:
        stretch = Stretch(A, JUNE[0] + 20 * DAY, JUNE[1])
        share = share_of(BUNDLE, stretch=stretch, month=JUNE)
        assert (share.price_fen, share.included_wh) == (1000, 33_334)

    @given(instants((2026, 6, 1), (2026, 6, 30)))
    def test_of_two_parts_is_never_dearer_than_the_whole(self, cut: datetime) -> None:
        parts = [share_of(BUNDLE, stretch=Stretch(A, *span), month=JUNE) for span in ((JUNE[0], cut), (cut, JUNE[1]))]
        assert sum(part.price_fen for part in parts) <= 3000 + 1
        assert sum(part.included_wh for part in parts) >= 100_000
