"""An `EvidenceStore` in an S3-compatible bucket: three requests, signed with AWS Signature Version 4 over httpx.

Content is encrypted before it leaves the process, as in the local folder; the store sees keyed hashes and AES-GCM.
Source of the signature: docs.aws.amazon.com, "Create a signed AWS API request" (tests hold its published examples).
"""

import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime
from urllib.parse import quote, urlsplit

import httpx

from backend.core import crypto
from backend.core.clock import Clock
from backend.core.errors import GatewayError

TIMEOUT_S = 20.0
KEPT = frozenset({"content-type", "host", "range"})


class S3Evidence:
    """Evidence under `PREFIX/ab/cd/KEY` of a bucket, by path-style addresses (MinIO, OSS, COS, S3)."""

    def __init__(
        self,
        *,
        url: str,
        region: str,
        key_id: str,
        secret: str,
        clock: Clock,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """`url` is the bucket's, `https://host/bucket` or with a prefix behind it."""
        self._url = url.rstrip("/")
        self._region, self._key_id, self._secret = region, key_id, secret
        self._clock = clock
        self._transport = transport

    async def put(self, key: str, content: bytes) -> None:
        """Store the content encrypted; a repeat stores the same content again."""
        await self._ask("PUT", key, crypto.encrypt(content), (200, 201, 204))

    async def get(self, key: str) -> bytes | None:
        """Fetch and decrypt the content; None when there is none."""
        answer = await self._ask("GET", key, b"", (200, 404))
        return None if answer.status_code == 404 else crypto.decrypt_bytes(answer.content)

    async def delete(self, key: str) -> None:
        """Delete the content; none there is well."""
        await self._ask("DELETE", key, b"", (200, 204, 404))

    async def _ask(self, method: str, key: str, body: bytes, expected: tuple[int, ...]) -> httpx.Response:
        if not (key.isalnum() and key.isascii()):
            raise ValueError("a store key is hexadecimal")
        url = f"{self._url}/{key[:2]}/{key[2:4]}/{key}"
        headers = sign(
            method=method,
            url=url,
            headers={},
            body=body,
            region=self._region,
            key_id=self._key_id,
            secret=self._secret,
            at=self._clock.now(),
        )
        try:
            async with httpx.AsyncClient(timeout=TIMEOUT_S, transport=self._transport) as client:
                answer = await client.request(method, url, content=body, headers=headers)
        except httpx.HTTPError as error:
            raise GatewayError(f"the evidence store did not answer: {type(error).__name__}", permanent=False) from error
        if answer.status_code not in expected:
            permanent = 400 <= answer.status_code < 500 and answer.status_code not in (408, 429)
            raise GatewayError(f"the evidence store answered {answer.status_code}", permanent=permanent)
        return answer


def sign(
    *,
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes,
    region: str,
    key_id: str,
    secret: str,
    at: datetime,
    service: str = "s3",
) -> dict[str, str]:
    """Return `headers` with x-amz-date, x-amz-content-sha256 and Authorization; `url` without a query."""
    parts = urlsplit(url)
    stamp, digest = f"{at:%Y%m%dT%H%M%SZ}", hashlib.sha256(body).hexdigest()
    whole = {name.lower(): value.strip() for name, value in headers.items()}
    whole |= {"host": parts.netloc, "x-amz-date": stamp, "x-amz-content-sha256": digest}
    named = sorted(name for name in whole if name in KEPT or name.startswith(("x-amz-", "date")))
    canonical = "\n".join(
        (
            method,
            quote(parts.path or "/", safe="/-_.~"),
            "",
            *(f"{name}:{whole[name]}" for name in named),
            "",
            ";".join(named),
            digest,
        )
    )
    scope = f"{stamp[:8]}/{region}/{service}/aws4_request"
    to_sign = "\n".join(("AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()))
    key = f"AWS4{secret}".encode()
    for part in (stamp[:8], region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, to_sign.encode(), "sha256").hex()
    del whole["host"]  # the client sends it
    authorization = (
        f"AWS4-HMAC-SHA256 Credential={key_id}/{scope}, SignedHeaders={';'.join(named)}, Signature={signature}"
    )
    return whole | {"authorization": authorization}
