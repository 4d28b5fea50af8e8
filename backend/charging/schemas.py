"""What clients send and read of sessions and orders."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from backend.charging.rules.billing import Bill, BillLine
from backend.charging.store import SessionView
from backend.charging.store_orders import DisputeView, OrderView
from backend.telemetry.service import ConnectorState

NO_BATTERY_TEXT = {
    "en": "no battery data",
    "zh-CN": "无电池数据（no battery data）",
}


class StartBody(msgspec.Struct, frozen=True):
    """Where, which car, and when to stop."""

    vehicle_id: Annotated[UUID, Meta(description="One of the caller's vehicles")]
    connector_id: Annotated[UUID | None, Meta(description="The connector; or give `qr`")] = None
    qr: Annotated[str, Meta(description="The text of the QR code on the connector", max_length=128)] | None = None
    target_soc_pct: (
        Annotated[float, Meta(description="Stop at this state of charge, %; DC only", gt=0, le=100, examples=[80])]
        | None
    ) = None
    target_energy_wh: Annotated[int, Meta(description="Stop after this energy, Wh", gt=0, le=1_000_000)] | None = None
    departs_at: Annotated[datetime, Meta(description="When the car leaves; charging stops by then", tz=True)] | None = (
        None
    )


class LineOut(msgspec.Struct, frozen=True):
    """One printed line of a bill."""

    band: Annotated[str, Meta(description="sharp, peak, flat or valley (尖峰平谷)")]
    energy_wh: Annotated[int, Meta(description="Energy of the band, Wh")]
    energy_e4: Annotated[int, Meta(description="Energy price, 1/10000 yuan per kWh")]
    service_e4: Annotated[int, Meta(description="Service price, 1/10000 yuan per kWh")]
    energy_fee_fen: Annotated[int, Meta(description="Energy fee, fen")]
    service_fee_fen: Annotated[int, Meta(description="Service fee, fen")]
    included_wh: Annotated[int, Meta(description="Of the energy, what a package frees of service fee, Wh")] = 0


class CostOut(msgspec.Struct, frozen=True, kw_only=True):
    """What the session costs so far, by line."""

    lines: Annotated[list[LineOut], Meta(description="One per band")]
    energy_wh: Annotated[int, Meta(description="Energy so far, Wh")]
    energy_fee_fen: Annotated[int, Meta(description="Energy fee so far, fen")]
    service_fee_fen: Annotated[int, Meta(description="Service fee so far, fen")]
    overstay_fee_fen: Annotated[int, Meta(description="Overstay fee so far, fen")] = 0
    parking_fee_fen: Annotated[int, Meta(description="Parking fee so far, fen")] = 0
    total_fen: Annotated[int, Meta(description="Sum so far, fen")]


class BatteryOut(msgspec.Struct, frozen=True, kw_only=True):
    """What the car's battery says; only on DC."""

    soc_pct: Annotated[float | None, Meta(description="State of charge, %")]
    temp_max_c: Annotated[float | None, Meta(description="Highest battery temperature, °C")]
    temp_min_c: Annotated[float | None, Meta(description="Lowest battery temperature, °C")]
    cell_v_max: Annotated[float | None, Meta(description="Highest cell voltage, V")]
    remaining_min: Annotated[float | None, Meta(description="The car's own estimate, min")]


