"""What a corrected bill says, by the same arithmetic as the first one."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

from backend.charging.rules.billing import Bill, BillLine, MeterPoint, fee_fen, keep_cap


def bill_by_band(energy_wh: Mapping[str, int], prices: Mapping[str, tuple[int, int]], *, capped: bool) -> Bill:
    """Bill stated energies per band at the order's own (energy, service) prices, each fee rounded once, cap kept.

    KeyError names a band that the order's tariff does not have.
    """
    lines = [
        BillLine(
            band=band,
            energy_wh=wh,
            energy_e4=prices[band][0],
            service_e4=prices[band][1],
            energy_fee_fen=fee_fen(energy_wh=wh, price_e4=prices[band][0]),
            service_fee_fen=fee_fen(energy_wh=wh, price_e4=prices[band][1]),
        )
        for band, wh in energy_wh.items()
        if wh
    ]
    return Bill(lines=tuple(keep_cap(lines) if capped else lines))


def readings_problem(points: Sequence[MeterPoint]) -> str | None:
    """Return what makes corrected readings unfit: fewer than two, times or meter not rising."""
    if len(points) < 2:
        return "give the readings at start and end"
    for before, after in pairwise(points):
        if after.at <= before.at:
            return "times must rise"
        if after.meter_wh < before.meter_wh:
            return "a meter never falls"
    return None
