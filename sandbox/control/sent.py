"""What the service sent to the outside world, and what people answer there: SMS, calls, pushes, WeChat."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
from litestar import Controller, get, post
from litestar.status_codes import HTTP_200_OK

from sandbox.control.desk import Answer, Desk
from sandbox.fleet.errors import CannotDo, NotThere, NotUnderstood
from sandbox.wechat_pay.server import CannotPay


class LoginCode(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Who logs in to the mini-program: a phone (its openid follows from it) or an openid."""

    phone: str | None = None
    openid: str | None = None


class Consent(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Who taps "accept" in `wx.requestSubscribeMessage`, for which template, how often."""

    template: str
    phone: str | None = None
    openid: str | None = None
    times: Annotated[int, msgspec.Meta(ge=1, le=100)] = 1


class ProviderFault(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A provider that fails for its next ``times`` requests."""

    provider: str
    fault: str
    times: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 1


def openid_of(phone: str) -> str:
    """The openid that the person with this phone has in our mini-program: always the same."""
    return "o" + hashlib.sha256(f"openid of {phone}".encode()).hexdigest()[:27]


def _whose(phone: str | None, openid: str | None) -> str:
    """The openid that is meant by a phone or an openid, exactly one of them."""
    if (phone is None) == (openid is None):
        raise NotUnderstood(
            code="who",
            detail="Say who it is: phone or openid, one of them.",
            hint='For example {"phone": "13800000001"}.',
        )
    return openid or openid_of(phone or "")


def read_since(since: str | None) -> float:
    """Seconds since the epoch from a number or RFC 3339; None is the beginning."""
    if since is None:
        return 0.0
    try:
        return float(since)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(since.replace(" ", "+"))
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise NotUnderstood(
            code="bad_since",
            detail=f"since={since} is no instant.",
            hint="Give seconds since the epoch, or RFC 3339 with an offset such as 2026-11-21T22:00:00Z.",
        )
    return moment.timestamp()


def _told(at: float, **fields: Any) -> Answer:
    """One item: the instant in both forms, then what was sent."""
    return {"at": datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds"), "at_s": at, **fields}


class SentController(Controller):
    """Reads what was sent; plays the WeChat user."""

    @get("/sms")
    async def sms(self, desk: Desk, phone: str | None = None, since: str | None = None) -> Answer:
        """Text messages, oldest first; `code` is the one-time code in it, if any."""
        after = read_since(since)
        return {
            "items": [
                _told(
                    sms.at,
                    phone=sms.phone,
                    text=sms.text,
                    code=sms.params.get("code"),
                    template_code=sms.template_code,
                    params=sms.params,
                )
                for sms in desk.providers.sent_sms
                if sms.at > after and phone in (None, sms.phone)
            ]
        }

    @get("/calls")
    async def calls(self, desk: Desk, phone: str | None = None, since: str | None = None) -> Answer:
        """Ringing calls, oldest first, with what was read out."""
        after = read_since(since)
        return {
            "items": [
                _told(
                    call.at,
                    phone=call.phone,
                    text=call.text,
                    template_code=call.tts_code,
                    params=call.params,
                    play_times=call.play_times,
                    call_id=call.call_id,
                )
                for call in desk.providers.calls
                if call.at > after and phone in (None, call.phone)
            ]
        }

    @get("/pushes")
    async def pushes(self, desk: Desk, token: str | None = None, since: str | None = None) -> Answer:
        """Pushes that APNs accepted, oldest first."""
        after = read_since(since)
        return {
            "items": [
                _told(
                    push.at,
                    token=push.device_token,
                    payload=push.payload,
                    topic=push.topic,
                    push_type=push.push_type,
                    priority=push.priority,
                    collapse_id=push.collapse_id,
                    apns_id=push.apns_id,
                )
                for push in desk.providers.pushes
                if push.at > after and token in (None, push.device_token)
            ]
        }

    @post("/pushes/{token:str}/unregister", status_code=HTTP_200_OK)
    async def unregister(self, desk: Desk, token: str) -> Answer:
        """Delete the app from the phone with that token: its pushes are answered 410 from now on."""
        desk.providers.unregister_device(token)
        return {"did": f"APNs answers 410 Unregistered for {token} from now on."}

    @get("/pushes/huawei")
    async def vendor_pushes(self, desk: Desk, token: str | None = None, since: str | None = None) -> Answer:
        """Pushes that Huawei's Push Kit accepted for Android phones, oldest first."""
        after = read_since(since)
        return {
            "items": [
                _told(push.at, token=push.token, title=push.title, body=push.body, urgency=push.urgency)
                for push in desk.providers.huawei.pushes
                if push.at > after and token in (None, push.token)
            ]
        }

    @post("/pushes/huawei/{token:str}/unregister", status_code=HTTP_200_OK)
    async def unregister_vendor(self, desk: Desk, token: str) -> Answer:
        """Delete the app from the Android phone with that token."""
        desk.providers.huawei.unregister(token)
        return {"did": f"Push Kit answers 80300007 for {token} from now on."}

    @get("/wechat/messages")
    async def messages(
        self, desk: Desk, phone: str | None = None, openid: str | None = None, since: str | None = None
    ) -> Answer:
        """Subscribe messages that WeChat delivered, oldest first."""
        after, wanted = read_since(since), openid or (None if phone is None else openid_of(phone))
        return {
            "items": [
                _told(message.at, openid=message.openid, template=message.template_id, data=message.data)
                for message in desk.providers.wechat.subscribe.sent
                if message.at > after and wanted in (None, message.openid)
            ]
        }

    @get("/wechat/consents")
    async def consents(self, desk: Desk) -> Answer:
        """What WeChat would still deliver: one message for each consent."""
        return {
            "items": [
                {"openid": openid, "template": template, "left": left}
                for openid, template, left in desk.providers.wechat.subscribe.list_consents()
            ]
        }

    @post("/wechat/consents", status_code=HTTP_200_OK)
    async def consent(self, desk: Desk, data: Consent) -> Answer:
        """Accept messages of a template as the WeChat user; the app then tells POST /v1/me/wechat-consents."""
        openid = _whose(data.phone, data.openid)
        for _ in range(data.times):
            desk.providers.wechat.subscribe.consent(openid, data.template)
        return {"did": f"WeChat delivers {data.times} more of {data.template}.", "openid": openid}

    @post("/wechat/consents/withdraw", status_code=HTTP_200_OK)
    async def withdraw(self, desk: Desk, data: LoginCode) -> Answer:
        """Switch our messages off in WeChat: every consent is void, and a message gets 43101."""
        openid = _whose(data.phone, data.openid)
        void = desk.providers.wechat.subscribe.withdraw(openid)
        return {"did": f"{void} consents are void; our messages to {openid} get 43101.", "openid": openid}

    @get("/wechat/orders")
    async def orders(self, desk: Desk) -> Answer:
        """Orders placed at WeChat Pay, newest first."""
        return {
            "items": [
                {
                    "out_trade_no": trade.out_trade_no,
                    "prepay_id": trade.prepay_id,
                    "mchid": trade.mchid,
                    "description": trade.description,
                    "total_fen": trade.total,
                    "state": trade.state,
                    "refunded_fen": trade.refunded,
                }
                for trade in desk.providers.wechat_pay.books.list_trades()
            ]
        }

    @post("/wechat/orders/{number:str}/pay", status_code=HTTP_200_OK)
    async def pay(self, desk: Desk, number: str) -> Answer:
        """Pay an order as the WeChat user would, by prepay_id or out_trade_no; the signed callback follows."""
        wanted = number.removeprefix("prepay_id=")
        trades = desk.providers.wechat_pay.books.list_trades(limit=1000)
        out_trade_no = next((trade.out_trade_no for trade in trades if trade.prepay_id == wanted), wanted)
        if all(trade.out_trade_no != out_trade_no for trade in trades):
            raise NotThere(
                code="no_order",
                detail=f"WeChat Pay knows no order {wanted}.",
                hint="GET /wechat/orders lists them; POST /v1/orders/{id}/pay of the service makes one.",
            )
        try:
            trade = await desk.providers.pay(out_trade_no)
        except CannotPay as error:
            raise CannotDo(
                code="cannot_pay",
                detail=f"The order cannot be paid: {error}.",
                hint="GET /wechat/orders shows its state; a new POST /v1/orders/{id}/pay makes a new one.",
            ) from error
        return {
            "did": f"Paid {trade.total} fen; the signed callback is on its way to the service.",
            "out_trade_no": trade.out_trade_no,
            "transaction_id": trade.transaction_id,
            "total_fen": trade.total,
            "state": trade.state,
        }

    @post("/wechat/login-code", status_code=HTTP_200_OK)
    async def login_code(self, desk: Desk, data: LoginCode) -> Answer:
        """What `wx.login()` would give the mini-program of that person: good once within five minutes."""
        openid = _whose(data.phone, data.openid)
        return {"code": desk.providers.new_login_code(openid), "openid": openid, "expires_in_s": 300}

    @get("/providers/faults")
    async def provider_faults(self, desk: Desk) -> Answer:
        """Faults that the providers can be made to have, and how many requests will still meet one."""
        return {
            "items": [
                {"provider": name, "faults": sorted(faults.known), "waiting": len(faults)}
                for name, faults in sorted(desk.providers.faults.items())
            ]
        }

    @post("/providers/faults", status_code=HTTP_200_OK)
    async def fail_provider(self, desk: Desk, data: ProviderFault) -> Answer:
        """Let a provider fail for its next requests."""
        faults = desk.providers.faults.get(data.provider)
        if faults is None:
            raise NotThere(
                code="no_provider",
                detail=f"There is no provider {data.provider}.",
                hint=f"There are {', '.join(sorted(desk.providers.faults))}.",
            )
        try:
            faults.add(data.fault, times=data.times)
        except ValueError as error:
            raise NotThere(
                code="no_fault", detail=f"{data.provider}: {error}.", hint="GET /providers/faults lists them."
            ) from error
        return {"did": f"The next {len(faults)} requests to {data.provider} meet a fault."}
