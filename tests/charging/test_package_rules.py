"""What packages do to bills: the fee of a period and the energy free of service fee, as properties."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.charging.rules.billing import BillLine, cap_fen, fee_fen, keep_cap
from backend.charging.rules.packages import Allowance, OrderFigures, bill_period, use_allowance

BANDS = ("sharp", "peak", "flat", "valley")


@st.composite
def bills(draw: st.DrawFn) -> list[BillLine]:
    """A capped agreement bill as an order has it: one line a band."""
    lines = []
    for band in draw(st.lists(st.sampled_from(BANDS), unique=True, max_size=4)):
        energy, price, service = draw(st.tuples(st.integers(1, 90_000), st.integers(0, 20_000), st.integers(0, 5_000)))
        fees = fee_fen(energy_wh=energy, price_e4=price), fee_fen(energy_wh=energy, price_e4=service)
        lines.append(BillLine(band, energy, price, service, *fees))
    return keep_cap(lines)


allowances = st.builds(Allowance, st.integers(-10, 200_000), st.lists(st.sampled_from(BANDS), unique=True).map(tuple))


capped_orders = st.builds(
    lambda energy_wh, share: OrderFigures(energy_wh, cap_fen(energy_wh=energy_wh) * share // 100, 0),
    st.integers(0, 90_000),
    st.integers(0, 100),
)
"""Orders under an agreement: each keeps the cap by itself."""


class TestUseAllowance:
    @pytest.mark.parametrize(
        ("left_wh", "bands", "free"),
        [(0, (), [0, 0]), (5_000, (), [5_000, 0]), (15_000, (), [10_000, 5_000]), (99_000, (), [10_000, 20_000]),
         (5_000, ("valley",), [0, 5_000]), (5_000, ("sharp",), [0, 0])],
    )  # fmt: skip
    def test_frees_lines_in_their_order_as_far_as_it_goes(
        self, left_wh: int, bands: tuple[str, ...], free: list[int]
    ) -> None:
        lines = [BillLine("flat", 10_000, 8_000, 4_000, 800, 400), BillLine("valley", 20_000, 5_000, 3_000, 1000, 600)]
        freed = use_allowance(lines, Allowance(left_wh, bands))
        assert [line.included_wh for line in freed] == free
        assert [line.service_fee_fen for line in freed] == [
            400 - free[0] * 4_000 // 100_000,
            600 - free[1] * 3_000 // 100_000,
        ]
        assert [line.energy_fee_fen for line in freed] == [800, 1000]

    @settings(max_examples=300)
    @given(bills(), allowances)
    def test_leaves_energy_never_frees_more_than_is_left_and_keeps_the_cap(
        self, lines: list[BillLine], allowance: Allowance
    ) -> None:
        freed = keep_cap(use_allowance(lines, allowance))
        assert sum(line.included_wh for line in freed) <= max(allowance.left_wh, 0)
        for before, after in zip(lines, freed, strict=True):
            assert (before.energy_wh, before.energy_fee_fen) == (after.energy_wh, after.energy_fee_fen)
            assert 0 <= after.included_wh <= after.energy_wh
            assert after.service_fee_fen <= before.service_fee_fen
            assert after.included_wh == 0 or not allowance.bands or after.band in allowance.bands
        assert sum(x.service_fee_fen for x in freed) <= cap_fen(energy_wh=sum(x.energy_wh for x in freed))


class TestBillPeriod:
    @pytest.mark.parametrize(
        ("energy_wh", "service_fee_fen", "price_fen", "fee"),
        [
            (80_000, 0, 3000, 3000),  # cap 40.00: the price
            (60_000, 0, 3000, 3000),  # exactly the cap
            (59_999, 0, 3000, 2999),  # one Wh less: 29.9995 yuan, rounded down
            (20_000, 0, 3000, 1000),
            (80_000, 1500, 3000, 2500),  # what the cap leaves
            (80_000, 4000, 3000, 0),
            (0, 0, 3000, 0),
            (80_000, 1000, 0, 0),
        ],
    )
    def test_costs_its_price_or_what_the_cap_leaves(
        self, energy_wh: int, service_fee_fen: int, price_fen: int, fee: int
    ) -> None:
        bill = bill_period([OrderFigures(energy_wh, service_fee_fen, 0)], price_fen=price_fen)
        assert bill.package_fee_fen == fee

    @settings(max_examples=2000)
    @given(
        orders=st.lists(capped_orders, max_size=8), price_fen=st.integers(0, 1_000_000), left_out=st.integers(0, 255)
    )
    def test_never_passes_half_a_yuan_a_kwh_and_wastes_no_fen_of_it(
        self, orders: list[OrderFigures], price_fen: int, left_out: int
    ) -> None:
        bill = bill_period(orders, price_fen=price_fen)
        paid = bill.service_fee_fen + bill.package_fee_fen
        exact = Fraction(sum(order.energy_wh for order in orders) * 50, 1000)
        assert 0 <= bill.package_fee_fen <= price_fen
        assert paid <= exact
        assert bill.package_fee_fen == price_fen or paid + 1 > exact
        late = [order for n, order in enumerate(orders) if left_out >> n & 1]
        stated = bill_period([order for order in orders if order not in late], price_fen=price_fen)
        assert stated.service_fee_fen + stated.package_fee_fen + sum(o.service_fee_fen for o in late) <= exact
