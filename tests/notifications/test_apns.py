"""The APNs transport against the sandbox's APNs: what Apple answers, and what becomes of it."""

import asyncio
from uuid import uuid4

import pytest

from backend.core.errors import GatewayError
from backend.core.ids import new_id
from backend.notifications.gateways import Push
from backend.notifications.gateways.apns import Apns
from sandbox.providers import Providers

PHONE = "a" * 64


def a_push(*, safety: bool = False, event_key: str = "alert:1") -> Push:
    return Push(
        id=new_id(), title="险情", body="请勿靠近", template="danger_stay_away", event_key=event_key, safety=safety
    )


class TestPush:
    async def test_reaches_the_device_with_text_and_urgency(self, apns: Apns, providers: Providers) -> None:
        push = a_push(safety=True)
        answer = await apns.push(token=PHONE, push=push)
        (sent,) = providers.pushes
        assert answer == str(push.id)
        assert sent.device_token == PHONE
        assert (sent.push_type, sent.priority, sent.topic) == ("alert", 10, "cn.linli.app")
        aps = sent.payload["aps"]
        assert isinstance(aps, dict)
        assert aps["alert"] == {"title": "险情", "body": "请勿靠近"}
        assert aps["interruption-level"] == "time-sensitive"

    async def test_one_event_has_one_collapse_id(self, apns: Apns, providers: Providers) -> None:
        for key in ("alert:1", "alert:1", "alert:2"):
            await apns.push(token=PHONE, push=a_push(event_key=key))
        first, again, other = (push.collapse_id for push in providers.pushes)
        assert first == again != other

    @pytest.mark.parametrize("fault", ["goaway", "drop"])
    async def test_a_broken_connection_is_made_again(self, apns: Apns, providers: Providers, fault: str) -> None:
        await apns.push(token=PHONE, push=a_push())
        before = providers.apns.connections_made
        providers.faults["apns"].add(fault)
        await apns.push(token=PHONE, push=a_push())
        assert providers.apns.connections_made > before
        assert len(providers.pushes) == 2

    async def test_a_server_that_keeps_dropping_is_a_passing_failure(self, apns: Apns, providers: Providers) -> None:
        providers.faults["apns"].add("drop", times=3)
        with pytest.raises(GatewayError) as raised:
            await apns.push(token=PHONE, push=a_push())
        assert not raised.value.permanent

    @pytest.mark.parametrize(
        ("fault", "code", "permanent"),
        [
            ("410", "Unregistered", True),
            ("bad_device_token", "BadDeviceToken", True),
            ("429", "TooManyRequests", False),
            ("503", "ServiceUnavailable", False),
            ("shutdown", "Shutdown", False),
            ("500", "InternalServerError", False),
            ("empty_500", "500", False),
        ],
    )
    async def test_each_refusal_says_whether_trying_again_helps(
        self, apns: Apns, providers: Providers, fault: str, code: str, permanent: bool
    ) -> None:
        providers.faults["apns"].add(fault)
        with pytest.raises(GatewayError) as raised:
            await apns.push(token=PHONE, push=a_push())
        assert (raised.value.code, raised.value.permanent) == (code, permanent)

    async def test_an_expired_token_is_made_anew(self, apns: Apns, providers: Providers) -> None:
        providers.faults["apns"].add("expired_token")
        with pytest.raises(GatewayError) as raised:
            # Within 20 minutes on the same connection Apple refuses a second token; it passes.
            for _ in range(2):
                await apns.push(token=PHONE, push=a_push())
        assert raised.value.code == "TooManyProviderTokenUpdates"
        assert not raised.value.permanent

    async def test_a_wrong_key_is_refused(self, providers: Providers) -> None:
        settings = providers.settings
        stranger = Apns(
            url=settings["LINLI_APNS_URL"],
            key_file=settings["LINLI_APNS_KEY_FILE"],
            key_id="ZZZZZZZZZZ",
            team_id=settings["LINLI_APNS_TEAM_ID"],
            topic=settings["LINLI_APNS_TOPIC"],
            ca_file=settings["LINLI_APNS_CA_FILE"],
        )
        with pytest.raises(GatewayError) as raised:
            await stranger.push(token=PHONE, push=a_push())
        assert raised.value.code == "InvalidProviderToken"
        assert not providers.pushes

    async def test_without_a_key_it_says_so_and_sends_nothing(self) -> None:
        unset = Apns(url="https://127.0.0.1:1", key_file="", key_id="", team_id="", topic="cn.linli.app")
        with pytest.raises(GatewayError) as raised:
            await unset.push(token=str(uuid4()), push=a_push())
        assert raised.value.code == "not_configured"


class TestManyPushes:
    async def test_go_side_by_side_over_one_connection(self, apns: Apns, providers: Providers) -> None:
        await apns.push(token=PHONE, push=a_push())
        before = providers.apns.connections_made
        await asyncio.gather(*(apns.push(token=PHONE, push=a_push(event_key=f"alert:{n}")) for n in range(200)))
        assert len(providers.pushes) == 201
        assert providers.apns.connections_made == before

    async def test_survive_connections_that_break_under_them(self, apns: Apns, providers: Providers) -> None:
        await apns.push(token=PHONE, push=a_push())
        providers.faults["apns"].add("goaway")
        answers = await asyncio.gather(
            *(apns.push(token=PHONE, push=a_push(event_key=f"alert:{n}")) for n in range(50)), return_exceptions=True
        )
        assert [answer for answer in answers if isinstance(answer, BaseException)] == []
        assert len({push.apns_id for push in providers.pushes}) == 51
