"""All outside providers of the sandbox in one asyncio loop: WeChat Pay, WeChat login, APNs, SMS and ringing calls.

`start()` makes or loads their keys in the state folder and returns the settings by which the service reaches them.
"""

import asyncio
import os
import secrets
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from backend.notifications.rules.texts import provider_contents
from sandbox.aliyun.server import AliyunServer, Call, SentSms
from sandbox.apns.checks import Push
from sandbox.apns.keys import load_keys as load_apns_keys
from sandbox.apns.server import ApnsServer
from sandbox.faults import Faults
from sandbox.huawei.server import HuaweiServer
from sandbox.wechat.server import WeChatServer
from sandbox.wechat_pay.books import Trade
from sandbox.wechat_pay.callbacks import RETRY_GAPS_S
from sandbox.wechat_pay.keys import Merchant, load_keys
from sandbox.wechat_pay.server import WeChatPayServer

SIGN_NAME = "邻里充电"
APNS_TOPIC = "cn.linli.app"


class Ports(msgspec.Struct, frozen=True, kw_only=True):
    """Ports to listen on; 0 takes a free one."""

    wechat_pay: int = 0
    wechat: int = 0
    apns: int = 0
    aliyun: int = 0
    huawei: int = 0


class _Identities(msgspec.Struct, frozen=True, kw_only=True):
    """Names and secrets the providers would have given us at sign-up."""

    wechat_app_id: str
    wechat_app_secret: str
    aliyun_key_id: str
    aliyun_key_secret: str


def _identities(state_dir: Path) -> _Identities:
    path = state_dir / "provider_identities.json"
    if path.exists():
        return msgspec.json.decode(path.read_bytes(), type=_Identities)
    made = _Identities(
        wechat_app_id=f"wx{secrets.token_hex(8)}",
        wechat_app_secret=secrets.token_hex(16),
        aliyun_key_id=f"LTAI5t{secrets.token_hex(9)}",
        aliyun_key_secret=secrets.token_hex(15),
    )
    state_dir.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as out:
        out.write(msgspec.json.encode(made))
    return made


def merchants(state_dir: Path) -> tuple[Merchant, ...]:
    """Return the merchant accounts of the sandbox (two), made at the first call; the seed gives one to each company."""
    return load_keys(state_dir, appid=_identities(state_dir).wechat_app_id).merchants


@dataclass
class Providers:
    """The running providers; `settings` are the LINLI_* variables that point the service at them."""

    settings: dict[str, str]
    wechat_pay: WeChatPayServer
    wechat: WeChatServer
    apns: ApnsServer
    aliyun: AliyunServer
    huawei: HuaweiServer
    faults: dict[str, Faults] = field(default_factory=dict)

    @property
    def sent_sms(self) -> deque[SentSms]:
        """Return the newest 500 text messages, oldest first."""
        return self.aliyun.sent_sms

    @property
    def calls(self) -> deque[Call]:
        """Return the newest 500 ringing calls, oldest first."""
        return self.aliyun.calls

    @property
    def pushes(self) -> deque[Push]:
        """Return the newest 500 accepted pushes, oldest first."""
        return self.apns.pushes

    async def pay(self, out_trade_no: str) -> Trade:
        """Pay an order as the WeChat user would; raises sandbox.wechat_pay.server.CannotPay."""
        return await self.wechat_pay.pay(out_trade_no)

    def new_login_code(self, openid: str) -> str:
        """Return what `wx.login()` would give the mini-program of that person."""
        return self.wechat.new_login_code(openid)

    def unregister_device(self, device_token: str) -> None:
        """Let the app be deleted from the phone with that token: pushes are 410 from now on."""
        self.apns.unregister(device_token)

    async def close(self) -> None:
        """Stop all of them."""
        await asyncio.gather(
            self.wechat_pay.close(),
            self.wechat.http.close(),
            self.apns.close(),
            self.aliyun.http.close(),
            self.huawei.http.close(),
        )


