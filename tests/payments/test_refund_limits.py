"""The company's limit of refunds: lowered by one person, raised by two, never by whoever wants to refund alone."""

import asyncio
from datetime import datetime
from uuid import UUID

import asyncpg
import httpx
import pytest
from piccolo.engine.postgres import PostgresEngine

from backend.core import db
from backend.core.ids import new_id
from backend.core.services import Services
from backend.payments.service import limits, refunds
from backend.payments.service.limits import RefundLimitPending
from tests.cast import ALICE, LI, QIAN, SUN, ZHOU
from tests.factories.accounts import add_company, log_in

PATH = "/v1/operator/settings/refunds"
Headers = dict[str, dict[str, str]]


@pytest.fixture
async def staff(services: Services, company: UUID, now: datetime) -> Headers:
    """The headers of li and qian (operators), sun (inspector) and zhou (another company)."""
    people = {"li": LI, "qian": QIAN, "sun": SUN, "zhou": ZHOU, "alice": ALICE}
    return {key: (await log_in(person, services=services, now=now)).headers for key, person in people.items()}


def body(amount: object) -> dict[str, object]:
    return {"second_person_above_fen": amount, "reason": "暑期退款较多"}


class TestRefundLimit:
    async def test_is_a_hundred_yuan_where_nobody_set_one(self, api: httpx.AsyncClient, staff: Headers) -> None:
        shown = (await api.get(PATH, headers=staff["li"])).json()
        assert (shown["second_person_above_fen"], shown["is_default"], shown["changes"]) == (10_000, True, [])

    async def test_is_lowered_at_once_by_one_person(
        self, api: httpx.AsyncClient, staff: Headers, company: UUID
    ) -> None:
        shown = (await api.put(PATH, json=body(500), headers=staff["li"])).json()
        assert (shown["second_person_above_fen"], shown["is_default"]) == (500, False)
        assert [(c["state"], c["decided_by"]) for c in shown["changes"]] == [("in_force", None)]
        assert await refunds.second_person_above(operator_company_id=company) == 500

    async def test_is_raised_only_with_a_second_person(
        self, api: httpx.AsyncClient, staff: Headers, company: UUID
    ) -> None:
        shown = (await api.put(PATH, json=body(50_000), headers=staff["li"])).json()
        assert (shown["second_person_above_fen"], shown["changes"][0]["state"]) == (10_000, "pending")
        change = f"{PATH}/{shown['changes'][0]['id']}"
        own = await api.post(f"{change}/approve", headers=staff["li"])
        assert (own.status_code, own.json()["code"]) == (403, "second_person_needed")
        for stranger, status in (("zhou", 404), ("sun", 403), ("alice", 403)):
            assert (await api.post(f"{change}/approve", headers=staff[stranger])).status_code == status
        assert await refunds.second_person_above(operator_company_id=company) == 10_000
        assert (await api.post(f"{change}/approve", headers=staff["qian"])).json()["state"] == "in_force"
        assert await refunds.second_person_above(operator_company_id=company) == 50_000
        again = await api.post(f"{change}/approve", headers=staff["qian"])
        assert (again.status_code, again.json()["code"]) == (409, "already_decided")
        actions = await db.fetch("SELECT action FROM audit_entry WHERE action LIKE 'refund_rule.%' ORDER BY id")
        assert [row["action"] for row in actions] == ["refund_rule.proposed", "refund_rule.set"]

    async def test_stays_when_the_second_person_says_no_and_one_change_waits_at_a_time(
        self, api: httpx.AsyncClient, staff: Headers, company: UUID
    ) -> None:
        first = (await api.put(PATH, json=body(50_000), headers=staff["li"])).json()["changes"][0]["id"]
        second = await api.put(PATH, json=body(60_000), headers=staff["qian"])
        assert (second.status_code, second.json()["code"], second.json()["change_id"]) == (
            409,
            "refund_limit_pending",
            first,
        )
        lower = (await api.put(PATH, json=body(9_000), headers=staff["qian"])).json()
        assert lower["second_person_above_fen"] == 9_000, "caution need not wait"
        assert (await api.post(f"{PATH}/{first}/reject", headers=staff["qian"])).json()["state"] == "rejected"
        assert await refunds.second_person_above(operator_company_id=company) == 9_000
        assert (await api.put(PATH, json=body(60_000), headers=staff["qian"])).status_code == 200

    @pytest.mark.parametrize("amount", [-1, 1_000_001, 10**30])
    async def test_refuses_a_limit_that_is_none(self, api: httpx.AsyncClient, staff: Headers, amount: int) -> None:
        refused = await api.put(PATH, json=body(amount), headers=staff["li"])
        assert refused.status_code == 422
        if abs(amount) < 2**63:
            assert (refused.json()["code"], refused.json()["field"]) == (
                "refund_limit_invalid",
                "second_person_above_fen",
            )
        assert await db.fetchval("SELECT count(*) FROM refund_limit_change") == 0

    async def test_the_database_knows_the_second_person_too(self, company: UUID, now: datetime) -> None:
        li = new_id()
        change = await limits.propose_limit(
            operator_company_id=company, amount_fen=50_000, reason="x", actor_id=li, role="operator", now=now
        )
        with pytest.raises(asyncpg.CheckViolationError):
            async with db.transaction():
                await db.execute(
                    "UPDATE refund_limit_change SET state = 'in_force', decided_by = $2, decided_at = $3 WHERE id = $1",
                    change.id,
                    li,
                    now,
                )
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with db.transaction():
                await db.execute("DELETE FROM refund_limit_change")


class TestManyAtOnce:
    async def test_one_change_waits_and_the_others_are_told(self, committing: PostgresEngine, now: datetime) -> None:
        company = await add_company(now=now)

        async def propose(amount: int) -> bool:
            try:
                await limits.propose_limit(
                    operator_company_id=company,
                    amount_fen=amount,
                    reason="x",
                    actor_id=new_id(),
                    role="operator",
                    now=now,
                )
            except RefundLimitPending:
                return False
            return True

        made = await asyncio.gather(*(propose(20_000 + n) for n in range(20)))
        assert made.count(True) == 1
