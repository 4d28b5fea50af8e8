"""The ledger: balanced after anything, and never changed."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from piccolo.engine.postgres import PostgresEngine

from backend.core import db
from backend.core.ids import new_id
from backend.payments import service as payments
from backend.payments import store_ledger
from backend.payments.rules import ledger as rules
from backend.payments.rules import moves
from backend.payments.service.ledger import EntryDiffers, Unbalanced

amounts = st.integers(min_value=-(10**9), max_value=10**9)
legs_of_anything = st.lists(
    st.tuples(st.sampled_from(["receivable", "energy_fee", "provider:19"]), amounts), max_size=6
)


class TestProblemOf:
    @given(legs_of_anything)
    def test_accepts_exactly_what_balances(self, legs: list[tuple[str, int]]) -> None:
        fine = len(legs) >= 2 and all(amount for _, amount in legs) and sum(amount for _, amount in legs) == 0
        assert (rules.problem_of(legs) is None) == fine

    @pytest.mark.parametrize("account", ["", "Receivable", "energy fee", "provider:", "x" * 60, "a;DROP"])
    def test_refuses_an_account_that_is_not_well_named(self, account: str) -> None:
        assert rules.problem_of([(account, 5), ("receivable", -5)]) is not None

    @given(st.integers(min_value=1, max_value=10**9))
    def test_a_payment_and_its_refund_cancel(self, amount: int) -> None:
        both = [
            *rules.payment_legs(merchant_no="19", amount_fen=amount),
            *rules.refund_legs(merchant_no="19", amount_fen=amount),
        ]
        assert rules.problem_of(both) is None
        assert {account: sum(a for name, a in both if name == account) for account, _ in both} == {
            "provider:19": 0,
            "receivable": 0,
        }


class TestRefundable:
    @given(st.integers(1, 10**6), st.lists(st.integers(1, 10**6), max_size=8))
    def test_never_gives_back_more_than_was_paid(self, paid: int, wishes: list[int]) -> None:
        given_back: list[int] = []
        for wish in wishes:
            if wish <= moves.refundable_fen(paid_fen=paid, refunds_fen=given_back):
                given_back.append(wish)
        assert sum(given_back) <= paid


class TestDecideCheck:
    @given(
        st.sampled_from(["unknown", "waiting", "succeeded", "closed"]),
        st.integers(min_value=0, max_value=7200),
    )
    def test_money_is_always_settled_and_nothing_is_closed_early(
        self, provider_state: moves.ProviderState, age_s: int
    ) -> None:
        created_at = datetime(2026, 6, 10, tzinfo=UTC)
        decision = moves.decide_check(
            provider_state=provider_state, created_at=created_at, now=created_at + timedelta(seconds=age_s)
        )
        assert (decision == "settle") == (provider_state == "succeeded")
        if provider_state in ("unknown", "waiting") and age_s < 1800:
            assert decision == "wait"


class TestPostEntry:
    async def test_adds_to_the_trial_balance(self, company: UUID, now: datetime) -> None:
        await payments.post_entry(
            kind="order",
            reference_id=new_id(),
            legs=[("receivable", 300), ("energy_fee", -200), ("service_fee", -100)],
            operator_company_id=company,
            now=now,
        )
        assert await payments.trial_balance(operator_company_id=company) == {
            "receivable": 300,
            "energy_fee": -200,
            "service_fee": -100,
        }
        assert await payments.trial_balance(operator_company_id=new_id()) == {}

    async def test_posts_once_for_a_reference(self, company: UUID, now: datetime) -> None:
        reference_id = new_id()
        ids = [
            await payments.post_entry(
                kind="order",
                reference_id=reference_id,
                legs=legs,
                operator_company_id=company,
                now=now,
            )
            for legs in ([("receivable", 5), ("energy_fee", -5)], [("energy_fee", -5), ("receivable", 5)])
        ]
        assert ids[0] == ids[1]
        assert await payments.trial_balance(operator_company_id=company) == {"receivable": 5, "energy_fee": -5}
        with pytest.raises(EntryDiffers):
            await payments.post_entry(
                kind="order",
                reference_id=reference_id,
                legs=[("receivable", 6), ("energy_fee", -6)],
                operator_company_id=company,
                now=now,
            )

    @pytest.mark.parametrize(
        "legs",
        [[], [("receivable", 5)], [("receivable", 5), ("energy_fee", -4)], [("receivable", 0), ("energy_fee", 0)]],
    )
    async def test_refuses_what_does_not_balance(
        self, company: UUID, now: datetime, legs: list[tuple[str, int]]
    ) -> None:
        with pytest.raises(Unbalanced):
            await payments.post_entry(
                kind="order", reference_id=new_id(), legs=legs, operator_company_id=company, now=now
            )
        assert await payments.trial_balance(operator_company_id=company) == {}


class TestTheDatabase:
    @pytest.mark.parametrize(
        "legs", [[], [("receivable", 5)], [("receivable", 5), ("energy_fee", -4)], [("a", 5), ("b", -5), ("c", 1)]]
    )
    async def test_refuses_an_unbalanced_entry_at_commit(
        self, database: PostgresEngine, now: datetime, legs: list[tuple[str, int]]
    ) -> None:
        with pytest.raises(asyncpg.CheckViolationError, match="add up to"):
            async with db.transaction():
                await store_ledger.add_entry(
                    kind="order", reference_id=new_id(), operator_company_id=new_id(), legs=legs, now=now
                )
                await db.execute("SET CONSTRAINTS ALL IMMEDIATE")

    async def test_accepts_a_balanced_one_at_commit(self, database: PostgresEngine, now: datetime) -> None:
        await store_ledger.add_entry(
            kind="order",
            reference_id=new_id(),
            operator_company_id=new_id(),
            legs=[("receivable", 5), ("energy_fee", -3), ("service_fee", -2)],
            now=now,
        )
        await db.execute("SET CONSTRAINTS ALL IMMEDIATE")

    @pytest.mark.parametrize(
        "sql",
        [
            "UPDATE ledger_leg SET amount_fen = 1",
            "DELETE FROM ledger_leg",
            "UPDATE ledger_entry SET kind = 'x'",
            "DELETE FROM ledger_entry",
            "TRUNCATE ledger_leg",
            "DELETE FROM payment",
            "DELETE FROM refund",
        ],
    )
    async def test_lets_nobody_change_what_was_booked(self, database: PostgresEngine, sql: str) -> None:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with db.transaction():
                await db.execute(sql)
