"""Callbacks of WeChat Pay: an encrypted resource, signed with the platform key, sent again until 200 or 204.

Source: pay.weixin.qq.com, 支付成功回调通知 and 退款结果通知: an answer within 5 seconds, up to 15
attempts; real gaps are 15 s to 6 h, here they start shorter so that a tester need not wait.
"""

import asyncio
import secrets
import time
import uuid
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone

import httpx
import msgspec

from sandbox.wechat_pay.keys import Keys, Merchant
from sandbox.wechat_pay.signing import SCHEME, answer_message, encrypt_resource, sign

RETRY_GAPS_S: tuple[float, ...] = (1, 2, 5, 15, 30, 60, 180, 600, 1200, 1800, 1800, 3600, 3600, 3600)
ANSWER_WITHIN_S = 5.0
BEIJING = timezone(timedelta(hours=8))


def beijing_time(at: float) -> str:
    """Return a time as WeChat Pay writes it: RFC 3339 with +08:00."""
    return datetime.fromtimestamp(at, BEIJING).isoformat(timespec="seconds")


class CallbackSender:
    """Builds and sends callbacks; `attempts` keeps the last outcomes for a tester to read."""

    def __init__(
        self,
        *,
        keys: Keys,
        clock: Callable[[], float] = time.time,
        gaps_s: tuple[float, ...] = RETRY_GAPS_S,
    ) -> None:
        self._keys = keys
        self._platform_key = keys.platform_key()
        self._clock = clock
        self._gaps_s = gaps_s
        self._client = httpx.AsyncClient(timeout=ANSWER_WITHIN_S, trust_env=False)
        self._tasks: set[asyncio.Task[int | None]] = set()

    async def close(self) -> None:
        """Give up what is still being retried."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._client.aclose()

    def build(
        self, *, merchant: Merchant, event_type: str, original_type: str, summary: str, resource: Mapping[str, object]
    ) -> bytes:
        """Return a callback's body with the encrypted resource."""
        nonce = secrets.token_urlsafe(9)
        plain = msgspec.json.encode(resource)
        return msgspec.json.encode(
            {
                "id": str(uuid.uuid4()),
                "create_time": beijing_time(self._clock()),
                "resource_type": "encrypt-resource",
                "event_type": event_type,
                "summary": summary,
                "resource": {
                    "original_type": original_type,
                    "algorithm": "AEAD_AES_256_GCM",
                    "ciphertext": encrypt_resource(
                        api_v3_key=merchant.api_v3_key, nonce=nonce, associated_data=original_type, plain=plain
                    ),
                    "associated_data": original_type,
                    "nonce": nonce,
                },
            }
        )

    def headers(self, body: bytes) -> dict[str, str]:
        """Return the headers of one attempt: each has its own time, nonce and signature."""
        timestamp = str(int(self._clock()))
        nonce = secrets.token_hex(16)
        message = answer_message(timestamp=timestamp, nonce=nonce, body=body)
        return {
            "Content-Type": "application/json",
            "User-Agent": "Mozilla/4.0",
            "Wechatpay-Timestamp": timestamp,
            "Wechatpay-Nonce": nonce,
            "Wechatpay-Serial": self._keys.platform_public_key_id,
            "Wechatpay-Signature-Type": SCHEME,
            "Wechatpay-Signature": sign(self._platform_key, message),
        }

    def send_until_taken(self, *, url: str, body: bytes) -> asyncio.Task[int | None]:
        """Send in the background until 200 or 204, at most 15 times; the task's result is the last status."""
        task = asyncio.get_running_loop().create_task(self._send(url, body))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _send(self, url: str, body: bytes) -> int | None:
        status: int | None = None
        for gap in (*self._gaps_s, None):
            try:
                answer = await self._client.post(url, content=body, headers=self.headers(body))
                status = answer.status_code
            except httpx.HTTPError:
                status = None
            if status in (200, 204) or gap is None:
                return status
            await asyncio.sleep(gap)
        return status
