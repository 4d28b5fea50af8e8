"""The physics of a pack, as properties."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.fleet.battery import CELLS, Battery, Chemistry

PACKS = st.builds(
    Battery,
    chemistry=st.sampled_from(sorted(CELLS)),
    battery_wh=st.integers(20_000, 120_000),
    soc=st.floats(0.0, 0.99),
    temp_c=st.floats(-15.0, 40.0),
)


def charge_for(pack: Battery, *, seconds: int, power_w: float, ambient_c: float = 15.0) -> list[tuple[float, float]]:
    """Charge by the second; (current, terminal voltage) of each."""
    flow = []
    for _ in range(seconds):
        amps = pack.current_for(power_w=power_w)
        flow.append((amps, pack.pack_v(current_a=amps)))
        pack.charge(current_a=amps, dt_s=1.0, ambient_c=ambient_c)
    return flow


class TestPack:
    @given(pack=PACKS, power_w=st.floats(1_000, 180_000))
    def test_never_takes_more_than_is_offered_nor_passes_its_cell_limit(self, pack: Battery, power_w: float) -> None:
        for amps, volts in charge_for(pack, seconds=300, power_w=power_w):
            assert amps * volts <= power_w * (1 + 1e-9)
            assert volts <= pack.kind.cv_limit_v * pack.kind.cells * (1 + 1e-9)
        assert pack.cell_v_max(current_a=amps) < pack.kind.cell_limit_v

    @given(pack=PACKS, power_w=st.floats(1_000, 180_000))
    def test_gains_charge_with_every_second_and_stops_at_full(self, pack: Battery, power_w: float) -> None:
        last = pack.soc
        for _ in range(200):
            charge_for(pack, seconds=1, power_w=power_w)
            assert last <= pack.soc <= 1.0
            assert pack.soc > last or pack.is_full or pack.wanted_current_a() == 0
            last = pack.soc

    @given(pack=PACKS, ambient_c=st.floats(-15, 40))
    def test_stays_between_ambient_and_a_few_degrees_above_what_it_was(self, pack: Battery, ambient_c: float) -> None:
        low, high = min(pack.temp_c, ambient_c), max(pack.temp_c, ambient_c)
        charge_for(pack, seconds=1800, power_w=180_000, ambient_c=ambient_c)
        assert low - 1e-6 <= pack.temp_c <= high + 3.0

    @pytest.mark.parametrize("chemistry", ["ncm", "lfp"])
    def test_charges_at_constant_current_then_tapers_at_constant_voltage(self, chemistry: Chemistry) -> None:
        pack = Battery(chemistry=chemistry, battery_wh=60_000, soc=0.1, temp_c=25.0)
        flow = charge_for(pack, seconds=5400, power_w=500_000)
        limit_v = pack.kind.cv_limit_v * pack.kind.cells
        first_cv = next(i for i, (_, volts) in enumerate(flow) if volts > limit_v * 0.9999)
        steady = [amps for amps, _ in flow[:first_cv]]
        taper = [amps for amps, _ in flow[first_cv:]]
        assert max(steady) - min(steady) < 0.02 * max(steady)
        assert all(later <= earlier + 1e-9 for earlier, later in pairwise(taper))
        assert pack.is_full
        assert flow[-1][0] == 0.0

    @pytest.mark.parametrize("chemistry", ["ncm", "lfp"])
    def test_stores_its_rated_energy_from_empty_to_full(self, chemistry: Chemistry) -> None:
        pack = Battery(chemistry=chemistry, battery_wh=50_000, soc=0.0, temp_c=25.0)
        stored_wh = 0.0
        while not pack.is_full:
            amps = pack.current_for(power_w=7_000)
            stored_wh += pack.open_circuit_v() * amps / 3600
            pack.charge(current_a=amps, dt_s=1.0, ambient_c=20.0)
        assert stored_wh == pytest.approx(50_000, rel=0.01)

    def test_warms_slower_than_an_alarm_even_twenty_times_as_fast(self) -> None:
        pack = Battery(chemistry="ncm", battery_wh=42_000, soc=0.1, temp_c=15.0)
        before = pack.temp_c
        charge_for(pack, seconds=20 * 60, power_w=180_000)
        assert pack.temp_c - before < 2.0  # °C in a minute of wall time at speed 20; the rule warns at 3

    def test_takes_less_when_cold(self) -> None:
        cold = Battery(chemistry="lfp", battery_wh=60_000, soc=0.3, temp_c=-10.0)
        warm = Battery(chemistry="lfp", battery_wh=60_000, soc=0.3, temp_c=20.0)
        assert cold.wanted_current_a() < 0.3 * warm.wanted_current_a()
