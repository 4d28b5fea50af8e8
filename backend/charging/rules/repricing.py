"""A bill at other prices: the same energy, each line's fees anew, the cap kept (a mispublished tariff is corrected)."""

from collections.abc import Mapping, Sequence

from backend.charging.rules.billing import Bill, BillLine, fee_fen, keep_cap


def reprice(lines: Sequence[BillLine], prices: Mapping[str, tuple[int, int]], *, capped: bool) -> Bill:
    """Bill the energy of the lines at the band's (energy, service) prices; what a package freed stays freed.

    For versions with the same bands by time of day; with others the readings have to be billed again. Lines of one band
    become one. KeyError names a band without a price.
    """
    energy: dict[str, int] = {}
    freed: dict[str, int] = {}
    for line in lines:
        energy[line.band] = energy.get(line.band, 0) + line.energy_wh
        freed[line.band] = freed.get(line.band, 0) + line.included_wh
    made = [
        BillLine(
            band=band,
            energy_wh=wh,
            energy_e4=prices[band][0],
            service_e4=prices[band][1],
            energy_fee_fen=fee_fen(energy_wh=wh, price_e4=prices[band][0]),
            service_fee_fen=fee_fen(energy_wh=wh - freed[band], price_e4=prices[band][1]),
            included_wh=freed[band],
        )
        for band, wh in energy.items()
    ]
    return Bill(lines=tuple(keep_cap(made) if capped else made))