async def start(
    *,
    state_dir: Path,
    host: str = "127.0.0.1",
    ports: Ports | None = None,
    templates: Mapping[str, str] | None = None,
    clock: Callable[[], float] = time.time,
    retry_gaps_s: tuple[float, ...] = RETRY_GAPS_S,
    refund_delay_s: float = 0.3,
) -> Providers:
    """Start every provider; keys, merchants, orders and refunds live in `state_dir` and survive a restart."""
    ports = ports or Ports()
    identities = _identities(state_dir)
    apns_keys = load_apns_keys(state_dir)
    wechat_pay = WeChatPayServer(
        keys=load_keys(state_dir, appid=identities.wechat_app_id),
        books_path=state_dir / "wechat_pay.sqlite",
        clock=clock,
        retry_gaps_s=retry_gaps_s,
        refund_delay_s=refund_delay_s,
    )
    wechat = WeChatServer(appid=identities.wechat_app_id, secret=identities.wechat_app_secret, clock=clock)
    apns = ApnsServer(keys=apns_keys, topics=frozenset({APNS_TOPIC}), clock=clock)
    aliyun = AliyunServer(
        access_key_id=identities.aliyun_key_id,
        access_key_secret=identities.aliyun_key_secret,
        sign_name=SIGN_NAME,
        templates=provider_contents() if templates is None else templates,
        clock=clock,
    )
    huawei = HuaweiServer(
        app_id=str(10**8 + int(identities.wechat_app_id[2:8], 16)),
        secret=identities.wechat_app_secret[::-1],
        clock=clock,
    )
    await huawei.http.start(host=host, port=ports.huawei)
    await wechat_pay.http.start(host=host, port=ports.wechat_pay)
    await wechat.http.start(host=host, port=ports.wechat)
    await apns.start(host=host, port=ports.apns)
    await aliyun.http.start(host=host, port=ports.aliyun)
    settings = {
        "LINLI_WECHAT_PAY_URL": f"http://{host}:{wechat_pay.http.port}",
        "LINLI_WECHAT_URL": f"http://{host}:{wechat.http.port}",
        "LINLI_WECHAT_APP_ID": identities.wechat_app_id,
        "LINLI_WECHAT_APP_SECRET": identities.wechat_app_secret,
        "LINLI_SMS_URL": f"http://{host}:{aliyun.http.port}",
        "LINLI_VOICE_URL": f"http://{host}:{aliyun.http.port}",
        "LINLI_ALIYUN_KEY_ID": identities.aliyun_key_id,
        "LINLI_ALIYUN_KEY_SECRET": identities.aliyun_key_secret,
        "LINLI_SMS_SIGN_NAME": SIGN_NAME,
        "LINLI_HUAWEI_PUSH_URL": f"http://{host}:{huawei.http.port}",
        "LINLI_HUAWEI_LOGIN_URL": f"http://{host}:{huawei.http.port}",
        "LINLI_HUAWEI_APP_ID": huawei.app_id,
        "LINLI_HUAWEI_APP_SECRET": huawei.secret,
        "LINLI_APNS_URL": f"https://{host}:{apns.port}",
        "LINLI_APNS_KEY_ID": apns_keys.key_id,
        "LINLI_APNS_TEAM_ID": apns_keys.team_id,
        "LINLI_APNS_TOPIC": APNS_TOPIC,
        "LINLI_APNS_KEY_FILE": apns_keys.key_file,
        "LINLI_APNS_CA_FILE": apns_keys.ca_file,
    }
    return Providers(
        settings=settings,
        wechat_pay=wechat_pay,
        wechat=wechat,
        apns=apns,
        aliyun=aliyun,
        huawei=huawei,
        faults={
            "wechat_pay": wechat_pay.faults,
            "wechat_callback": wechat_pay.lost_callbacks,
            "wechat": wechat.faults,
            "apns": apns.faults,
            "aliyun": aliyun.faults,
            "huawei": huawei.faults,
        },
    )
