"""The demo's prices: the bands of Beijing from 2023-09-01 and prices named in domain.md, by class of supply.

The service prices are ours: an agreement pays at most 0.50 yuan/kWh (P 8), everybody else the market price.
"""

from datetime import UTC, datetime

from backend.tariffs.rules.bands import ParkingTerms
from backend.tariffs.rules.versions import Price, Span

EFFECTIVE_FROM = datetime(2026, 7, 31, 16, 0, tzinfo=UTC)
"""2026-08-01 00:00 in Beijing."""

SUMMER, WINTER = (7, 8), (1, 12)
NOT_SUMMER = (1, 2, 3, 4, 5, 6, 9, 10, 11, 12)
NOT_WINTER = (2, 3, 4, 5, 6, 7, 8, 9, 10, 11)


def _hours(value: int) -> int:
    return value * 60


BELOW_1KV = (
    Span(band="valley", from_min=0, to_min=_hours(7)),
    Span(band="flat", from_min=_hours(7), to_min=_hours(10)),
    Span(band="peak", from_min=_hours(10), to_min=_hours(13)),
    Span(band="flat", from_min=_hours(13), to_min=_hours(17)),
    Span(band="peak", from_min=_hours(17), to_min=_hours(22)),
    Span(band="flat", from_min=_hours(22), to_min=_hours(23)),
    Span(band="valley", from_min=_hours(23), to_min=_hours(24)),
)

ABOVE_1KV = (
    Span(band="valley", from_min=0, to_min=_hours(7)),
    Span(band="flat", from_min=_hours(7), to_min=_hours(10)),
    Span(band="peak", from_min=_hours(10), to_min=_hours(11)),
    Span(band="sharp", from_min=_hours(11), to_min=_hours(13), months=SUMMER),
    Span(band="peak", from_min=_hours(11), to_min=_hours(13), months=NOT_SUMMER),
    Span(band="flat", from_min=_hours(13), to_min=_hours(16)),
    Span(band="sharp", from_min=_hours(16), to_min=_hours(17), months=SUMMER),
    Span(band="flat", from_min=_hours(16), to_min=_hours(17), months=NOT_SUMMER),
    Span(band="peak", from_min=_hours(17), to_min=_hours(18)),
    Span(band="sharp", from_min=_hours(18), to_min=_hours(21), months=WINTER),
    Span(band="peak", from_min=_hours(18), to_min=_hours(21), months=NOT_WINTER),
    Span(band="peak", from_min=_hours(21), to_min=_hours(22)),
    Span(band="flat", from_min=_hours(22), to_min=_hours(23)),
    Span(band="valley", from_min=_hours(23), to_min=_hours(24)),
)

ENERGY_E4 = {
    "below_1kv": {"peak": 10_737, "flat": 7970, "valley": 5476},
    "1_10kv_two_part": {"sharp": 10_578, "peak": 9268, "flat": 6813, "valley": 4358},
}
SERVICE_E4 = {
    "agreement": {"sharp": 5000, "peak": 5000, "flat": 4500, "valley": 3000},
    "market": {"sharp": 9000, "peak": 8000, "flat": 7000, "valley": 6000},
}
SPANS = {"below_1kv": BELOW_1KV, "1_10kv_two_part": ABOVE_1KV}

PARKING = ParkingTerms(
    free_min=24 * 60,
    text_zh="充电期间免停车费",
    text_en="No parking fee while charging",
)


def prices_of(supply_class: str) -> tuple[Price, ...]:
    """Return both classes' prices of every band of this supply class."""
    return tuple(
        Price(
            user_class="agreement" if user_class == "agreement" else "market",
            band=band,  # type: ignore[arg-type]
            energy_e4=energy_e4,
            service_e4=service[band],
        )
        for user_class, service in SERVICE_E4.items()
        for band, energy_e4 in ENERGY_E4[supply_class].items()
    )
