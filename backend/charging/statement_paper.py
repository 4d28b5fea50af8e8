"""The statement as a PDF, in Chinese: packages with the cap spelled out, then every order."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import msgspec

from backend.agreements.rules.terms import BEIJING
from backend.charging.rules.words import kwh, yuan
from backend.charging.store_orders import OrderView
from backend.charging.store_statements import StatementView
from backend.core.typeset import typeset_in_thread

TEMPLATE = Path(__file__).parent / "texts" / "statement.typ"
STATUS = {"unpaid": "待支付", "paid": "已支付", "free": "无需支付"}
ORDER_STATUS = {"unpaid": "待支付", "paid": "已支付", "free": "无需支付", "open": "未完结", "review": "复核中"}


class PackageLine(msgspec.Struct, frozen=True, kw_only=True):
    """A package and how the cap was applied, ready to print."""

    name: str
    period: str
    energy: str
    included: str
    used: str
    cap: str
    service: str
    price: str
    fee: str


class OrderLine(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the orders."""

    day: str
    station: str
    energy: str
    energy_fee: str
    service_fee: str
    other: str
    discount: str
    total: str
    status: str


class StatementPaper(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is printed."""

    month: str
    number: str
    company: str
    hotline: str
    made: str
    status: str
    energy: str
    energy_fee: str
    service_fee: str
    overstay_fee: str
    parking_fee: str
    discount: str
    orders_total: str
    package_fee: str
    packages: list[PackageLine]
    orders: list[OrderLine]


def _wall(at: datetime) -> str:
    return f"{at.astimezone(BEIJING):%Y-%m-%d %H:%M}"


def paper_of(
    statement: StatementView, orders: Sequence[tuple[OrderView, str]], *, company: str, hotline: str
) -> StatementPaper:
    """Return what is printed; `orders` come with the names of their stations. It names no resident."""
    month = statement.starts_at.astimezone(BEIJING)
    return StatementPaper(
        month=f"{month.year}年{month.month}月",
        number=str(statement.id),
        company=company,
        hotline=hotline,
        made=_wall(statement.made_at),
        status=STATUS[statement.status],
        energy=kwh(statement.energy_wh),
        energy_fee=yuan(statement.energy_fee_fen),
        service_fee=yuan(statement.service_fee_fen),
        overstay_fee=yuan(statement.overstay_fee_fen),
        parking_fee=yuan(statement.parking_fee_fen),
        discount=yuan(statement.discount_fen),
        orders_total=yuan(statement.orders_total_fen),
        package_fee=yuan(statement.package_fee_fen),
        packages=[
            PackageLine(
                name=line.name_zh,
                period=f"{_wall(line.starts_at)} 至 {_wall(line.ends_at)}",
                energy=kwh(line.energy_wh),
                included=kwh(line.included_wh),
                used=kwh(line.used_wh),
                cap=yuan(line.cap_fen),
                service=yuan(line.service_fee_fen),
                price=yuan(line.price_fen),
                fee=yuan(line.package_fee_fen),
            )
            for line in statement.packages
        ],
        orders=[
            OrderLine(
                day=_wall(order.starts_at or order.opened_at),
                station=station,
                energy=kwh(order.energy_wh),
                energy_fee=yuan(order.energy_fee_fen),
                service_fee=yuan(order.service_fee_fen),
                other=yuan(order.overstay_fee_fen + order.parking_fee_fen),
                discount=yuan(order.discount_fen),
                total=yuan(order.total_fen),
                status=ORDER_STATUS[order.status],
            )
            for order, station in orders
        ],
    )


async def render(paper: StatementPaper) -> bytes:
    """Return the PDF."""
    return await typeset_in_thread(TEMPLATE, {"paper": msgspec.json.encode(paper).decode()})
