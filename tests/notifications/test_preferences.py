"""Quiet hours, preferences and consents: one consent, one WeChat message; safety ignores all of it."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.accounts import service as accounts
from backend.core import crypto, db
from backend.core.errors import GatewayError
from backend.core.services import Services
from backend.notifications import service as notifications
from backend.notifications import store
from backend.notifications.gateways.wechat_subscribe import WeChatSubscribe
from backend.notifications.rules import texts
from backend.notifications.rules.quiet import AT_ONCE, SUBSCRIBABLE, Preferences, sound_at
from backend.notifications.service import preferences
from sandbox.providers import Providers
from tests.cast import ALICE
from tests.factories.accounts import add_person, log_in
from tests.fakes import FixedClock
from tests.jobs import run_due_jobs

NIGHT = datetime(2026, 6, 10, 17, 30, tzinfo=UTC)
"""01:30 in Beijing."""
MORNING = datetime(2026, 6, 10, 23, 0, tzinfo=UTC)
NOON = datetime(2026, 6, 10, 4, 0, tzinfo=UTC)
OPENID = "oWx-alice"
KEY = "order:1"


class TestQuietHours:
    @pytest.mark.parametrize(
        ("at", "wanted", "expected"),
        [
            (NIGHT, Preferences(), MORNING),
            (MORNING - timedelta(minutes=1), Preferences(), MORNING),
            (MORNING, Preferences(), MORNING),
            (NOON, Preferences(), NOON),
            (NIGHT, Preferences(quiet_from_min=0, quiet_to_min=0), NIGHT),
            (NOON, Preferences(quiet_from_min=12 * 60, quiet_to_min=14 * 60), NOON + timedelta(hours=2)),
            (NIGHT, Preferences(quiet_from_min=12 * 60, quiet_to_min=14 * 60), NIGHT),
        ],
    )
    def test_put_an_ordinary_message_off_to_their_end(
        self, at: datetime, wanted: Preferences, expected: datetime
    ) -> None:
        assert sound_at(template="order_ready", preferences=wanted, now=at) == expected

    def test_do_not_hold_what_somebody_waits_for(self) -> None:
        assert sound_at(template="queue_offer", preferences=Preferences(), now=NIGHT) == NIGHT

    @given(st.integers(0, 2 * 1440 * 60), st.integers(0, 1439), st.integers(0, 1439))
    def test_never_hold_anything_for_more_than_a_day_and_never_into_quiet_hours(
        self, second: int, start: int, end: int
    ) -> None:
        at = NOON + timedelta(seconds=second)
        wanted = Preferences(quiet_from_min=start, quiet_to_min=end)
        sounds = sound_at(template="order_ready", preferences=wanted, now=at)
        assert at <= sounds <= at + timedelta(days=1)
        assert sound_at(template="order_ready", preferences=wanted, now=sounds) == sounds

    def test_are_told_only_of_messages_that_exist(self) -> None:
        assert set(texts.TEMPLATES) >= AT_ONCE | SUBSCRIBABLE

    def test_and_consents_have_nothing_to_do_with_danger(self) -> None:
        assert not [name for name in SUBSCRIBABLE if "danger" in name or "battery" in name or "incident" in name]


@pytest.fixture
async def alice(database: object) -> UUID:
    """A resident who came by WeChat."""
    account_id = await add_person(ALICE)
    await db.execute(
        "UPDATE account SET openid_cipher = $2, openid_hash = $3 WHERE id = $1",
        account_id,
        crypto.encrypt(OPENID),
        crypto.lookup_hash(OPENID),
    )
    return account_id


@pytest.fixture
async def wechat(sending: Services, providers: Providers, clock: FixedClock) -> WeChatSubscribe:
    """The transport against the sandbox's WeChat, where nothing is consented to."""
    providers.wechat.subscribe.clear()
    made = WeChatSubscribe(
        base_url=providers.settings["LINLI_WECHAT_URL"],
        app_id=providers.settings["LINLI_WECHAT_APP_ID"],
        app_secret=providers.settings["LINLI_WECHAT_APP_SECRET"],
        template_ids={"refund_done": "TMPL-9"},
        clock=lambda: clock.now().timestamp(),
    )
    sending.put(WeChatSubscribe, made)
    return made


async def tell(account_id: UUID, now: datetime, *, key: str = KEY) -> None:
    await notifications.notify(
        recipient=account_id, event_key=key, template="refund_done", params={"total_yuan": "1"}, safety=False, now=now
    )


async def states(account_id: UUID, key: str = KEY) -> dict[str, str]:
    return {row.channel: row.state for row in await store.list_deliveries(event_key=key, recipient_id=account_id)}


