"""Telling people: once per event, recipient and channel, and on to the next channel when one does not accept."""

from datetime import datetime
from uuid import UUID

import pytest
from piccolo.engine.postgres import PostgresEngine

from backend.accounts import service as accounts
from backend.core import db
from backend.core.ids import new_id
from backend.core.services import Services
from backend.notifications import service as notifications
from backend.notifications import store
from backend.notifications.rules.channels import Channel
from backend.notifications.service import deliveries
from sandbox.providers import Providers
from tests.cast import ALICE, WANG
from tests.factories.accounts import add_person
from tests.fakes import FixedClock
from tests.jobs import run_due_jobs

PHONE_TOKEN = "b" * 64
OLD_TOKEN = "c" * 64


@pytest.fixture
async def alice(database: PostgresEngine, now: datetime) -> UUID:
    """A resident with the app on one phone."""
    account_id = await add_person(ALICE)
    await accounts.register_push_token(account_id=account_id, platform="ios", token=PHONE_TOKEN, now=now)
    return account_id


@pytest.fixture
async def wang(database: PostgresEngine) -> UUID:
    """A guard without the app."""
    return await add_person(WANG)


async def tell(recipient: UUID, now: datetime, *, safety: bool, key: str = "incident:1") -> None:
    await notifications.notify(
        recipient=recipient,
        event_key=key,
        template="danger_stay_away" if safety else "refund_done",
        params={"station": "天通苑北站"} if safety else {"total_yuan": "1"},
        safety=safety,
        now=now,
    )


async def states(recipient: UUID, key: str = "incident:1") -> dict[Channel, str]:
    return {row.channel: row.state for row in await store.list_deliveries(event_key=key, recipient_id=recipient)}


async def run(sending: Services, clock: FixedClock) -> list[str]:
    return await run_due_jobs(now=clock.now(), services=sending, only="notifications.")


class TestNotify:
    async def test_an_ordinary_message_is_an_inbox_entry_and_one_push(
        self, alice: UUID, sending: Services, providers: Providers, clock: FixedClock
    ) -> None:
        await tell(alice, clock.now(), safety=False)
        await run(sending, clock)
        assert await states(alice) == {"push": "accepted"}
        assert [push.device_token for push in providers.pushes] == [PHONE_TOKEN]
        assert not providers.sent_sms and not providers.calls
        (item,) = await notifications.list_inbox(account_id=alice, locale="zh-CN")
        assert (item.title, item.body) == ("退款成功", "1元已原路退回。")

    async def test_telling_again_changes_nothing(
        self, alice: UUID, sending: Services, providers: Providers, clock: FixedClock
    ) -> None:
        for _ in range(3):
            await tell(alice, clock.now(), safety=True)
            await run(sending, clock)
        assert len(providers.pushes) == 1
        assert len(await notifications.list_inbox(account_id=alice, locale="en")) == 1

    async def test_two_people_are_told_apart(
        self, alice: UUID, wang: UUID, sending: Services, providers: Providers, clock: FixedClock
    ) -> None:
        for person in (alice, wang):
            await tell(person, clock.now(), safety=True)
        await run(sending, clock)
        assert len(providers.pushes) == 1
        assert [sent.phone for sent in providers.sent_sms] == [WANG.phone]

    async def test_an_unknown_template_is_refused_and_nothing_is_written(self, alice: UUID, now: datetime) -> None:
        with pytest.raises(KeyError):
            await notifications.notify(
                recipient=alice, event_key="k", template="nope", params={}, safety=False, now=now
            )
        assert await notifications.list_inbox(account_id=alice, locale="en") == []

    async def test_channels_can_be_named(
        self, alice: UUID, sending: Services, providers: Providers, clock: FixedClock
    ) -> None:
        await notifications.notify(
            recipient=alice,
            event_key="k",
            template="refund_done",
            params={"total_yuan": "1"},
            safety=False,
            now=clock.now(),
            channels=("sms",),
        )
        await run(sending, clock)
        assert await states(alice, "k") == {"sms": "accepted"}
        assert not providers.pushes


