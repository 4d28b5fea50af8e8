"""Handing deliveries to their providers: outside any transaction, at least once, with retries and the next channel.

A crash between the provider's answer and our commit sends the same delivery again; the push carries the delivery's id
and a collapse id, so a phone shows it once.
"""

from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from backend.accounts import service as accounts
from backend.core import db, jobs
from backend.core.clock import Clock
from backend.core.errors import GatewayError, NotFound
from backend.core.gateways import SmsGateway, VoiceGateway
from backend.core.live import Live
from backend.core.services import Services
from backend.notifications import store, store_consents
from backend.notifications.gateways import DEVICE_GONE, Push, PushGateways, live
from backend.notifications.gateways.wechat_subscribe import NO_CONSENT, WeChatSubscribe
from backend.notifications.rules import channels as rules
from backend.notifications.rules import texts
from backend.notifications.rules.channels import Channel, State
from backend.notifications.service import Deliver, move_on_at_once, start_next, try_again
from backend.notifications.store import DeliveryRow

SWEEP_AFTER = timedelta(minutes=2)
"""A try that is this late has lost its job."""


class _Unreachable(Exception):
    """The person has no address on this channel."""


async def announce(*, message_id: UUID, services: Services) -> None:
    """Show a new message on the person's open inboxes."""
    row = await store.find_message(message_id=message_id)
    if row is not None:
        await live.announce(recipient_id=row.recipient_id, message_id=row.id, live=services.get(Live))


async def deliver(*, delivery_id: UUID, services: Services) -> None:
    """Try a pending delivery once; a passing failure sets the next try, a final one starts the next channel."""
    clock: Clock = services.get(Clock)  # type: ignore[type-abstract]
    row = await store.find_delivery(delivery_id=delivery_id)
    if row is None or row.state != "pending" or row.due_at > clock.now():
        return
    try:
        contact = await accounts.get_contact(account_id=row.recipient_id)
        provider_id = await _send(row, contact, services)
    except (NotFound, _Unreachable):
        await _settle(row, "unreachable", None, "no address on this channel", clock)
    except GatewayError as error:
        attempts = row.attempts + 1
        # an ordinary message may have waited for the end of quiet hours: only its tries are counted
        age_s = (clock.now() - row.created_at).total_seconds() if row.safety else 0.0
        if error.permanent or not rules.may_retry(attempts=attempts, age_s=age_s):
            await _settle(row, "failed", None, _answer(error), clock)
        else:
            wait_s = rules.retry_after_s(attempts=attempts, safety=row.safety, asked_s=error.retry_after_s)
            await _postpone(row, wait_s, _answer(error), clock)
    else:
        await _settle(row, "accepted", provider_id, None, clock)


async def move_on(*, event_key: str, recipient: UUID, services: Services) -> None:
    """Start the next channel of a message when none has accepted it; a chain that is through does nothing."""
    clock: Clock = services.get(Clock)  # type: ignore[type-abstract]
    async with db.transaction():
        rows = await store.list_deliveries(event_key=event_key, recipient_id=recipient)
        first = next((row for row in rows if row.chain), None)
        if first is None:
            return
        chain: tuple[Channel, ...] = msgspec.convert(first.chain.split(","), tuple[Channel, ...])
        states: dict[Channel, State] = {row.channel: row.state for row in rows}
        following = rules.next_channel(chain, states)
        if following is None:
            return
        now = clock.now()
        await start_next(first, following, chain, now)


async def sweep(*, now: datetime) -> int:
    """Give pending deliveries whose job was lost (held after too many faults) a new one; returns how many."""
    async with db.transaction():
        overdue = await store.list_overdue(before=now - SWEEP_AFTER)
        for delivery_id in overdue:
            await jobs.schedule(
                "notifications.deliver", Deliver(delivery_id), due_at=now, now=now, dedupe_key=f"sweep:{delivery_id}"
            )
    return len(overdue)


async def _send(row: DeliveryRow, contact: accounts.Contact, services: Services) -> str:
    if row.channel == "push":
        return await _push(row, contact, services)
    if row.channel == "wechat":
        return await _wechat(row, contact, services)
    if contact.phone is None:
        raise _Unreachable
    if row.channel == "sms":
        sms: SmsGateway = services.get(SmsGateway)  # type: ignore[type-abstract]
        return await sms.send(phone=contact.phone, template=row.template, params=row.params, locale=contact.locale)
    voice: VoiceGateway = services.get(VoiceGateway)  # type: ignore[type-abstract]
    return await voice.call(phone=contact.phone, template=row.template, params=row.params, locale=contact.locale)


async def _push(row: DeliveryRow, contact: accounts.Contact, services: Services) -> str:
    """Push to every device of the person; one that took it is enough, dead tokens are dropped."""
    gateways = services.get(PushGateways)
    text = texts.render(row.template, locale=contact.locale, params=row.params)
    push = Push(
        id=row.id, title=text.title, body=text.body, template=row.template, event_key=row.event_key, safety=row.safety
    )
    accepted: str | None = None
    failure: GatewayError | None = None
    for token in contact.push_tokens:
        gateway = gateways.find(token.platform)
        if gateway is None:
            continue
        try:
            accepted = await gateway.push(token=token.token, push=push)
        except GatewayError as error:
            if error.code in DEVICE_GONE:
                await accounts.drop_push_token(token_id=token.id)
            elif failure is None or failure.permanent:
                failure = error
    if accepted is not None:
        return accepted
    if failure is not None:
        raise failure
    raise _Unreachable


async def _wechat(row: DeliveryRow, contact: accounts.Contact, services: Services) -> str:
    """Send a subscribe message with the person's oldest consent; a refusal uses up what we believed to have."""
    clock: Clock = services.get(Clock)  # type: ignore[type-abstract]
    if contact.wechat_openid is None:
        raise _Unreachable
    if not await store_consents.claim_consent(row.recipient_id, row.template, row.id, clock.now()):
        raise _Unreachable
    try:
        sent = await services.get(WeChatSubscribe).send(
            openid=contact.wechat_openid, template=row.template, params=row.params, locale=contact.locale
        )
    except GatewayError as error:
        if error.code == NO_CONSENT:
            await store_consents.settle_consent(row.id, "refused")
            await store_consents.drop_consents(row.recipient_id, row.template, clock.now())
        elif error.permanent:
            await store_consents.settle_consent(row.id, "failed")
        raise
    await store_consents.settle_consent(row.id, "sent")
    return sent


async def _settle(row: DeliveryRow, state: State, provider_id: str | None, answer: str | None, clock: Clock) -> None:
    now = clock.now()
    async with db.transaction():
        settled = await store.settle_delivery(
            delivery_id=row.id, state=state, provider_id=provider_id, provider_answer=answer, now=now
        )
        if settled and state != "accepted" and row.chain:
            await move_on_at_once(row, now=now)


async def _postpone(row: DeliveryRow, wait_s: float, answer: str, clock: Clock) -> None:
    now = clock.now()
    due_at = now + timedelta(seconds=wait_s)
    async with db.transaction():
        if await store.postpone_delivery(delivery_id=row.id, due_at=due_at, provider_answer=answer):
            await try_again(row, due_at=due_at, now=now)


def _answer(error: GatewayError) -> str:
    return f"{error.code} {error}".strip()[:500]
