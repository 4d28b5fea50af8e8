"""What was sent, and the WeChat user, through the control port."""

import time
from pathlib import Path

import httpx
import pytest

from backend.core.errors import GatewayError
from backend.notifications.gateways.wechat_subscribe import WeChatSubscribe
from sandbox.aliyun.server import Call, SentSms
from sandbox.apns.checks import Push
from sandbox.control.sent import openid_of
from sandbox.huawei.server import VendorPush
from sandbox.providers import Providers, merchants
from sandbox.wechat_pay.books import Trade


@pytest.fixture
def order(outside: Providers, outside_folder: Path) -> Trade:
    """An order that waits to be paid."""
    number = f"T{time.monotonic_ns()}"
    trade = Trade(
        mchid=merchants(outside_folder)[0].mchid,
        appid="wx",
        out_trade_no=number,
        description="充电",
        notify_url="http://127.0.0.1:9/notify",
        total=1234,
        openid="o1",
        prepay_id=f"wx{number}",
    )
    outside.wechat_pay.books.keep_trade(trade)
    return trade


class TestSms:
    async def test_are_listed_oldest_first_for_a_phone_since_an_instant(
        self, control: httpx.AsyncClient, outside: Providers
    ) -> None:
        for at, phone, code in (
            (100.0, "13800000001", "111111"),
            (200.0, "13800000002", "2"),
            (300.0, "13800000001", "3"),
        ):
            outside.sent_sms.append(
                SentSms(
                    at=at,
                    phone=phone,
                    sign_name="邻里充电",
                    template_code="SMS_1",
                    params={"code": code},
                    text=f"验证码{code}",
                    biz_id="b",
                )
            )
        mine = (await control.get("/sms", params={"phone": "13800000001"})).json()["items"]
        assert [sms["code"] for sms in mine] == ["111111", "3"]
        later = (await control.get("/sms", params={"since": "1970-01-01T00:02:30Z"})).json()["items"]
        assert [sms["at_s"] for sms in later] == [200.0, 300.0]
        assert (await control.get("/sms", params={"since": "yesterday"})).json()["code"] == "bad_since"


class TestCallsAndPushes:
    async def test_are_listed(self, control: httpx.AsyncClient, outside: Providers) -> None:
        outside.calls.append(
            Call(at=5.0, phone="13800000011", tts_code="TTS", params={}, text="烟感报警", play_times=3, call_id="c")
        )
        outside.pushes.append(
            Push(
                at=6.0,
                apns_id="a",
                device_token="ab12",
                topic="cn.linli.app",
                push_type="alert",
                priority=10,
                collapse_id=None,
                expiration=None,
                payload={"aps": {"alert": "x"}},
            )
        )
        calls = (await control.get("/calls", params={"phone": "13800000011"})).json()["items"]
        assert (calls[0]["text"], calls[0]["play_times"]) == ("烟感报警", 3)
        pushes = (await control.get("/pushes", params={"token": "ab12"})).json()["items"]
        assert pushes[0]["payload"] == {"aps": {"alert": "x"}}
        assert (await control.get("/pushes", params={"token": "other"})).json()["items"] == []


class TestPay:
    @pytest.mark.parametrize("by", ["out_trade_no", "prepay_id", "package"])
    async def test_pays_by_any_number_the_payment_sheet_shows(
        self, control: httpx.AsyncClient, order: Trade, by: str
    ) -> None:
        number = f"prepay_id={order.prepay_id}" if by == "package" else getattr(order, by)
        answer = await control.post(f"/wechat/orders/{number}/pay")
        assert answer.status_code == 200, answer.text
        assert (answer.json()["total_fen"], answer.json()["state"]) == (1234, "SUCCESS")
        again = await control.post(f"/wechat/orders/{number}/pay")
        assert (again.status_code, again.json()["code"]) == (409, "cannot_pay")

    async def test_knows_only_orders_that_were_placed(self, control: httpx.AsyncClient) -> None:
        answer = await control.post("/wechat/orders/none/pay")
        assert (answer.status_code, answer.json()["code"]) == (404, "no_order")

    async def test_lists_the_orders(self, control: httpx.AsyncClient, order: Trade) -> None:
        listed = (await control.get("/wechat/orders")).json()["items"]
        assert listed[0]["out_trade_no"] == order.out_trade_no