class SessionOut(msgspec.Struct, frozen=True, kw_only=True):
    """A session with its live values."""

    id: UUID
    status: Annotated[str, Meta(description="requested, starting, charging, ending, ended or failed")]
    station_id: UUID
    connector_id: UUID
    vehicle_id: UUID
    kind: Annotated[str, Meta(description="ac or dc")]
    user_class: Annotated[str, Meta(description="agreement or market, as of the start, for the whole session")]
    reservation_id: UUID | None
    requested_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    ends_at: Annotated[datetime, Meta(description="Until when the connector is held; charging stops by then")]
    end_reason: Annotated[str | None, Meta(description="Why it ended or failed")]
    target_soc_pct: float | None
    target_energy_wh: int | None
    departs_at: datetime | None
    online: Annotated[bool, Meta(description="Whether the charger is in contact; if not, values are the last heard")]
    observed_at: Annotated[datetime | None, Meta(description="When the live values were measured")]
    power_w: Annotated[int | None, Meta(description="Power now, W")]
    energy_wh: Annotated[int, Meta(description="Energy so far, Wh")]
    soc_pct: Annotated[float | None, Meta(description="State of charge, %; null on AC")]
    temp_max_c: Annotated[float | None, Meta(description="Highest battery temperature, °C; null on AC")]
    battery: Annotated[BatteryOut | Literal["none"], Meta(description='Battery values, or "none" where there are none')]
    battery_text: Annotated[str | None, Meta(description='"no battery data" in the caller\'s language on AC')]
    cost: CostOut
    order_id: Annotated[UUID | None, Meta(description="The bill, once it is settled")]


class SessionMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A live message: `snapshot` and `status` carry the session, `sample` the newest values, `warning` an alert."""

    type: Literal["snapshot", "status", "sample", "warning", "ping"]
    session: SessionOut | None = None
    warning: dict[str, str | float | None] | None = None


class DisputeBody(msgspec.Struct, frozen=True):
    """What is wrong with the bill."""

    reason: Annotated[str, Meta(description="In the resident's words", min_length=1, max_length=1000)]


class AnswerBody(msgspec.Struct, frozen=True):
    """The operator's words."""

    text: Annotated[str, Meta(description="Shown to the resident", min_length=1, max_length=1000)]


class PayBody(msgspec.Struct, frozen=True):
    """How to pay."""

    channel: Annotated[str, Meta(description="Payment channel", examples=["wechat_jsapi"], max_length=40)]


class DisputeOut(msgspec.Struct, frozen=True, kw_only=True):
    """A dispute and its answer."""

    id: UUID
    status: str
    reason: str
    opened_at: datetime
    answer: str | None
    answered_at: datetime | None


class OrderOut(msgspec.Struct, frozen=True, kw_only=True):
    """A bill. `total_fen` = energy + service + overstay + parking - discount; the lines add up to the first two."""

    id: UUID
    session_id: UUID
    station_id: UUID
    status: Annotated[
        str, Meta(description="open (car still there), review (a person looks), unpaid, paid, or free (nothing to pay)")
    ]
    user_class: Annotated[str, Meta(description="agreement (service fee at most 0.5 yuan/kWh) or market")]
    energy_wh: Annotated[int, Meta(description="Energy, Wh")]
    lines: list[LineOut]
    energy_fee_fen: Annotated[int, Meta(description="Energy fee, fen")]
    service_fee_fen: Annotated[int, Meta(description="Service fee, fen")]
    overstay_fee_fen: Annotated[int, Meta(description="Overstay fee, fen")]
    parking_fee_fen: Annotated[int, Meta(description="Parking fee, fen")]
    discount_fen: Annotated[int, Meta(description="Discount taken off, fen")]
    total_fen: Annotated[int, Meta(description="What it costs, fen")]
    to_pay_fen: Annotated[
        int,
        Meta(description="What POST /v1/orders/{id}/pay asks for now, fen; if paid, what a correction added"),
    ]
    review_reasons: Annotated[list[str], Meta(description="Why a person looks at it: rollback, reset, gap, ...")]
    tariff_version_id: Annotated[UUID, Meta(description="The tariff version in force when the session started")]
    starts_at: datetime | None
    ends_at: datetime | None
    opened_at: datetime
    closed_at: datetime | None
    parked_until_at: Annotated[
        datetime | None, Meta(description="Until when parking counted: from `starts_at` to the car's leaving")
    ]
    paid_at: datetime | None
    payment_id: UUID | None
    disputes: list[DisputeOut] = []


def lines_out(lines: tuple[BillLine, ...]) -> list[LineOut]:
    """Show the lines of a bill."""
    return [
        LineOut(x.band, x.energy_wh, x.energy_e4, x.service_e4, x.energy_fee_fen, x.service_fee_fen, x.included_wh)
        for x in lines
    ]


