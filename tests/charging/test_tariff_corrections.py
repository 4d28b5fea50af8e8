"""A mispublished version corrected over its orders: by two people, idempotent, resumable; and previews of versions."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.charging.rules.billing import BillLine, cap_fen, fee_fen, keep_cap
from backend.charging.rules.repricing import reprice
from backend.charging.service import orders, tariff_corrections
from backend.charging.store_orders import OrderView
from backend.core import db
from backend.core.ids import new_id
from backend.core.services import Services
from backend.payments import service as payments
from backend.tariffs import service as tariffs
from backend.tariffs.rules.bands import ParkingTerms
from backend.tariffs.rules.versions import Span
from tests.cast import ALICE, LI, QIAN, SUN, ZHOU
from tests.charging.months import DAY, HOUR, NOON, Month, a_month
from tests.factories.accounts import log_in
from tests.factories.charging import add_bill, charge, idle, leave, order_of
from tests.factories.tariffs import BEIJING_SPANS, prices_for
from tests.fakes import FixedClock
from tests.jobs import run_due_jobs

MINUTE = timedelta(minutes=1)
BANDS = ("sharp", "peak", "flat", "valley")
OTHER_SPANS = tuple(
    Span(band="valley", from_min=s.from_min, to_min=s.to_min) if s.from_min == 600 else s for s in BEIJING_SPANS
)
"""10 to 13 is valley instead of peak."""

pytestmark = pytest.mark.usefixtures("database")


class Office:
    """Li and Qian correct what Li mispublished, over HTTP."""

    def __init__(self, month: Month, api: httpx.AsyncClient, clock: FixedClock, heads: dict[str, Any]) -> None:
        self.month, self.api, self.clock, self.heads = month, api, clock, heads

    async def do(self, verb: str, path: str, *, who: str = "li", expect: int = 200, **kwargs: Any) -> Any:
        answer = await self.api.request(verb, path, headers=self.heads[who], **kwargs)
        assert answer.status_code == expect, answer.text
        return answer.json()

    async def wrong(self) -> UUID:
        found: UUID = await db.fetchval("SELECT id FROM tariff_version WHERE status = 'published'")
        return found

    async def right(self, **terms: Any) -> UUID:
        """An approved version with other prices."""
        spans = terms.pop("spans", BEIJING_SPANS)
        values: dict[str, Any] = {
            "operator_company_id": self.month.scene.company_id,
            "station_id": None,
            "supply_class": "below_1kv",
            "name": "right",
            "effective_from": NOON + 300 * DAY,
            "effective_to": None,
            "spans": spans,
            "prices": prices_for(spans, agreement_service_e4=2000, market_service_e4=7000),
            "parking": ParkingTerms(),
            "actor_id": self.month.li,
            "now": self.month.now,
        }
        draft = await tariffs.draft_version(**(values | terms))
        own = frozenset({self.month.scene.company_id})
        await tariffs.approve_version(version_id=draft.id, company_ids=own, actor_id=new_id(), now=self.month.now)
        return draft.id

    async def corrected(self, replacement_id: UUID) -> dict[str, Any]:
        """Propose as li, approve as qian, and let the jobs run."""
        body = {"tariff_id": str(await self.wrong()), "replacement_id": str(replacement_id), "reason": "服务费录入错误"}
        made = await self.do("POST", "/v1/operator/tariff-corrections", expect=201, json=body)
        path = f"/v1/operator/tariff-corrections/{made['id']}"
        alone = await self.do("POST", f"{path}/approve", expect=403)
        assert alone["code"] == "second_person_needed"
        await self.do("POST", f"{path}/approve", who="qian")
        await self.work()
        found: dict[str, Any] = await self.do("GET", path)
        return found

    async def work(self) -> None:
        """Let the jobs run, each batch some seconds after the one before."""
        for seconds in (5, 10, 15):
            at = self.month.now + timedelta(seconds=seconds)
            await run_due_jobs(now=at, services=self.month.services, only="charging.correct")

    async def order(self, order: OrderView) -> OrderView:
        return await orders.get_order(order_id=order.id, account_id=order.account_id)


@pytest.fixture
async def office(services: Services, api: httpx.AsyncClient, clock: FixedClock) -> Office:
    month = await a_month(services, included_wh=1_000)
    clock.move_to(month.now)
    heads = {p.key: (await log_in(p, services=services, now=month.now)).headers for p in (LI, QIAN, ZHOU, SUN, ALICE)}
    return Office(month, api, clock, heads)


class TestCorrection:
    async def test_refunds_supplements_and_lowers_every_order_of_the_version_and_tells_everybody(
        self, office: Office
    ) -> None:
        month = office.month
        paid, unpaid = [await month.bill(day, 20_000) for day in range(2)]
        market = await add_bill(month.scene, month.scene.charlie, start=NOON + 3 * DAY, energy_wh=10_000)
        await month.state()
        await month.pay(paid.id, paid.total_fen)
        made = await office.corrected(await office.right())
        assert made["state"] == "approved"
        assert made["progress"] == {
            "waiting": 0, "applied": 3, "unchanged": 0, "held": 0,
            "difference_fen": made["progress"]["difference_fen"],
        }  # fmt: skip
        for before in (paid, unpaid, market):
            after = await office.order(before)
            assert {line.service_e4 for line in after.lines} == {2000 if before.user_class == "agreement" else 7000}
            assert (after.energy_wh, after.energy_fee_fen) == (before.energy_wh, before.energy_fee_fen)
            assert [x.included_wh for x in after.lines] == [x.included_wh for x in before.lines]
            assert after.tariff.version_id == UUID(made["replacement_id"])
        less = paid.total_fen - (await office.order(paid)).total_fen
        assert await month.refunded() == less > 0
        assert await month.receivable() == await month.owed()
        statement = await month.statement()
        [line] = statement.packages
        assert line.service_fee_fen + line.package_fee_fen <= cap_fen(energy_wh=line.energy_wh)
        listed = await office.do("GET", f"/v1/operator/tariff-corrections/{made['id']}/orders")
        assert {item["state"] for item in listed["items"]} == {"applied"}
        own = await office.do("GET", f"/v1/orders/{paid.id}/corrections", who="alice")
        assert [(item["reason"], item["difference_fen"]) for item in own["items"]] == [("服务费录入错误", -less)]
        inbox = await office.do("GET", "/v1/inbox", who="alice")
        assert {"Bill corrected: money comes back", "Your bill was corrected"} <= {i["title"] for i in inbox["items"]}

    async def test_bills_the_difference_where_the_right_price_is_higher(self, office: Office) -> None:
        order = await office.month.bill(0, 20_000)
        await office.month.pay(order.id, order.total_fen)
        await office.corrected(await office.right(prices=prices_for(BEIJING_SPANS, agreement_service_e4=5000)))
        after = await office.order(order)
        shown = await office.do("GET", f"/v1/orders/{order.id}", who="alice")
        assert shown["to_pay_fen"] == after.total_fen - order.total_fen > 0
        assert after.service_fee_fen <= cap_fen(energy_wh=after.energy_wh)

    async def test_run_again_or_by_two_workers_changes_nothing_more(self, office: Office) -> None:
        order = await office.month.bill(0, 20_000)
        made = await office.corrected(await office.right())
        after = await office.order(order)
        for _ in range(2):
            await tariff_corrections.work(correction_id=UUID(made["id"]), now=office.month.now)
            await tariff_corrections.look_again(now=office.month.now)
            await office.work()
        assert await office.order(order) == after
        assert (await office.do("GET", f"/v1/operator/tariff-corrections/{made['id']}"))["progress"]["applied"] == 1

    async def test_goes_on_after_a_stop_in_the_middle(self, office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
        bills = [await office.month.bill(day, 10_000) for day in range(5)]
        body = {"tariff_id": str(await office.wrong()), "replacement_id": str(await office.right()), "reason": "x"}
        made = await office.do("POST", "/v1/operator/tariff-corrections", expect=201, json=body)
        assert made["estimate"]["orders"] == 5
        path = f"/v1/operator/tariff-corrections/{made['id']}"
        await office.do("POST", f"{path}/approve", who="qian")
        await db.execute("DELETE FROM pgqueuer")  # the worker died with the job
        monkeypatch.setattr(tariff_corrections, "BATCH", 2)
        await tariff_corrections.work(correction_id=UUID(made["id"]), now=office.month.now)
        await db.execute("DELETE FROM pgqueuer")
        assert (await office.do("GET", path))["progress"]["applied"] == 2
        await tariff_corrections.look_again(now=office.month.now)
        await office.work()
        progress = (await office.do("GET", path))["progress"]
        assert (progress["applied"], progress["waiting"]) == (5, 0)
        assert progress["difference_fen"] == made["estimate"]["difference_fen"]
        for bill in bills:
            assert (await office.order(bill)).service_fee_fen < max(bill.service_fee_fen, 1)

    async def test_bills_the_readings_again_where_the_bands_are_others(self, office: Office) -> None:
        scene, services = office.month.scene, office.month.services
        session, end, meter = await charge(scene.alice, scene.place.ac, start=NOON + 50 * MINUTE, services=services)
        await leave(scene.place.ac, now=end + MINUTE, meter_wh=meter, services=services)
        before = await order_of(session.id)
        assert [line.band for line in before.lines] == ["peak", "flat"]
        made = await office.corrected(
            await office.right(spans=OTHER_SPANS, prices=prices_for(OTHER_SPANS, agreement_service_e4=4500))
        )
        after = await order_of(session.id)
        assert made["progress"]["applied"] == 1
        assert [(x.band, x.energy_wh) for x in after.lines] == [("valley", 1000), ("flat", 1000)]

    async def test_holds_an_order_whose_readings_are_gone_and_resumes(self, office: Office) -> None:
        order = await office.month.bill(0, 20_000)  # no readings behind it
        made = await office.corrected(await office.right(spans=OTHER_SPANS, prices=prices_for(OTHER_SPANS)))
        path = f"/v1/operator/tariff-corrections/{made['id']}"
        [held] = (await office.do("GET", f"{path}/orders", params={"status": "held"}))["items"]
        assert (held["order_id"], held["problem"]) == (str(order.id), "readings_gone")
        assert await office.order(order) == order
        await office.month.correct(order, 20_000 - 1)  # a person gives the readings
        await office.do("POST", f"{path}/resume")
        await office.work()
        assert (await office.do("GET", path))["progress"]["applied"] == 1

    async def test_holds_an_order_whose_money_went_back_otherwise(self, office: Office) -> None:
        order = await office.month.bill(0, 20_000)
        await office.month.pay(order.id, order.total_fen)
        paid = await office.order(order)
        assert paid.payment_id is not None
        await payments.refund(
            payment_id=paid.payment_id, amount_fen=paid.total_fen, reason="x", key="k", now=office.month.now
        )
        made = await office.corrected(await office.right())
        assert (made["progress"]["held"], made["progress"]["applied"]) == (1, 0)
        assert (await office.order(order)).total_fen == order.total_fen
        assert await office.month.refunded() == order.total_fen

    async def test_reaches_orders_that_close_later(self, office: Office) -> None:
        scene, services = office.month.scene, office.month.services
        start = office.month.now - HOUR
        await idle(scene.place.ac, now=start - MINUTE)
        session, end, meter = await charge(scene.alice, scene.place.ac, start=start, services=services)
        made = await office.corrected(await office.right())
        await leave(scene.place.ac, now=end + 90 * MINUTE, meter_wh=meter, services=services)
        await run_due_jobs(now=end + 92 * MINUTE, services=services, only="charging.")
        order = await order_of(session.id)
        assert (order.status, order.review_reasons) == ("unpaid", ())
        assert {line.service_e4 for line in order.lines} == {2000}
        assert order.tariff.version_id == UUID(made["replacement_id"])
        assert await office.month.receivable() == await office.month.owed()

    async def test_needs_a_fitting_replacement_once_and_its_own_company(self, office: Office) -> None:
        wrong = await office.wrong()
        path = "/v1/operator/tariff-corrections"
        good = await office.right()
        resold = await office.right(supply_class="resold")
        for replacement, code in ((wrong, "replacement_invalid"), (resold, "replacement_invalid")):
            body = {"tariff_id": str(wrong), "replacement_id": str(replacement), "reason": "x"}
            assert (await office.do("POST", path, expect=422, json=body))["code"] == code
        body = {"tariff_id": str(good), "replacement_id": str(wrong), "reason": "x"}
        assert (await office.do("POST", path, expect=409, json=body))["code"] == "tariff_not_correctable"
        body = {"tariff_id": str(wrong), "replacement_id": str(good), "reason": "x"}
        await office.do("POST", path, who="zhou", expect=404, json=body)
        await office.do("POST", path, who="sun", expect=403, json=body)
        made = await office.do("POST", path, expect=201, json=body)
        assert (await office.do("POST", path, expect=409, json=body))["code"] == "tariff_not_correctable"
        await office.do("GET", f"{path}/{made['id']}", who="zhou", expect=404)
        await office.do("POST", f"{path}/{made['id']}/approve", who="zhou", expect=404)
        await office.do("POST", f"{path}/{made['id']}/reject", who="qian", json={"text": "不成立"})
        assert (await office.do("POST", f"{path}/{made['id']}/approve", who="qian", expect=409))["code"] == (
            "already_decided"
        )
        await office.do("POST", path, expect=201, json=body)
        assert len((await office.do("GET", path))["items"]) == 2


class TestPreview:
    async def test_prices_30_kwh_at_18_before_and_after_for_each_class(self, office: Office) -> None:
        right = await office.right(parking=ParkingTerms(fen_per_hour=100))
        shown = await office.do("GET", f"/v1/operator/tariffs/{right}/preview")
        assert shown["against_id"] == str(await office.wrong())
        assert shown["starts_at"].endswith("T18:00:00+08:00")
        agreement, market = shown["items"]
        assert [(x["band"], x["energy_wh"]) for x in agreement["after"]["lines"]] == [("peak", 27_999), ("flat", 2_001)]
        # service 30 kWh at 0.45 and at 0.20, and five hours begun of parking
        assert (agreement["before"]["service_fee_fen"], agreement["after"]["service_fee_fen"]) == (1350, 600)
        assert (agreement["after"]["parking_fee_fen"], agreement["difference_fen"]) == (500, -250)
        assert (market["before"]["service_fee_fen"], market["after"]["service_fee_fen"]) == (2400, 2100)

    async def test_of_the_first_version_has_nothing_before_it_and_takes_another_session(self, office: Office) -> None:
        wrong = await office.wrong()
        query = {"energy_wh": 10_000, "at": "23:30", "power_w": 10_000, "day": "2026-06-11"}
        shown = await office.do("GET", f"/v1/operator/tariffs/{wrong}/preview", params=query)
        assert shown["against_id"] is None
        for item in shown["items"]:
            assert (item["before"], item["difference_fen"]) == (None, None)
            assert [x["band"] for x in item["after"]["lines"]] == ["valley"]
        for bad in ({"at": "25:00"}, {"energy_wh": 0}, {"day": "2026-02-30"}):
            answer = await office.api.get(
                f"/v1/operator/tariffs/{wrong}/preview", params=bad, headers=office.heads["li"]
            )
            assert answer.status_code in (400, 422)
        await office.do("GET", f"/v1/operator/tariffs/{wrong}/preview", who="zhou", expect=404)


class TestReprice:
    @settings(max_examples=1000)
    @given(
        st.lists(
            st.tuples(
                st.sampled_from(["sharp", "peak", "flat", "valley"]), st.integers(1, 90_000), st.integers(0, 100)
            ),
            max_size=6,
        ),
        st.tuples(*[st.tuples(st.integers(0, 20_000), st.integers(0, 5_000)) for _ in range(4)]),
    )
    def test_keeps_energy_and_freed_energy_and_never_passes_the_cap(
        self, pieces: list[tuple[str, int, int]], right: tuple[tuple[int, int], ...]
    ) -> None:
        lines = [
            BillLine(band, wh, 9_000, 4_000, fee_fen(energy_wh=wh, price_e4=9_000), 0, included_wh=wh * share // 100)
            for band, wh, share in pieces
        ]
        prices = dict(zip(BANDS, right, strict=True))
        bill = reprice(lines, prices, capped=True)
        assert bill.energy_wh == sum(line.energy_wh for line in lines)
        assert sum(x.included_wh for x in bill.lines) == sum(x.included_wh for x in lines)
        assert bill.service_fee_fen <= cap_fen(energy_wh=bill.energy_wh)
        assert reprice(bill.lines, prices, capped=True) == bill
        assert list(bill.lines) == keep_cap(bill.lines)
