"""What clients read of statements."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from backend.agreements.rules.terms import BEIJING
from backend.charging.schemas import OrderOut, order_out
from backend.charging.store_orders import OrderView
from backend.charging.store_statements import StatementCorrectionView, StatementPackageView, StatementView


class StatementPackageOut(msgspec.Struct, frozen=True, kw_only=True):
    """A package of the period: `package_fee_fen` = min(price_fen, cap_fen - service_fee_fen)."""

    agreement_id: Annotated[UUID, Meta(description="The agreement that had it")]
    package_id: Annotated[UUID, Meta(description="The package")]
    kind: Annotated[str, Meta(description="pay_as_you_go, valley, bundle or trial")]
    name: Annotated[str, Meta(description="Its name in the caller's language")]
    starts_at: Annotated[datetime, Meta(description="Begin of the part of the month in which it was had")]
    ends_at: Annotated[datetime, Meta(description="End, exclusive")]
    orders_count: Annotated[int, Meta(description="Orders that started in it, of all drivers of the agreement")]
    energy_wh: Annotated[int, Meta(description="Their energy, Wh")]
    included_wh: Annotated[int, Meta(description="Energy the package frees of service fee in this part, Wh")]
    used_wh: Annotated[int, Meta(description="Of that, what was used, Wh")]
    service_fee_fen: Annotated[int, Meta(description="Service fees of these orders, fen")]
    cap_fen: Annotated[int, Meta(description="0.5 yuan/kWh on their energy, rounded down, fen")]
    price_fen: Annotated[int, Meta(description="Price of the package for this part of the month, fen")]
    package_fee_fen: Annotated[int, Meta(description="What it costs: the price, or what the cap leaves, fen")]


class StatementCorrectionOut(msgspec.Struct, frozen=True, kw_only=True):
    """A package line before and after an order of its period was corrected."""

    order_id: Annotated[UUID, Meta(description="The order that was corrected")]
    reason: Annotated[str, Meta(description="The reason of its correction")]
    corrected_at: Annotated[datetime, Meta(description="When")]
    difference_fen: Annotated[int, Meta(description="fen; negative: given back, positive: to pay")]
    before: Annotated[StatementPackageOut, Meta(description="The line as it was")]
    after: Annotated[StatementPackageOut, Meta(description="The line as it became")]


class StatementOut(msgspec.Struct, frozen=True, kw_only=True):
    """A month with one operator company. Orders are paid by themselves; the statement asks for the package fee."""

    id: Annotated[UUID, Meta(description="The statement")]
    operator_company_id: Annotated[UUID, Meta(description="With which company")]
    month: Annotated[str, Meta(description="Beijing month", examples=["2026-06"])]
    starts_at: Annotated[datetime, Meta(description="Begin of the month")]
    ends_at: Annotated[datetime, Meta(description="End of the month, exclusive")]
    status: Annotated[str, Meta(description="unpaid, paid, or free (no package fee)")]
    orders_count: Annotated[int, Meta(description="Orders in it")]
    energy_wh: Annotated[int, Meta(description="Energy of the orders, Wh")]
    energy_fee_fen: Annotated[int, Meta(description="Energy fees, fen")]
    service_fee_fen: Annotated[int, Meta(description="Service fees, fen")]
    overstay_fee_fen: Annotated[int, Meta(description="Overstay fees, fen")]
    parking_fee_fen: Annotated[int, Meta(description="Parking fees, fen")]
    discount_fen: Annotated[int, Meta(description="Discounts taken off, fen")]
    orders_total_fen: Annotated[int, Meta(description="Total of the orders, paid by themselves, fen")]
    package_fee_fen: Annotated[int, Meta(description="To pay for packages, fen")]
    total_fen: Annotated[int, Meta(description="What the month cost: orders and packages, fen")]
    to_pay_fen: Annotated[
        int, Meta(description="What POST …/pay asks for now, fen; of a paid one, what corrections added")
    ]
    made_at: Annotated[datetime, Meta(description="When it was made")]
    paid_at: Annotated[datetime | None, Meta(description="When its package fee was paid")]
    packages: Annotated[list[StatementPackageOut], Meta(description="How the cap was applied, by package period")]
    corrections: Annotated[
        list[StatementCorrectionOut] | None, Meta(description="Of package lines, oldest first; null in lists")
    ] = None
    orders: Annotated[list[OrderOut] | None, Meta(description="Every order with its lines; null in lists")] = None


def _package(line: StatementPackageView, locale: str) -> StatementPackageOut:
    shown = msgspec.structs.asdict(line)
    zh, en = shown.pop("name_zh"), shown.pop("name_en")
    return StatementPackageOut(name=en if locale == "en" else zh, **shown)


def statement_out(
    statement: StatementView,
    *,
    locale: str,
    more_fen: int = 0,
    orders: list[OrderView] | None = None,
    corrections: list[StatementCorrectionView] | None = None,
) -> StatementOut:
    """Show a statement; `more_fen` is what corrections added to a paid one."""
    values = msgspec.structs.asdict(statement)
    for name in ("account_id", "payment_id", "packages"):
        del values[name]
    return StatementOut(
        **values,
        month=month_of_statement(statement),
        total_fen=statement.orders_total_fen + statement.package_fee_fen,
        to_pay_fen=statement.package_fee_fen if statement.status == "unpaid" else more_fen,
        packages=[_package(line, locale) for line in statement.packages],
        corrections=None if corrections is None else [_correction(view, locale) for view in corrections],
        orders=None if orders is None else [order_out(order) for order in orders],
    )


def _correction(view: StatementCorrectionView, locale: str) -> StatementCorrectionOut:
    return StatementCorrectionOut(
        order_id=view.order_id,
        reason=view.reason,
        corrected_at=view.corrected_at,
        difference_fen=view.difference_fen,
        before=_package(view.before, locale),
        after=_package(view.after, locale),
    )


def month_of_statement(statement: StatementView) -> str:
    """The month as people and files name it; a statement begins at midnight in Beijing."""
    return f"{statement.starts_at.astimezone(BEIJING):%Y-%m}"
