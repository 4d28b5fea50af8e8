"""A month of a company as it happens: cars, chargers, payers, staff and WeChat Pay, by a calendar of its own."""

import csv
import io
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from random import Random
from uuid import UUID

import httpx

from backend.agreements.service import packages
from backend.charging.service import orders
from backend.core.clock import SystemClock
from backend.core.services import Services
from backend.payments.gateways import PaymentGateways
from backend.payments.gateways.wechat_pay import WeChatPay
from backend.payments.service import PaymentSheet
from sandbox.wechat_pay import bills
from sandbox.wechat_pay.keys import Merchant, new_keys
from sandbox.wechat_pay.server import WeChatPayServer
from tests.factories.agreements import offer_package
from tests.factories.charging import answer, begin, idle, report, sample
from tests.factories.payments import add_merchant_account
from tests.factories.reservations import Resident, Scene, add_scene
from tests.factories.stations import Gun
from tests.factories.tariffs import BEIJING_SPANS, prices_for, publish_tariff
from tests.fakes import FixedClock
from tests.jobs import run_due_jobs, run_ticks
from tests.reports.independent import BEIJING, Charge, Reading

JUNE = datetime(2026, 6, 1, tzinfo=BEIJING)
PACKAGE_WH, PACKAGE_FEN = 9_000, 1_500
EDGES = (0, 7, 10, 13, 17, 22, 23)
Event = tuple[datetime, Callable[[], Awaitable[object]]]


@dataclass
class Car:
    """A driver at a connector of their own, and everything its charger said."""

    resident: Resident
    gun: Gun
    service_yuan: Fraction
    capped: bool
    meter: int = 1_000_000
    charges: dict[UUID, Charge] = field(default_factory=dict)


class TheMonth:
    """What happened so far; `charges` are the raw readings by session."""

    def __init__(
        self, *, scene: Scene, api: httpx.AsyncClient, services: Services, clock: FixedClock, server: WeChatPayServer
    ) -> None:
        self.scene = scene
        self.api = api
        self.services = services
        self.clock = clock
        self.server = server
        self.merchant: Merchant = server.keys.merchants[0]
        agreed, market = Fraction("0.5"), Fraction("0.8")
        self.alice = Car(scene.alice, scene.place.ac, agreed, capped=True)
        self.bob = Car(scene.bob, scene.place.dc, agreed, capped=True)
        self.charlie = Car(scene.charlie, scene.place.public, market, capped=False)
        self.cars = (self.alice, self.bob, self.charlie)

    async def day(self, date: datetime, random: Random) -> None:
        """Let every car charge, interleaved as it comes; in the evening everybody pays."""
        events: list[Event] = []
        for car in self.cars:
            events += self._charge(car, date, random)
        for at, happen in sorted(events, key=lambda event: event[0]):
            self.clock.move_to(at)
            await happen()
        self.clock.move_to(date + timedelta(hours=34))
        await self.pay_all(random)

    def _charge(self, car: Car, date: datetime, random: Random) -> list[Event]:
        """One charge, near the edge of a band as often as not; its readings are kept as the charger gave them."""
        start = date + timedelta(hours=random.choice(EDGES), seconds=random.randrange(-600, 600))
        if random.random() < 0.4:
            start = date + timedelta(seconds=random.randrange(3600, 80_000))
        accepted = start + timedelta(seconds=1)
        readings = [Reading(accepted, car.meter)]
        at = accepted + timedelta(seconds=2)
        for _ in range(random.randrange(2, 9)):
            at += timedelta(seconds=random.randrange(15, 290), milliseconds=random.randrange(1000))
            car.meter += random.choice((0, 1, random.randrange(1, 40), random.randrange(40, 2500)))
            readings.append(Reading(at, car.meter))
        end = at + timedelta(seconds=random.randrange(1, 30))
        readings.append(Reading(end, car.meter))
        first, last, gun = readings[0].wh, car.meter, car.gun

        async def arrive() -> None:
            await idle(gun, now=start - timedelta(seconds=5), meter_wh=first)

        async def plug() -> None:
            session = await begin(car.resident, gun, now=start)
            left = PACKAGE_WH - sum(int(str(x["included_wh"])) for c in car.charges.values() for x in c.lines)
            car.charges[session.id] = Charge(
                readings, car.service_yuan, car.capped, package_left_wh=left if car is self.alice else 0
            )
            await answer(gun, "start", now=accepted)
            await self.work()
            await report(gun, "session_started", now=accepted + timedelta(seconds=1), session=session, meter_wh=first)
            await self.work(2)

        async def stop() -> None:
            session_id = list(car.charges)[-1]
            await report(gun, "session_ended", now=end, session_id=str(session_id), meter_wh=last, reason="target")
            await sample(gun, now=end + timedelta(seconds=1), meter_wh=last, status="finishing", power_w=0)
            await self.work(2)

        async def leave() -> None:
            at = end + timedelta(minutes=1)
            await report(gun, "unplugged", now=at)
            await idle(gun, now=at + timedelta(seconds=1), meter_wh=last)
            await self.work(2)

        def say(reading: Reading) -> Event:
            return reading.at, lambda: sample(gun, now=reading.at, meter_wh=reading.wh)

        return [
            (start - timedelta(seconds=5), arrive),
            (start, plug),
            *(say(reading) for reading in readings[1:-1]),
            (end, stop),
            (end + timedelta(minutes=1), leave),
        ]

    async def work(self, seconds: int = 0) -> None:
        """Let a worker do what is due."""
        await run_due_jobs(now=self.clock.now() + timedelta(seconds=seconds), services=self.services)

    async def pay_all(self, random: Random) -> None:
        """Pay every bill; the callbacks come shuffled, several times, with forgeries between them."""
        sheets = [
            await orders.pay_order(
                order_id=order.id,
                account_id=car.resident.account_id,
                channel="wechat_app",
                services=self.services,
                now=self.clock.now(),
            )
            for car in self.cars
            for order in await orders.list_orders(account_id=car.resident.account_id, status="unpaid", limit=5)
        ]
        await self.pay(sheets, random)

    async def pay(self, sheets: list[PaymentSheet], random: Random) -> None:
        """Pay these sheets."""
        deliveries: list[tuple[bytes, dict[str, str], set[int]]] = []
        for sheet in sheets:
            self.server.lost_callbacks.add("lose_callback")
            trade = await self.server.pay(sheet.number)
            body = self.server.callbacks.build(
                merchant=self.merchant,
                event_type="TRANSACTION.SUCCESS",
                original_type="transaction",
                summary="支付成功",
                resource=self.server._trade_view(trade),
            )
            headers = self.server.callbacks.headers(body)
            deliveries += [(body, headers, {200, 409})] * 2
            deliveries += [(body, self.server.callbacks.headers(body), {200}) for _ in range(random.randrange(3))]
            deliveries.append((body.replace(b"transaction", b"transactioN"), headers, {401}))
        random.shuffle(deliveries)
        path = f"/v1/payments/wechat/{self.merchant.mchid}/notify"
        for body, headers, expected in deliveries:
            assert (await self.api.post(path, content=body, headers=headers)).status_code in expected
        await self.work()

    async def refund(self, order_id: UUID, amount: int, headers: dict[str, str]) -> None:
        """Let an operator give a part back; WeChat Pay settles it at once and our check finds out."""
        body = {"order_id": str(order_id), "amount_fen": amount, "reason": "=1+1 设备故障补偿"}
        made = await self.api.post("/v1/operator/refunds", json=body, headers=headers)
        assert (made.status_code, made.json()["state"]) == (201, "approved"), made.text
        for seconds in (0, 15, 120):
            self.clock.advance(seconds=seconds)
            await self.work()

    async def next_morning(self) -> None:
        """Hold yesterday's bill against the books."""
        morning = self.clock.now().astimezone(BEIJING).replace(hour=10, minute=20)
        self.clock.move_to(max(morning, self.clock.now()))
        await run_ticks("payments.reconcile", now=self.clock.now(), services=self.services)

    def provider_bill(self, day: datetime) -> list[tuple[str, int]]:
        """Read the provider's bill of a day as text: (our number, fen), a refund negative."""
        rows = bills.rows_of(self.server.books, self.merchant, day.strftime("%Y-%m-%d"))
        table = list(csv.DictReader(io.StringIO(bills.render(rows).decode("utf-8-sig"))))
        found = []
        for row in table:
            if row["交易状态"] == "`SUCCESS":
                found.append((row["商户订单号"][1:], int(Decimal(row["订单金额"][1:]) * 100)))
            elif row["交易状态"] == "`REFUND":
                found.append((row["商户退款单号"][1:], -int(Decimal(row["申请退款金额"][1:]) * 100)))
        return found


