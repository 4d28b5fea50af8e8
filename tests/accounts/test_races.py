"""What happens when two calls meet: real transactions on a database of their own."""

import asyncio
from datetime import datetime, timedelta

import pytest
from piccolo.engine.postgres import PostgresEngine

from backend.accounts import service as accounts
from backend.accounts.service import codes, logins
from backend.accounts.service import staff as staff_list
from backend.accounts.service.codes import SmsCodeWrong, SmsLimitReached
from backend.accounts.service.logins import RefreshSuperseded, TokenPair
from backend.accounts.service.staff import LastOperator
from backend.core import crypto, db
from backend.core.auth import Grant, Staff, Tokens
from tests.cast import ALICE, LI, QIAN
from tests.factories.accounts import SentSms, add_company, add_person
from tests.fakes import FixedClock


@pytest.fixture
def tokens(clock: FixedClock) -> Tokens:
    """A maker of access tokens."""
    return Tokens("a-secret-for-tests-of-at-least-32-characters", clock)


class TestRefresh:
    async def test_has_one_winner_and_the_login_goes_on(
        self, committing: PostgresEngine, tokens: Tokens, now: datetime
    ) -> None:
        account_id = await add_person(ALICE)
        pair = await logins.open_login(account_id=account_id, method="sms", tokens=tokens, now=now)
        outcomes = await asyncio.gather(
            *(logins.refresh(refresh_token=pair.refresh_token, tokens=tokens, now=now) for _ in range(20)),
            return_exceptions=True,
        )
        winners = [outcome for outcome in outcomes if isinstance(outcome, TokenPair)]
        assert len(winners) == 1
        assert all(isinstance(outcome, RefreshSuperseded) for outcome in outcomes if outcome is not winners[0])
        await logins.refresh(refresh_token=winners[0].refresh_token, tokens=tokens, now=now + timedelta(minutes=1))


class TestLoginCode:
    async def test_is_sent_once_for_many_requests_at_the_same_moment(
        self, committing: PostgresEngine, now: datetime
    ) -> None:
        outcomes = await asyncio.gather(
            *(
                codes.request_code(phone=ALICE.phone, purpose="login", address=f"10.0.0.{i}", locale="en", now=now)
                for i in range(20)
            ),
            return_exceptions=True,
        )
        assert outcomes.count(None) == 1
        assert sum(isinstance(outcome, SmsLimitReached) for outcome in outcomes) == 19

    async def test_is_used_once_by_many_tries_at_the_same_moment(
        self, committing: PostgresEngine, now: datetime
    ) -> None:
        await codes.request_code(phone=ALICE.phone, purpose="login", address="10.0.0.1", locale="en", now=now)
        sms = SentSms()
        await codes.send_code(code_id=await db.fetchval("SELECT id FROM sms_code"), gateway=sms, now=now)
        code = sms.code_for(ALICE.phone)
        outcomes = await asyncio.gather(
            *(
                codes.check_code(phone=ALICE.phone, purpose="login", code=code, address="10.0.0.1", now=now)
                for _ in range(10)
            ),
            return_exceptions=True,
        )
        assert sum(isinstance(outcome, SmsCodeWrong) for outcome in outcomes) == 9

    async def test_never_bears_more_than_five_tries(self, committing: PostgresEngine, now: datetime) -> None:
        await codes.request_code(phone=ALICE.phone, purpose="login", address="10.0.0.1", locale="en", now=now)
        code_id = await db.fetchval("SELECT id FROM sms_code")
        await db.execute("UPDATE sms_code SET code_hash = $1", crypto.lookup_hash("of no code"))
        await asyncio.gather(
            *(
                codes.check_code(phone=ALICE.phone, purpose="login", code=f"{i:06d}", address=f"10.0.0.{i}", now=now)
                for i in range(20)
            ),
            return_exceptions=True,
        )
        assert await db.fetchval("SELECT tries FROM sms_code WHERE id = $1", code_id) == 5


class TestEnsureAccount:
    async def test_gives_one_account_to_many_first_logins(self, committing: PostgresEngine, now: datetime) -> None:
        ids = await asyncio.gather(*(accounts.ensure_account(phone=ALICE.phone, now=now) for _ in range(20)))
        assert len(set(ids)) == 1


class TestRemoveRole:
    async def test_never_leaves_a_company_without_an_operator(self, committing: PostgresEngine, now: datetime) -> None:
        company_id = await add_company()
        people = [await add_person(person) for person in (LI, QIAN)]
        grants = {
            row.account_id: row.grant_id
            for row in await accounts.list_staff(operator_company_id=company_id, roles=("operator",))
        }
        both = [Staff(person, (Grant("operator", company_id),)) for person in people]
        outcomes = await asyncio.gather(
            staff_list.remove_role(staff=both[0], grant_id=grants[people[1]], now=now),
            staff_list.remove_role(staff=both[1], grant_id=grants[people[0]], now=now),
            return_exceptions=True,
        )
        assert sorted(type(outcome) for outcome in outcomes if outcome is not None) == [LastOperator]
        assert len(await accounts.list_staff(operator_company_id=company_id, roles=("operator",))) == 1