class TestLoginCode:
    async def test_belongs_to_the_phones_openid_and_differs_each_time(self, control: httpx.AsyncClient) -> None:
        answers = [(await control.post("/wechat/login-code", json={"phone": "13800000001"})).json() for _ in range(2)]
        assert {answer["openid"] for answer in answers} == {openid_of("13800000001")}
        assert answers[0]["code"] != answers[1]["code"]

    async def test_needs_one_name(self, control: httpx.AsyncClient) -> None:
        for body in ({}, {"phone": "1", "openid": "o"}):
            assert (await control.post("/wechat/login-code", json=body)).status_code == 422


class TestProviderFaults:
    async def test_wait_for_the_next_requests(self, control: httpx.AsyncClient, outside: Providers) -> None:
        known = (await control.get("/providers/faults")).json()["items"]
        first = next(item for item in known if item["faults"])
        body = {"provider": first["provider"], "fault": first["faults"][0], "times": 2}
        assert (await control.post("/providers/faults", json=body)).status_code == 200
        assert len(outside.faults[first["provider"]]) == 2
        outside.faults[first["provider"]].clear()
        for wrong in ({**body, "provider": "moon"}, {**body, "fault": "moon"}):
            assert (await control.post("/providers/faults", json=wrong)).status_code == 404


class TestOtherChannels:
    async def test_wechat_messages_follow_the_consents_that_a_tester_gives_and_takes_back(
        self, control: httpx.AsyncClient, outside: Providers
    ) -> None:
        desk = outside.wechat.subscribe
        desk.clear()
        asked = {"phone": "13800000001", "template": "order_ready", "times": 2}
        given = (await control.post("/wechat/consents", json=asked)).json()
        openid = openid_of("13800000001")
        assert given["openid"] == openid
        listed = (await control.get("/wechat/consents")).json()["items"]
        assert listed == [{"openid": openid, "template": "order_ready", "left": 2}]
        wechat = WeChatSubscribe(
            base_url=outside.settings["LINLI_WECHAT_URL"],
            app_id=outside.settings["LINLI_WECHAT_APP_ID"],
            app_secret=outside.settings["LINLI_WECHAT_APP_SECRET"],
            template_ids={},
            clock=lambda: 0.0,
        )
        try:
            params = {"station": "甲站", "total_yuan": "1.00", "energy_kwh": "12.5"}
            send = {"openid": openid, "template": "order_ready", "params": params, "locale": "zh-CN"}
            await wechat.send(**send)  # type: ignore[arg-type]
            mine = (await control.get("/wechat/messages", params={"phone": "13800000001"})).json()["items"]
            assert [(m["openid"], m["template"]) for m in mine] == [(openid, "order_ready")]
            assert (await control.get("/wechat/messages", params={"phone": "13800000002"})).json()["items"] == []
            await control.post("/wechat/consents/withdraw", json={"phone": "13800000001"})
            with pytest.raises(GatewayError) as refused:
                await wechat.send(**send)  # type: ignore[arg-type]
            assert refused.value.code == "43101"
        finally:
            await wechat.close()
        assert (await control.post("/wechat/consents", json={"template": "order_ready"})).json()["code"] == "who"

    async def test_android_pushes_are_listed_and_a_phone_loses_the_app(
        self, control: httpx.AsyncClient, outside: Providers
    ) -> None:
        outside.huawei.pushes.append(VendorPush("tok-1", "险情", "请勿靠近", "HIGH", 50.0))
        (push,) = (await control.get("/pushes/huawei", params={"token": "tok-1"})).json()["items"]
        assert (push["title"], push["urgency"], push["at_s"]) == ("险情", "HIGH", 50.0)
        assert (await control.get("/pushes/huawei", params={"since": "60"})).json()["items"] == []
        await control.post("/pushes/huawei/tok-1/unregister")
        assert "tok-1" in outside.huawei.unregistered

    async def test_of_the_index_are_all_there(self, control: httpx.AsyncClient) -> None:
        deeds = (await control.get("/", headers={"accept": "application/json"})).json()["items"]
        for deed in deeds:
            if deed["method"] == "GET" and "{" not in deed["path"]:
                assert (await control.get(deed["path"])).status_code == 200, deed["path"]
