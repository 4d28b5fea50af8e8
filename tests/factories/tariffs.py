"""Tariff versions as tests need them, drafted, approved and published through the real use cases."""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from backend.core.ids import new_id
from backend.tariffs import service as tariffs
from backend.tariffs.rules.bands import ParkingTerms
from backend.tariffs.rules.versions import Price, Span, TariffVersionView

LONG_AGO = datetime(2024, 1, 1, tzinfo=UTC)

BEIJING_SPANS = (
    Span(band="valley", from_min=0, to_min=7 * 60),
    Span(band="flat", from_min=7 * 60, to_min=10 * 60),
    Span(band="peak", from_min=10 * 60, to_min=13 * 60),
    Span(band="flat", from_min=13 * 60, to_min=17 * 60),
    Span(band="peak", from_min=17 * 60, to_min=22 * 60),
    Span(band="flat", from_min=22 * 60, to_min=23 * 60),
    Span(band="valley", from_min=23 * 60, to_min=24 * 60),
)
"""Peak 10-13 and 17-22, flat 7-10, 13-17, 22-23, valley 23-7, all year (a supply below 1 kV)."""

ENERGY_E4 = {"sharp": 12_000, "peak": 10_737, "flat": 7970, "valley": 5476}
"""< 1 kV single, August 2026 (domain.md), and a sharp price made up for tests."""


def prices_for(
    spans: Sequence[Span], *, market_service_e4: int = 8000, agreement_service_e4: int = 4500
) -> tuple[Price, ...]:
    """Return both classes' prices of every band in `spans`."""
    bands = sorted({span.band for span in spans})
    return tuple(
        Price(user_class=user_class, band=band, energy_e4=ENERGY_E4[band], service_e4=service)
        for band in bands
        for user_class, service in (("agreement", agreement_service_e4), ("market", market_service_e4))
    )


async def publish_tariff(
    *,
    operator_company_id: UUID,
    station_id: UUID | None = None,
    supply_class: str = "below_1kv",
    effective_from: datetime = LONG_AGO,
    effective_to: datetime | None = None,
    spans: Sequence[Span] = BEIJING_SPANS,
    prices: Sequence[Price] | None = None,
    parking: ParkingTerms | None = None,
    now: datetime = LONG_AGO,
) -> TariffVersionView:
    """Draft by one person, approve and publish by another."""
    author, second = new_id(), new_id()
    companies = frozenset({operator_company_id})
    draft = await tariffs.draft_version(
        operator_company_id=operator_company_id,
        station_id=station_id,
        supply_class=supply_class,
        name="test",
        effective_from=effective_from,
        effective_to=effective_to,
        spans=spans,
        prices=prices_for(spans) if prices is None else prices,
        parking=parking or ParkingTerms(),
        actor_id=author,
        now=now,
    )
    await tariffs.approve_version(version_id=draft.id, company_ids=companies, actor_id=second, now=now)
    return await tariffs.publish_version(version_id=draft.id, company_ids=companies, actor_id=second, now=now)