def cost_out(bill: Bill, *, overstay_fee_fen: int = 0, parking_fee_fen: int = 0) -> CostOut:
    """Show the running cost."""
    return CostOut(
        lines=lines_out(bill.lines),
        energy_wh=bill.energy_wh,
        energy_fee_fen=bill.energy_fee_fen,
        service_fee_fen=bill.service_fee_fen,
        overstay_fee_fen=overstay_fee_fen,
        parking_fee_fen=parking_fee_fen,
        total_fen=bill.total_fen + overstay_fee_fen + parking_fee_fen,
    )


def session_out(
    session: SessionView, *, state: ConnectorState | None, cost: CostOut, order_id: UUID | None, locale: str
) -> SessionOut:
    """Show a session with what is known of its connector now; live values only while it holds the connector."""
    live = state if session.status not in ("ended", "failed") else None
    has_battery = live is not None and session.kind == "dc" and live.soc_pct is not None
    battery: BatteryOut | Literal["none"] = "none"
    if live is not None and has_battery:
        battery = BatteryOut(
            soc_pct=live.soc_pct,
            temp_max_c=live.temp_max_c,
            temp_min_c=live.temp_min_c,
            cell_v_max=live.cell_v_max,
            remaining_min=live.remaining_min,
        )
    is_ac = session.kind == "ac"
    return SessionOut(
        id=session.id,
        status=session.status,
        station_id=session.station_id,
        connector_id=session.connector_id,
        vehicle_id=session.vehicle_id,
        kind=session.kind,
        user_class=session.user_class,
        reservation_id=session.reservation_id,
        requested_at=session.requested_at,
        started_at=session.started_at,
        ended_at=session.ended_at,
        ends_at=session.limit_at,
        end_reason=session.end_reason,
        target_soc_pct=session.target_soc_pct,
        target_energy_wh=session.target_energy_wh,
        departs_at=session.departs_at,
        online=state is not None and state.online,
        observed_at=None if live is None else live.observed_at,
        power_w=None if live is None else live.power_w,
        energy_wh=cost.energy_wh,
        soc_pct=live.soc_pct if live is not None and has_battery else None,
        temp_max_c=live.temp_max_c if live is not None and has_battery else None,
        battery=battery,
        battery_text=NO_BATTERY_TEXT.get(locale, NO_BATTERY_TEXT["zh-CN"]) if is_ac else None,
        cost=cost,
        order_id=order_id,
    )


def order_out(order: OrderView, disputes: list[DisputeView] | None = None, *, more_fen: int = 0) -> OrderOut:
    """Show a bill; `more_fen` is what a correction added to a paid one."""
    return OrderOut(
        id=order.id,
        session_id=order.session_id,
        station_id=order.station_id,
        status=order.status,
        user_class=order.user_class,
        energy_wh=order.energy_wh,
        lines=lines_out(order.lines),
        energy_fee_fen=order.energy_fee_fen,
        service_fee_fen=order.service_fee_fen,
        overstay_fee_fen=order.overstay_fee_fen,
        parking_fee_fen=order.parking_fee_fen,
        discount_fen=order.discount_fen,
        total_fen=order.total_fen,
        to_pay_fen=order.total_fen if order.status == "unpaid" else more_fen,
        review_reasons=list(order.review_reasons),
        tariff_version_id=order.tariff.version_id,
        starts_at=order.starts_at,
        ends_at=order.ends_at,
        opened_at=order.opened_at,
        closed_at=order.closed_at,
        parked_until_at=order.parked_until_at,
        paid_at=order.paid_at,
        payment_id=order.payment_id,
        disputes=[dispute_out(d) for d in disputes or []],
    )


def dispute_out(dispute: DisputeView) -> DisputeOut:
    """Show a dispute."""
    return DisputeOut(
        id=dispute.id,
        status=dispute.status,
        reason=dispute.reason,
        opened_at=dispute.opened_at,
        answer=dispute.answer,
        answered_at=dispute.answered_at,
    )