class TestSafety:
    async def test_an_accepted_push_is_enough(
        self, alice: UUID, sending: Services, providers: Providers, clock: FixedClock
    ) -> None:
        await tell(alice, clock.now(), safety=True)
        await run(sending, clock)
        clock.advance(seconds=11)
        await run(sending, clock)
        assert await states(alice) == {"push": "accepted"}

    async def test_a_push_that_is_not_accepted_in_10_s_is_followed_by_an_sms_and_then_a_call(
        self, alice: UUID, sending: Services, providers: Providers, clock: FixedClock
    ) -> None:
        providers.faults["apns"].add("503", times=20)
        await tell(alice, clock.now(), safety=True)
        await run(sending, clock)
        assert await states(alice) == {"push": "pending"}
        clock.advance(seconds=9)
        await run(sending, clock)
        assert "sms" not in await states(alice)
        providers.faults["aliyun"].add("500", times=20)
        clock.advance(seconds=1)
        await run(sending, clock)
        assert (await states(alice))["sms"] == "pending"
        providers.faults["aliyun"].clear()
        providers.faults["aliyun"].add("500")
        clock.advance(seconds=10)
        await run(sending, clock)
        found = await states(alice)
        assert found["voice"] in ("accepted", "pending")
        clock.advance(seconds=30)
        await run(sending, clock)
        assert (await states(alice))["voice"] == "accepted"
        assert len(providers.calls) == 1

    async def test_who_has_no_app_gets_the_sms_at_once(
        self, wang: UUID, sending: Services, providers: Providers, clock: FixedClock
    ) -> None:
        await tell(wang, clock.now(), safety=True)
        await run(sending, clock)
        assert await states(wang) == {"push": "unreachable", "sms": "accepted"}
        assert "天通苑北站发生险情" in providers.sent_sms[-1].text

    async def test_a_push_that_succeeds_later_is_not_sent_twice(
        self, alice: UUID, sending: Services, providers: Providers, clock: FixedClock
    ) -> None:
        providers.faults["apns"].add("429")
        await tell(alice, clock.now(), safety=True)
        await run(sending, clock)
        clock.advance(seconds=2)
        await run(sending, clock)
        clock.advance(seconds=60)
        await run(sending, clock)
        assert await states(alice) == {"push": "accepted"}
        assert len(providers.pushes) == 1

    @pytest.mark.parametrize("fault", ["429", "503", "empty_500", "goaway", "drop"])
    async def test_no_fault_of_apns_loses_the_message(
        self, alice: UUID, sending: Services, providers: Providers, clock: FixedClock, fault: str
    ) -> None:
        providers.faults["apns"].add(fault, times=4)
        await tell(alice, clock.now(), safety=True)
        for _ in range(12):
            await run(sending, clock)
            clock.advance(seconds=10)
        found = await states(alice)
        assert "accepted" in found.values()
        assert found["push"] == "accepted"


class TestSweep:
    async def test_finds_a_delivery_that_lost_its_job(
        self, alice: UUID, sending: Services, providers: Providers, clock: FixedClock
    ) -> None:
        await tell(alice, clock.now(), safety=False)
        await db.execute("DELETE FROM pgqueuer")
        assert await deliveries.sweep(now=clock.advance(seconds=100)) == 0
        assert await deliveries.sweep(now=clock.advance(seconds=60)) == 1
        assert await deliveries.sweep(now=clock.now()) == 1, "a second sweep finds it still pending"
        await run(sending, clock)
        assert len(providers.pushes) == 1


class TestDeadTokens:
    @pytest.mark.parametrize("how", ["unregistered", "bad"])
    async def test_are_dropped_and_the_other_phone_still_rings(
        self, alice: UUID, sending: Services, providers: Providers, clock: FixedClock, how: str
    ) -> None:
        old = OLD_TOKEN if how == "unregistered" else "not-a-token"
        await accounts.register_push_token(account_id=alice, platform="ios", token=old, now=clock.now())
        providers.unregister_device(OLD_TOKEN)
        await tell(alice, clock.now(), safety=False)
        await run(sending, clock)
        contact = await accounts.get_contact(account_id=alice)
        assert [token.token for token in contact.push_tokens] == [PHONE_TOKEN]
        assert await states(alice) == {"push": "accepted"}

    async def test_with_no_phone_left_a_safety_message_moves_on(
        self, alice: UUID, sending: Services, providers: Providers, clock: FixedClock
    ) -> None:
        providers.unregister_device(PHONE_TOKEN)
        await tell(alice, clock.now(), safety=True)
        await run(sending, clock)
        assert await states(alice) == {"push": "unreachable", "sms": "accepted"}


class TestPage:
    async def test_rings_at_once_with_the_inbox_beside_it(
        self, wang: UUID, sending: Services, providers: Providers, clock: FixedClock
    ) -> None:
        for _ in range(2):
            await notifications.page(
                recipients=[wang],
                event_key="incident:7",
                template="incident_page",
                params={"station": "天通苑北站", "reason": "烟感报警"},
                now=clock.now(),
            )
        await run(sending, clock)
        (call,) = providers.calls
        assert call.phone == WANG.phone
        assert (await states(wang, "incident:7"))["voice"] == "accepted"
        assert len(await notifications.list_inbox(account_id=wang, locale="zh-CN")) == 1

    async def test_a_call_that_cannot_be_made_is_followed_by_an_sms(
        self, wang: UUID, sending: Services, providers: Providers, clock: FixedClock
    ) -> None:
        providers.faults["aliyun"].add("500")
        await notifications.page(
            recipients=[wang],
            event_key="incident:7",
            template="incident_page",
            params={"station": "天通苑北站", "reason": "烟感报警"},
            now=clock.now(),
        )
        await run(sending, clock)
        clock.advance(seconds=10)
        await run(sending, clock)
        assert (await states(wang, "incident:7"))["sms"] == "accepted"
        assert [sent.phone for sent in providers.sent_sms] == [WANG.phone]


class TestPersonalData:
    async def test_export_and_erasure(self, alice: UUID, wang: UUID, now: datetime) -> None:
        for person in (alice, wang):
            await tell(person, now, safety=True)
        assert len((await notifications.export_personal_data(account_id=alice))["inbox"]) == 1
        await notifications.erase_personal_data(account_id=alice, now=now)
        assert await notifications.list_inbox(account_id=alice, locale="en") == []
        assert await states(alice) == {}
        assert len(await notifications.list_inbox(account_id=wang, locale="en")) == 1

    async def test_a_message_for_an_erased_account_reaches_nobody(
        self, database: PostgresEngine, sending: Services, providers: Providers, clock: FixedClock
    ) -> None:
        nobody = new_id()
        await tell(nobody, clock.now(), safety=True)
        await run(sending, clock)
        assert set((await states(nobody)).values()) == {"unreachable"}
        assert not providers.pushes and not providers.sent_sms and not providers.calls
