"""APNs, SMS and calls failing: every safety message is taken by the same channel later or by the next one."""

import asyncio
import time
from uuid import UUID

import asyncpg
import pytest

from backend.accounts import service as accounts
from backend.core import crypto, db
from backend.core.clock import SystemClock
from backend.notifications import service as notifications
from backend.notifications.service import preferences
from bench.load import await_rows
from tests.faults.conftest import Row, Running

pytestmark = pytest.mark.slow

MESSAGES = 5
ACCEPTED = "SELECT count(DISTINCT event_key) FROM delivery WHERE event_key LIKE $1 AND state = 'accepted'"


async def tell(key: str, *, phone: str, token: str, times: int) -> UUID:
    """Tell one person some safety messages."""
    now = SystemClock().now()
    account_id = await accounts.ensure_account(phone=phone, now=now)
    await accounts.register_push_token(account_id=account_id, platform="ios", token=token, now=now)
    for number in range(times):
        async with db.transaction():
            await notifications.notify(
                recipient=account_id,
                event_key=f"{key}:{number}",
                template="battery_critical",
                params={"station": "Station 1"},
                safety=True,
                now=now,
            )
    return account_id


async def accepted(running: Running, key: str, *, wanted: int, timeout_s: float) -> tuple[int, dict[str, int], float]:
    """Wait until that many messages were accepted; returns how many, by which channels, after how long."""
    began = time.monotonic()
    connection = await asyncpg.connect(running.dsn)
    try:
        while (found := await connection.fetchval(ACCEPTED, f"{key}:%")) < wanted:
            if time.monotonic() - began > timeout_s:
                break
            await asyncio.sleep(0.1)
        rows = await connection.fetch(
            "SELECT channel, count(*) AS n FROM delivery WHERE event_key LIKE $1 AND state = 'accepted' GROUP BY 1",
            f"{key}:%",
        )
    finally:
        await connection.close()
    return found, {row["channel"]: row["n"] for row in rows}, time.monotonic() - began


class TestApnsFails:
    @pytest.mark.parametrize("fault", ["410", "429", "503", "goaway", "drop", "empty_500", "hang"])
    async def test_nothing_is_lost(self, fault: str, running: Running, row: Row) -> None:
        number = sum(fault.encode()) % 1000
        key, token = f"apns-{fault}", f"{number:064x}"
        apns = running.providers.faults["apns"]
        apns.add(fault, times=2 if fault != "410" else 1)
        try:
            async with running.ground.opened():
                await tell(key, phone=f"137{number:08d}", token=token, times=MESSAGES)
            found, by, took_s = await accepted(running, key, wanted=MESSAGES, timeout_s=60)
        finally:
            apns.clear()
        row(
            f"APNs {fault}",
            f"{MESSAGES} safety messages",
            f"accepted {found} of {MESSAGES} by {', '.join(f'{k} {v}' for k, v in sorted(by.items()))},"
            f" all after {took_s:.1f} s",
        )
        assert found == MESSAGES
        assert (fault == "410") == ("push" not in by) or fault != "410"


class TestWeChatConsentTakenBack:
    async def test_nothing_is_lost(self, running: Running, row: Row) -> None:
        """43101: our ledger has consents, WeChat says they were taken back. Inbox and push have it all the same."""
        openid = "oWx-took-back"
        running.providers.wechat.subscribe.clear()
        now = SystemClock().now()
        async with running.ground.opened():
            account_id = await accounts.ensure_account(phone="13766600043", now=now)
            await accounts.register_push_token(account_id=account_id, platform="ios", token="43101" + "0" * 59, now=now)
            await db.execute(
                "UPDATE account SET openid_cipher = $2, openid_hash = $3 WHERE id = $1",
                account_id,
                crypto.encrypt(openid),
                crypto.lookup_hash(openid),
            )
            await preferences.add_consents(account_id=account_id, templates=["refund_done"] * MESSAGES, now=now)
            for number in range(MESSAGES):
                async with db.transaction():
                    await notifications.notify(
                        recipient=account_id,
                        event_key=f"wechat-43101:{number}",
                        template="refund_done",
                        params={"total_yuan": "1"},
                        safety=False,
                        now=now,
                    )
            found, by, took_s = await accepted(running, "wechat-43101", wanted=MESSAGES, timeout_s=60)
            pending = "SELECT count(*) = 0 FROM delivery WHERE event_key LIKE 'wechat-43101:%' AND state = 'pending'"
            await await_rows(running.dsn, f"SELECT ({pending})::int")
            inbox = await db.fetchval("SELECT count(*) FROM inbox_message WHERE recipient_id = $1", account_id)
            answers = await db.fetchval(
                "SELECT count(*) FROM delivery WHERE event_key LIKE 'wechat-43101:%' AND channel = 'wechat'"
                " AND state = 'failed' AND provider_answer LIKE '43101%'"
            )
            consents = {consent.outcome for consent in await preferences.list_consents(account_id=account_id)}
        row(
            "WeChat 43101",
            f"{MESSAGES} messages to a person whose consents WeChat no longer knows",
            f"refused by WeChat {answers}, in the inbox {inbox} of {MESSAGES}, accepted {found} of {MESSAGES} by"
            f" {', '.join(f'{k} {v}' for k, v in sorted(by.items()))}, all after {took_s:.1f} s, consents {consents}",
        )
        assert answers >= 1
        assert inbox == found == MESSAGES
        assert consents == {"refused"}


class TestSmsDown:
    async def test_nothing_is_lost(self, running: Running, row: Row) -> None:
        """People without a push token: SMS and calls fail for a while, then the provider is back."""
        aliyun = running.providers.faults["aliyun"]
        aliyun.add("503", times=12)
        try:
            async with running.ground.opened():
                account_id = await tell("sms-down", phone="13766600001", token="f" * 64, times=1)
                await db.execute("DELETE FROM push_token WHERE account_id = $1", account_id)
                for number in range(1, MESSAGES):
                    async with db.transaction():
                        await notifications.notify(
                            recipient=account_id,
                            event_key=f"sms-down:{number}",
                            template="battery_critical",
                            params={"station": "Station 1"},
                            safety=True,
                            now=SystemClock().now(),
                        )
            found, by, took_s = await accepted(running, "sms-down", wanted=MESSAGES, timeout_s=90)
            left = len(aliyun)
        finally:
            aliyun.clear()
        row(
            "SMS down",
            f"{MESSAGES} safety messages to a person without push, the first 12 requests answered 503",
            f"accepted {found} of {MESSAGES} by {', '.join(f'{k} {v}' for k, v in sorted(by.items()))},"
            f" all after {took_s:.1f} s",
        )
        assert found == MESSAGES
        assert left == 0, "the provider was not asked often enough to have failed"
