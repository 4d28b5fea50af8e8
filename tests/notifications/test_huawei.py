"""Push to Android phones through the sandbox's Huawei Push Kit, which checks what the real one checks."""

from collections.abc import AsyncIterator
from datetime import datetime
from uuid import UUID

import httpx
import pytest

from backend.accounts import service as accounts
from backend.core.errors import GatewayError
from backend.core.ids import new_id
from backend.core.services import Services
from backend.notifications import service as notifications
from backend.notifications import store
from backend.notifications.gateways import Push, PushGateways
from backend.notifications.gateways.huawei import HuaweiPush
from sandbox.providers import Providers
from tests.cast import ALICE
from tests.factories.accounts import add_person
from tests.fakes import FixedClock
from tests.jobs import run_due_jobs

TOKEN = "android-" + "d" * 40


def message(*, safety: bool = True, body: str = "请勿靠近") -> Push:
    return Push(id=new_id(), title="险情", body=body, template="danger_stay_away", event_key="i:1", safety=safety)


@pytest.fixture
async def huawei(providers: Providers, clock: FixedClock) -> AsyncIterator[HuaweiPush]:
    """The transport against the sandbox."""
    providers.huawei.pushes.clear()
    providers.huawei.unregistered.clear()
    settings = providers.settings
    made = HuaweiPush(
        push_url=settings["LINLI_HUAWEI_PUSH_URL"],
        login_url=settings["LINLI_HUAWEI_LOGIN_URL"],
        app_id=settings["LINLI_HUAWEI_APP_ID"],
        app_secret=settings["LINLI_HUAWEI_APP_SECRET"],
        clock=lambda: clock.now().timestamp(),
    )
    yield made
    await made.close()


class TestAPush:
    async def test_is_taken_and_urgent_when_it_is_a_warning(self, huawei: HuaweiPush, providers: Providers) -> None:
        assert await huawei.push(token=TOKEN, push=message())
        assert await huawei.push(token=TOKEN, push=message(safety=False))
        assert [(p.token, p.title, p.urgency) for p in providers.huawei.pushes] == [
            (TOKEN, "险情", "HIGH"),
            (TOKEN, "险情", "NORMAL"),
        ]

    async def test_logs_in_anew_when_the_login_is_over(self, huawei: HuaweiPush, providers: Providers) -> None:
        await huawei.push(token=TOKEN, push=message())
        providers.huawei.expire_tokens()
        await huawei.push(token=TOKEN, push=message())
        assert len(providers.huawei.pushes) == 2

    async def test_to_a_deleted_app_says_that_the_token_is_dead(self, huawei: HuaweiPush, providers: Providers) -> None:
        providers.huawei.unregister(TOKEN)
        with pytest.raises(GatewayError) as refused:
            await huawei.push(token=TOKEN, push=message())
        assert (refused.value.code, refused.value.permanent) == ("Unregistered", True)

    @pytest.mark.parametrize("fault", ["500", "503", "drop"])
    async def test_may_be_tried_again_after_a_fault(self, fault: str, huawei: HuaweiPush, providers: Providers) -> None:
        await huawei.push(token=TOKEN, push=message())
        providers.huawei.faults.add(fault)
        with pytest.raises(GatewayError) as failed:
            await huawei.push(token=TOKEN, push=message())
        assert failed.value.permanent is False

    async def test_that_is_too_large_is_refused_for_good(self, huawei: HuaweiPush) -> None:
        with pytest.raises(GatewayError) as refused:
            await huawei.push(token=TOKEN, push=message(body="长" * 2000))
        assert (refused.value.code, refused.value.permanent) == ("80300008", True)

    async def test_without_a_login_is_refused_by_the_sandbox(self, providers: Providers) -> None:
        async with httpx.AsyncClient(base_url=providers.settings["LINLI_HUAWEI_PUSH_URL"]) as client:
            path = f"/v1/{providers.settings['LINLI_HUAWEI_APP_ID']}/messages:send"
            refused = await client.post(path, json={}, headers={"authorization": "Bearer x"})
            login = await client.post("/oauth2/v3/token", data={"grant_type": "client_credentials", "client_id": "1"})
        assert (refused.json()["code"], login.status_code) == ("80200001", 401)


class TestAPersonWithAnAndroidPhone:
    async def test_is_warned_and_a_dead_token_is_dropped(
        self, huawei: HuaweiPush, providers: Providers, sending: Services, now: datetime
    ) -> None:
        sending.put(PushGateways, PushGateways({"android": huawei}))
        account_id: UUID = await add_person(ALICE)
        for token in (TOKEN, "gone-" + "e" * 40):
            await accounts.register_push_token(account_id=account_id, platform="android", token=token, now=now)
        providers.huawei.unregister("gone-" + "e" * 40)
        await notifications.notify(
            recipient=account_id,
            event_key="i:1",
            template="danger_stay_away",
            params={"station": "天通苑北站"},
            safety=True,
            now=now,
        )
        await run_due_jobs(now=now, services=sending, only="notifications.deliver")
        (row,) = await store.list_deliveries(event_key="i:1", recipient_id=account_id)
        assert (row.channel, row.state) == ("push", "accepted")
        contact = await accounts.get_contact(account_id=account_id)
        assert [t.token for t in contact.push_tokens] == [TOKEN]
