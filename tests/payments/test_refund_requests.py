"""Refunds that staff ask for: a second person above the limit, never more than was paid, own company only."""

from datetime import datetime
from uuid import UUID

import asyncpg
import httpx
import pytest

from backend.core import db
from backend.core.clock import Clock
from backend.core.ids import new_id
from backend.core.services import Services
from backend.payments import service as payments
from backend.payments.gateways import ProviderPayment, ProviderRefund
from backend.payments.service import refunds, settling
from tests.cast import ALICE, LI, QIAN, SUN, ZHOU
from tests.factories.accounts import log_in
from tests.factories.payments import start_payment

PATH = "/v1/operator/refunds"


@pytest.fixture
async def staff(services: Services, company: UUID) -> dict[str, dict[str, str]]:
    """The headers of li and qian (operators), sun (inspector) and zhou (another company)."""
    now = services.get(Clock).now()  # type: ignore[type-abstract]
    people = {"li": LI, "qian": QIAN, "sun": SUN, "zhou": ZHOU, "alice": ALICE}
    return {key: (await log_in(person, services=services, now=now)).headers for key, person in people.items()}


@pytest.fixture
async def paid(company: UUID, alice: UUID, paying: Services, now: datetime) -> payments.PaymentSheet:
    """A payment of 300 yuan that was made."""
    sheet = await start_payment(
        operator_company_id=company, account_id=alice, services=paying, now=now, amount_fen=30_000
    )
    found = ProviderPayment(state="succeeded", transaction_no="4200", amount_fen=30_000, paid_at=now)
    await settling.settle_payment(payment_id=sheet.payment_id, found=found, now=now)
    return sheet


def body(paid: payments.PaymentSheet, amount: int) -> dict[str, object]:
    return {"order_id": str(paid.order_id), "amount_fen": amount, "reason": "少充"}


async def given(paid: payments.PaymentSheet) -> list[int]:
    return [refund.amount_fen for refund in await payments.list_refunds(payment_id=paid.payment_id)]