class TestAConsent:
    async def test_is_good_for_one_message(
        self, alice: UUID, wechat: WeChatSubscribe, sending: Services, providers: Providers, clock: FixedClock
    ) -> None:
        now = clock.now()
        await preferences.add_consents(account_id=alice, templates=["refund_done"], now=now)
        providers.wechat.subscribe.consent(OPENID, "TMPL-9")
        for key in ("order:1", "order:2"):
            await tell(alice, now, key=key)
            await run_due_jobs(now=now, services=sending, only="notifications.")
        assert (await states(alice, "order:1"))["wechat"] == "accepted"
        assert "wechat" not in await states(alice, "order:2")
        (sent,) = providers.wechat.subscribe.sent
        assert (sent.openid, sent.template_id) == (OPENID, "TMPL-9")
        assert [row.outcome for row in await preferences.list_consents(account_id=alice)] == ["sent"]

    async def test_that_the_person_took_back_in_wechat_is_used_up_by_43101(
        self, alice: UUID, wechat: WeChatSubscribe, sending: Services, providers: Providers, clock: FixedClock
    ) -> None:
        now = clock.now()
        await preferences.add_consents(account_id=alice, templates=["refund_done", "refund_done"], now=now)
        await tell(alice, now)
        await run_due_jobs(now=now, services=sending, only="notifications.")
        assert (await states(alice))["wechat"] == "failed"
        assert {row.outcome for row in await preferences.list_consents(account_id=alice)} == {"refused"}
        row = await db.fetchrow("SELECT provider_answer FROM delivery WHERE channel = 'wechat'")
        assert row is not None and row["provider_answer"].startswith("43101")

    async def test_is_not_lost_when_wechat_is_busy_or_the_token_was_renewed_elsewhere(
        self, alice: UUID, wechat: WeChatSubscribe, sending: Services, providers: Providers, clock: FixedClock
    ) -> None:
        now = clock.now()
        desk = providers.wechat.subscribe
        await preferences.add_consents(account_id=alice, templates=["refund_done"], now=now)
        desk.consent(OPENID, "TMPL-9")
        providers.wechat.faults.add("busy")
        await tell(alice, now)
        await run_due_jobs(now=now, services=sending, only="notifications.")
        assert (await states(alice))["wechat"] == "pending"
        clock.advance(minutes=1)
        desk.revoke_token()
        await run_due_jobs(now=clock.now(), services=sending, only="notifications.")
        assert (await states(alice))["wechat"] == "accepted"
        assert [row.outcome for row in await preferences.list_consents(account_id=alice)] == ["sent"]

    async def test_is_refused_by_the_sandbox_without_a_good_token_or_value(
        self, wechat: WeChatSubscribe, providers: Providers
    ) -> None:
        url = providers.settings["LINLI_WECHAT_URL"]
        async with httpx.AsyncClient(base_url=url) as client:
            bad = await client.post("/cgi-bin/message/subscribe/send", params={"access_token": "x"}, json={})
            wrong = await client.post("/cgi-bin/stable_token", json={"grant_type": "client_credential", "appid": "?"})
        assert (bad.json()["errcode"], wrong.json()["errcode"]) == (40001, 40013)
        with pytest.raises(GatewayError) as refused:
            await wechat.send(openid=OPENID, template="refund_done", params={"total_yuan": "1"}, locale="en")
        assert (refused.value.code, refused.value.permanent) == ("43101", True)

    async def test_never_carries_a_safety_message(
        self, alice: UUID, wechat: WeChatSubscribe, sending: Services, clock: FixedClock
    ) -> None:
        with pytest.raises(preferences.NotSubscribable):
            await preferences.add_consents(account_id=alice, templates=["danger_stay_away"], now=clock.now())


class TestPreferences:
    async def test_let_an_ordinary_push_wait_for_the_morning_and_a_warning_not(
        self, alice: UUID, sending: Services
    ) -> None:
        await accounts.register_push_token(account_id=alice, platform="ios", token="a" * 64, now=NIGHT)
        await tell(alice, NIGHT)
        await notifications.notify(
            recipient=alice,
            event_key="incident:1",
            template="danger_stay_away",
            params={"station": "天通苑北站"},
            safety=True,
            now=NIGHT,
        )
        due = {
            row.event_key: row.due_at
            for key in (KEY, "incident:1")
            for row in await store.list_deliveries(event_key=key, recipient_id=alice)
        }
        assert due == {KEY: MORNING, "incident:1": NIGHT}
        assert [i.template for i in await notifications.list_inbox(account_id=alice, locale="en")] == [
            "danger_stay_away",
            "refund_done",
        ]

    async def test_without_push_leave_the_inbox(self, alice: UUID) -> None:
        await preferences.put_preferences(account_id=alice, wanted=Preferences(push=False), now=NOON)
        await tell(alice, NOON)
        assert await states(alice) == {}
        assert await notifications.count_unread(account_id=alice) == 1

    async def test_are_set_over_http_exported_and_erased(
        self, api: httpx.AsyncClient, services: Services, now: datetime
    ) -> None:
        alice = await log_in(ALICE, services=services, now=now)
        path = "/v1/me/notifications"
        assert (await api.get(path)).status_code == 401
        assert (await api.get(path, headers=alice.headers)).json()["quiet_from_min"] == 1380
        body = {"push": False, "quiet_from_min": 60, "quiet_to_min": 120}
        assert (await api.put(path, json=body, headers=alice.headers)).json()["push"] is False
        wrong = await api.put(path, json={"quiet_from_min": 1440}, headers=alice.headers)
        assert (wrong.status_code, wrong.json()["code"]) == (422, "quiet_hours_invalid")
        ledger = "/v1/me/wechat-consents"
        refused = await api.post(ledger, json={"templates": ["all_clear"]}, headers=alice.headers)
        assert (refused.status_code, refused.json()["code"]) == (422, "not_subscribable")
        made = await api.post(ledger, json={"templates": ["order_ready"]}, headers=alice.headers)
        assert [item["template"] for item in made.json()["items"]] == ["order_ready"]
        account_id = await add_person(ALICE)
        exported = await notifications.export_personal_data(account_id=account_id)
        assert len(exported["wechat_consents"]) == 1
        await notifications.erase_personal_data(account_id=account_id, now=now)
        assert (await api.get(ledger, headers=alice.headers)).json()["items"] == []
