"""Newer and missing, by (boot, seq)."""

from hypothesis import given
from hypothesis import strategies as st

from backend.telemetry.rules import order
from backend.telemetry.rules.order import SeqCount


def count(*messages: tuple[int, int]) -> SeqCount:
    seen = SeqCount()
    for boot, seq in messages:
        seen = order.count(seen, boot=boot, seq=seq)
    return seen


class TestCount:
    def test_of_a_whole_sequence_misses_nothing(self) -> None:
        assert count(*[(1, seq) for seq in range(50)], *[(2, seq) for seq in range(9)]).lost() == 0

    def test_misses_gaps_and_the_start_of_a_boot_but_not_what_was_before_we_listened(self) -> None:
        assert count((5, 1000), (5, 1001), (5, 1004)).lost() == 2
        assert count((5, 1000), (6, 3)).lost() == 3

    def test_takes_back_what_comes_late(self) -> None:
        assert count((1, 0), (1, 3), (1, 2), (1, 1)).lost() == 0
        assert count((1, 0), (1, 2), (2, 0), (1, 1)).lost() == 0

    @given(st.lists(st.integers(0, 30), unique=True, min_size=1).flatmap(lambda xs: st.permutations(xs)))
    def test_does_not_depend_on_the_order_within_a_boot(self, seqs: list[int]) -> None:
        assert count((1, 0), *[(1, seq + 1) for seq in seqs]).lost() == max(seqs) + 1 - len(seqs)


class TestIsNewer:
    def test_puts_the_boot_first(self) -> None:
        assert order.is_newer(boot=2, seq=0, than_boot=1, than_seq=999)
        assert not order.is_newer(boot=1, seq=1000, than_boot=2, than_seq=0)
        assert not order.is_newer(boot=1, seq=1, than_boot=1, than_seq=1)