class TestRequestRefund:
    async def test_up_to_the_limit_one_person_is_enough(
        self, api: httpx.AsyncClient, staff: dict[str, dict[str, str]], paid: payments.PaymentSheet
    ) -> None:
        made = await api.post(PATH, json=body(paid, 10_000), headers=staff["li"])
        assert (made.status_code, made.json()["state"], made.json()["refund_state"]) == (201, "approved", "created")
        assert await given(paid) == [10_000]

    async def test_above_it_nothing_goes_back_before_a_second_person_says_yes(
        self, api: httpx.AsyncClient, staff: dict[str, dict[str, str]], paid: payments.PaymentSheet
    ) -> None:
        made = (await api.post(PATH, json=body(paid, 10_001), headers=staff["li"])).json()
        assert (made["state"], made["refund_id"]) == ("pending", None)
        path = f"{PATH}/{made['id']}"
        own = await api.post(f"{path}/approve", headers=staff["li"])
        assert (own.status_code, own.json()["code"]) == (403, "second_person_needed")
        assert await given(paid) == []
        yes = (await api.post(f"{path}/approve", headers=staff["qian"])).json()
        assert (yes["state"], yes["refund_state"]) == ("approved", "created")
        again = await api.post(f"{path}/approve", headers=staff["qian"])
        assert (again.status_code, again.json()["code"]) == (409, "already_decided")
        assert await given(paid) == [10_001]

    async def test_a_large_refund_in_small_pieces_needs_the_second_person_too(
        self, api: httpx.AsyncClient, staff: dict[str, dict[str, str]], paid: payments.PaymentSheet
    ) -> None:
        states = [(await api.post(PATH, json=body(paid, 6_000), headers=staff["li"])).json()["state"] for _ in range(3)]
        assert states == ["approved", "pending", "pending"]

    async def test_rejected_gives_nothing_back_and_frees_the_amount(
        self, api: httpx.AsyncClient, staff: dict[str, dict[str, str]], paid: payments.PaymentSheet
    ) -> None:
        made = (await api.post(PATH, json=body(paid, 30_000), headers=staff["li"])).json()
        full = await api.post(PATH, json=body(paid, 1), headers=staff["qian"])
        assert (full.status_code, full.json()["code"], full.json()["refundable_fen"]) == (422, "refund_nothing_left", 0)
        no = (await api.post(f"{PATH}/{made['id']}/reject", json={"note": "无依据"}, headers=staff["qian"])).json()
        assert (no["state"], no["decision_note"], no["refund_id"]) == ("rejected", "无依据", None)
        assert (await api.post(f"{PATH}/{made['id']}/approve", headers=staff["qian"])).status_code == 409
        assert (await api.post(PATH, json=body(paid, 1), headers=staff["qian"])).status_code == 201
        assert await given(paid) == [1]

    @pytest.mark.parametrize(
        ("amount", "code"),
        [(30_001, "refund_too_large"), (0, "refund_not_positive"), (-5, "refund_not_positive")],
    )
    async def test_more_than_was_paid_or_nothing_is_refused(
        self,
        api: httpx.AsyncClient,
        staff: dict[str, dict[str, str]],
        paid: payments.PaymentSheet,
        amount: int,
        code: str,
    ) -> None:
        refused = await api.post(PATH, json=body(paid, amount), headers=staff["li"])
        assert (refused.status_code, refused.json()["code"]) == (422, code)
        assert (refused.json()["field"], refused.json()["refundable_fen"]) == ("amount_fen", 30_000)
        assert await db.fetchval("SELECT count(*) FROM refund_request") == 0

    async def test_the_whole_twice_goes_back_once(
        self, api: httpx.AsyncClient, staff: dict[str, dict[str, str]], paid: payments.PaymentSheet
    ) -> None:
        answers = [await api.post(PATH, json=body(paid, 30_000), headers=staff[who]) for who in ("li", "qian")]
        assert [answer.status_code for answer in answers] == [201, 422]
        assert (answers[1].json()["code"], answers[1].json()["refundable_fen"]) == ("refund_nothing_left", 0)
        keyed = {**staff["li"], "Idempotency-Key": "one-tap"}
        await api.post(f"{PATH}/{answers[0].json()['id']}/reject", json={"note": "x"}, headers=staff["qian"])
        twice = [await api.post(PATH, json=body(paid, 9_000), headers=keyed) for _ in range(2)]
        assert twice[0].json() == twice[1].json()
        assert await given(paid) == [9_000]

    async def test_what_was_not_paid_or_is_not_there_is_refused(
        self,
        api: httpx.AsyncClient,
        staff: dict[str, dict[str, str]],
        company: UUID,
        alice: UUID,
        paying: Services,
        now: datetime,
    ) -> None:
        open_one = await start_payment(operator_company_id=company, account_id=alice, services=paying, now=now)
        unpaid = {"payment_id": str(open_one.payment_id), "amount_fen": 1, "reason": "x"}
        refused = await api.post(PATH, json=unpaid, headers=staff["li"])
        assert (refused.status_code, refused.json()["code"]) == (409, "payment_not_paid")
        for absent in ({"payment_id": str(new_id())}, {"order_id": str(new_id())}, {}):
            answer = await api.post(PATH, json={"amount_fen": 1, "reason": "x", **absent}, headers=staff["li"])
            assert (answer.status_code, answer.json()["code"]) == (404, "payment_not_found")

    async def test_companies_and_roles_are_kept_apart(
        self, api: httpx.AsyncClient, staff: dict[str, dict[str, str]], paid: payments.PaymentSheet
    ) -> None:
        made = (await api.post(PATH, json=body(paid, 20_000), headers=staff["li"])).json()
        path = f"{PATH}/{made['id']}"
        assert (await api.post(PATH, json=body(paid, 1), headers=staff["zhou"])).status_code == 404
        for call in (api.get(path, headers=staff["zhou"]), api.post(f"{path}/approve", headers=staff["zhou"])):
            hidden = await call
            assert (hidden.status_code, hidden.json()["code"]) == (404, "refund_request_not_found")
        assert (await api.get(PATH, headers=staff["zhou"])).json()["items"] == []
        assert [i["id"] for i in (await api.get(f"{PATH}?state=pending", headers=staff["sun"])).json()["items"]] == [
            made["id"]
        ]
        assert (await api.post(f"{path}/approve", headers=staff["sun"])).status_code == 403
        assert (await api.get(PATH, headers=staff["alice"])).status_code == 403

    async def test_the_limit_is_the_companys_own_and_everything_is_in_the_audit_log(
        self,
        api: httpx.AsyncClient,
        staff: dict[str, dict[str, str]],
        paid: payments.PaymentSheet,
        company: UUID,
        now: datetime,
    ) -> None:
        await refunds.set_second_person_above(
            operator_company_id=company, amount_fen=0, actor_id=None, actor_role="platform", now=now
        )
        made = (await api.post(PATH, json=body(paid, 1), headers=staff["li"])).json()
        assert made["state"] == "pending"
        await api.post(f"{PATH}/{made['id']}/approve", headers=staff["qian"])
        rows = await db.fetch("SELECT action FROM audit_entry WHERE operator_company_id = $1 ORDER BY id", company)
        assert [row["action"] for row in rows][-4:] == [
            "refund_rule.set",
            "refund_request.made",
            "refund.requested",
            "refund_request.approved",
        ]

    async def test_the_database_knows_the_second_person_too(
        self, api: httpx.AsyncClient, staff: dict[str, dict[str, str]], paid: payments.PaymentSheet, now: datetime
    ) -> None:
        made = (await api.post(PATH, json=body(paid, 20_000), headers=staff["li"])).json()
        refund = await payments.refund(payment_id=paid.payment_id, amount_fen=1, reason="x", key="k", now=now)
        with pytest.raises(asyncpg.CheckViolationError, match="second_person"):
            async with db.transaction():
                await db.execute(
                    "UPDATE refund_request SET state = 'approved', decided_by = requested_by, decided_at = $2,"
                    " refund_id = $3 WHERE id = $1",
                    UUID(made["id"]),
                    now,
                    refund.id,
                )

    async def test_a_refund_that_failed_at_the_provider_may_be_asked_for_again(
        self, api: httpx.AsyncClient, staff: dict[str, dict[str, str]], paid: payments.PaymentSheet, now: datetime
    ) -> None:
        made = (await api.post(PATH, json=body(paid, 9_000), headers=staff["li"])).json()
        failed = ProviderRefund(state="failed", amount_fen=9_000, answer="ABNORMAL")
        await settling.settle_refund(refund_id=UUID(made["refund_id"]), found=failed, now=now)
        again = (await api.post(PATH, json=body(paid, 9_000), headers=staff["li"])).json()
        assert again["state"] == "approved"
