"""A session as its resident sees it: a snapshot from PostgreSQL, then every sample with the running cost."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec

from backend.charging.rules.billing import Bill, MeterPoint
from backend.charging.schemas import CostOut, SessionMessage, SessionOut, cost_out, session_out
from backend.charging.service import allowances, metering, orders, sessions
from backend.charging.store import SessionView
from backend.core.clock import Clock
from backend.core.live import Live
from backend.telemetry import service as telemetry
from backend.telemetry.service import ConnectorState

QUIET_S = 20.0
"""A ping after this long without a message, so that proxies and phones keep the connection."""
LOOK_EVERY = timedelta(seconds=15)
"""So often the session is read again while samples come: word of its end may be lost with a connection to Valkey, and
the samples of the next car are nobody's to see."""


async def present(session: SessionView, *, clock: Clock, locale: str) -> tuple[SessionOut, metering.RunningMeter]:
    """The session now, from PostgreSQL, and a meter that goes on from there."""
    now = clock.now()
    states = await telemetry.connector_states(connector_ids=[session.connector_id])
    measured = await metering.measure(session, until=now)
    order = await orders.find_order_of_session(session_id=session.id)
    allowance = await allowances.allowance_of(session, lock=False) if order is None else None
    if order is None:
        bill = Bill(lines=())
        if not {"rollback", "reset"} & set(measured.doubts):
            bill = metering.price(session, measured.points, allowance=allowance)
        fee, parking = 0, orders.parking_fee(session, until=now) if bill.energy_wh else 0
    else:
        bill = Bill(lines=order.lines)
        fee, parking = order.overstay_fee_fen, order.parking_fee_fen
        if order.status == "open" and bill.energy_wh:
            parking = orders.parking_fee(session, until=now)
            fee = await orders.current_overstay_fee(session, overstay_from_at=order.overstay_from_at or now, until=now)
    shown = session_out(
        session,
        state=states.get(session.connector_id),
        cost=cost_out(bill, overstay_fee_fen=fee, parking_fee_fen=parking),
        order_id=None if order is None else order.id,
        locale=locale,
    )
    return shown, metering.RunningMeter(session, measured.points, allowance=allowance)


async def watch_session(
    *, session_id: UUID, account_id: UUID, live: Live, clock: Clock, locale: str
) -> AsyncGenerator[SessionMessage, None]:
    """Yield the session, then what happens to it; subscribed before the snapshot is read, so that nothing is missed."""
    session = await sessions.get_session(session_id=session_id, account_id=account_id)
    of_connector, of_session = f"connector:{session.connector_id}", f"session:{session_id}"
    subscription = await live.subscribed(of_connector, of_session)
    try:
        session = await sessions.get_session(session_id=session_id, account_id=account_id)
        shown, meter = await present(session, clock=clock, locale=locale)
        looked_at = clock.now()
        yield SessionMessage(type="snapshot", session=shown)
        while True:
            try:
                async with asyncio.timeout(QUIET_S):
                    channel, data = await anext(subscription)
            except TimeoutError:
                yield SessionMessage(type="ping")
                continue
            if channel == of_connector:
                known = session.status
                if clock.now() - looked_at >= LOOK_EVERY:
                    looked_at = clock.now()
                    session = await sessions.get_session(session_id=session_id, account_id=account_id)
                if session.status == known:
                    if known not in ("ended", "failed"):
                        state = msgspec.json.decode(data, type=ConnectorState)
                        shown = _with_sample(session, shown, state, meter, locale)
                        yield SessionMessage(type="sample", session=shown)
                    continue
            else:
                message: dict[str, Any] = msgspec.json.decode(data)
                if message.get("type") == "warning":
                    yield SessionMessage(type="warning", warning=message.get("warning"))
                    continue
                session = await sessions.get_session(session_id=session_id, account_id=account_id)
            shown, meter = await present(session, clock=clock, locale=locale)
            yield SessionMessage(type="status", session=shown)
    finally:
        subscription.close()


def _with_sample(
    session: SessionView, shown: SessionOut, state: ConnectorState, meter: metering.RunningMeter, locale: str
) -> SessionOut:
    cost: CostOut = shown.cost
    if session.started_at is not None and state.meter_wh is not None and state.observed_at is not None:
        bill = meter.take(MeterPoint(state.observed_at, state.meter_wh))
        parking = orders.parking_fee(session, until=state.observed_at) if bill.energy_wh else 0
        cost = cost_out(bill, parking_fee_fen=parking)
    return session_out(session, state=state, cost=cost, order_id=shown.order_id, locale=locale)