@asynccontextmanager
async def a_month(*, api: httpx.AsyncClient, services: Services, clock: FixedClock) -> AsyncIterator[TheMonth]:
    """Open the company on 1 June: tariff, merchant account, alice's bundle, WeChat Pay by the same calendar."""
    clock.move_to(JUNE - timedelta(hours=1))
    scene = await add_scene()
    await publish_tariff(
        operator_company_id=scene.company_id, prices=prices_for(BEIJING_SPANS, agreement_service_e4=5000)
    )
    server = WeChatPayServer(
        keys=new_keys(appid="wx1234567890abcdef", merchants=1),
        clock=lambda: clock.now().timestamp(),
        signing_clock=lambda: SystemClock().now().timestamp(),
        retry_gaps_s=(),
        refund_delay_s=0,
    )
    await server.http.start(host="127.0.0.1", port=0)
    await add_merchant_account(operator_company_id=scene.company_id, merchant=server.keys.merchants[0], now=clock.now())
    gateway = WeChatPay(url=f"http://127.0.0.1:{server.http.port}", public_url="http://127.0.0.1:9")
    services.put(PaymentGateways, PaymentGateways({"wechat_pay": gateway}))
    package_id = await offer_package(
        operator_company_id=scene.company_id, price_fen=PACKAGE_FEN, included_wh=PACKAGE_WH
    )
    agreement_id = scene.alice.agreement_id
    assert agreement_id is not None
    await packages.choose_package(
        account_id=scene.alice.account_id, agreement_id=agreement_id, package_id=package_id, now=JUNE
    )
    try:
        yield TheMonth(scene=scene, api=api, services=services, clock=clock, server=server)
    finally:
        await gateway.close_clients()
        await server.close()
