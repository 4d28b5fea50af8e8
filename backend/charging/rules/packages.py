"""What a package does to bills: energy without service fee in an order, and the fee at the period's end.

Billed in arrears (domain.md, Money): included energy is free of *service fee* only, energy is always billed. The fee of
a period is `min(price, cap x kWh - service fees)`, so that service fees and package together never pass 0.5 yuan/kWh of
the period, and nothing has to be given back.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from backend.charging.rules.billing import BillLine, cap_fen, fee_fen


@dataclass(frozen=True, slots=True)
class Allowance:
    """What is left of the energy a package frees of service fee, and in which bands (none named: in all)."""

    left_wh: int
    bands: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OrderFigures:
    """What of an order a package period counts."""

    energy_wh: int
    service_fee_fen: int
    included_wh: int


@dataclass(frozen=True, slots=True)
class PeriodBill:
    """A package period: the sums of its orders, the cap on them, and what the package costs under it."""

    orders_count: int
    energy_wh: int
    used_wh: int
    service_fee_fen: int
    cap_fen: int
    price_fen: int
    package_fee_fen: int


def use_allowance(lines: Sequence[BillLine], allowance: Allowance) -> list[BillLine]:
    """Free energy of the lines from service fee, in their order, as far as the allowance goes.

    Energy and its fee stay as they are. Run it before the cap of the order, which is on the whole energy.
    """
    left = max(allowance.left_wh, 0)
    freed: list[BillLine] = []
    for line in lines:
        free = min(left, line.energy_wh) if not allowance.bands or line.band in allowance.bands else 0
        left -= free
        fee = fee_fen(energy_wh=line.energy_wh - free, price_e4=line.service_e4)
        freed.append(replace(line, included_wh=free, service_fee_fen=min(fee, line.service_fee_fen)) if free else line)
    return freed


def bill_period(orders: Iterable[OrderFigures], *, price_fen: int) -> PeriodBill:
    """Return the period's bill: the package costs its price, or what the cap leaves for it.

    The cap is on the energy of the whole period, rounded down once. Orders keep it each by themselves, so that it
    always leaves something or nothing, never less.
    """
    counted = list(orders)
    energy_wh = sum(order.energy_wh for order in counted)
    service_fee_fen = sum(order.service_fee_fen for order in counted)
    cap = cap_fen(energy_wh=energy_wh)
    return PeriodBill(
        orders_count=len(counted),
        energy_wh=energy_wh,
        used_wh=sum(order.included_wh for order in counted),
        service_fee_fen=service_fee_fen,
        cap_fen=cap,
        price_fen=price_fen,
        package_fee_fen=max(0, min(price_fen, cap - service_fee_fen)),
    )
