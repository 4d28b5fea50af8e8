"""What is forgotten when no rule looks at it any more."""

from datetime import datetime, timedelta

from backend.accounts.service import codes, logins
from backend.core import db
from backend.core.services import Services
from tests.cast import ALICE, BOB, CHARLIE
from tests.factories.accounts import log_in
from tests.jobs import run_ticks


class TestSweep:
    async def test_forgets_logins_that_ended_or_ran_out_and_keeps_those_in_use(
        self, services: Services, database: object, now: datetime
    ) -> None:
        ended = await log_in(ALICE, services=services, now=now)
        await log_in(BOB, services=services, now=now)
        used = await log_in(CHARLIE, services=services, now=now + timedelta(days=85))
        await db.execute(
            "UPDATE login_session SET ended_at = $2, ended_reason = 'logout' WHERE account_id = $1",
            ended.account_id,
            now,
        )
        await run_ticks("accounts.sweep", now=now + timedelta(days=90, seconds=-1))
        assert await db.fetchval("SELECT count(*) FROM login_session") == 3
        await run_ticks("accounts.sweep", now=now + timedelta(days=121))
        rows = await db.fetch("SELECT account_id FROM login_session")
        assert [row["account_id"] for row in rows] == [used.account_id]
        assert await db.fetchval("SELECT count(*) FROM refresh_token") == 1

    async def test_forgets_codes_and_failures_that_no_limit_counts_any_more(
        self, services: Services, database: object, now: datetime
    ) -> None:
        await codes.request_code(phone=ALICE.phone, purpose="login", address="10.0.0.1", locale="en", now=now)
        await logins.sweep(now=now + timedelta(days=1))
        assert await db.fetchval("SELECT count(*) FROM sms_code") == 1
        await logins.sweep(now=now + timedelta(days=2, seconds=1))
        assert await db.fetchval("SELECT count(*) FROM sms_code") == 0
