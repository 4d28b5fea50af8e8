"""The evidence store in a bucket: the published signature examples, and a server that checks what S3 checks."""

import hashlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import httpx
import pytest

from backend.agreements.gateways.evidence import EvidenceStore, store_key
from backend.agreements.gateways.s3 import S3Evidence, sign
from backend.core.errors import GatewayError
from backend.core.services import Services
from sandbox.s3.server import S3Server
from tests.agreements.conftest import Scene, apply_for
from tests.agreements.test_sign import approved
from tests.agreements.test_sign import sign as put_name_under
from tests.factories.accounts import SentSms
from tests.factories.agreements import PNG
from tests.fakes import FixedClock

KEY = {"region": "us-east-1", "key_id": "AKIAIOSFODNN7EXAMPLE", "secret": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"}
AT = datetime(2013, 5, 24, tzinfo=UTC)


class TestSignature:
    """docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html, the first two examples."""

    def test_is_the_published_one_of_a_get(self) -> None:
        signed = sign(
            method="GET",
            url="https://examplebucket.s3.amazonaws.com/test.txt",
            headers={"Range": "bytes=0-9"},
            body=b"",
            at=AT,
            **KEY,
        )
        assert signed["authorization"].endswith("f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41")

    def test_is_the_published_one_of_a_put(self) -> None:
        signed = sign(
            method="PUT",
            url="https://examplebucket.s3.amazonaws.com/test$file.text",
            headers={"Date": "Fri, 24 May 2013 00:00:00 GMT", "x-amz-storage-class": "REDUCED_REDUNDANCY"},
            body=b"Welcome to Amazon S3.",
            at=AT,
            **KEY,
        )
        assert signed["authorization"].endswith("98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd")


@pytest.fixture
async def server() -> AsyncIterator[S3Server]:
    made = S3Server(bucket="evidence", clock=AT.timestamp, **KEY)
    await made.http.start(host="127.0.0.1", port=0)
    yield made
    await made.http.close()


def store_of(server: S3Server, *, at: datetime = AT, **change: str) -> S3Evidence:
    return S3Evidence(url=f"http://127.0.0.1:{server.http.port}/evidence", clock=FixedClock(at), **(KEY | change))


class TestBucket:
    async def test_keeps_gives_and_forgets_content_that_it_cannot_read(self, server: S3Server) -> None:
        store = store_of(server)
        content = b"\xff\xd8\xff a licence \xff\xd9"
        key = store_key(UUID(int=1), content)
        assert await store.get(key) is None
        await store.put(key, content)
        await store.put(key, content)
        assert await store.get(key) == content
        [(name, kept)] = server.objects.items()
        assert content not in kept and hashlib.sha256(content).hexdigest() not in name
        await store.delete(key)
        await store.delete(key)
        assert (await store.get(key), server.objects) == (None, {})

    @pytest.mark.parametrize(
        "change", [{"secret": "wrong"}, {"key_id": "nobody"}, {"region": "eu-1"}]
    )  # fmt: skip
    async def test_refuses_a_wrong_signature(self, server: S3Server, change: dict[str, str]) -> None:
        with pytest.raises(GatewayError) as refused:
            await store_of(server, **change).put("ab" * 32, b"x")
        assert refused.value.permanent
        assert server.objects == {}

    async def test_refuses_a_late_request(self, server: S3Server) -> None:
        with pytest.raises(GatewayError):
            await store_of(server, at=AT - timedelta(minutes=16)).put("ab" * 32, b"x")

    async def test_that_does_not_answer_may_be_asked_again(self, server: S3Server) -> None:
        store = store_of(server)
        await server.http.close()
        with pytest.raises(GatewayError) as gone:
            await store.get("ab" * 32)
        assert not gone.value.permanent

    async def test_takes_no_name_that_is_not_a_key(self, server: S3Server) -> None:
        with pytest.raises(ValueError, match="hexadecimal"):
            await store_of(server).get("../secret")


class TestAnUpload:
    async def test_is_refused_with_its_own_problem_while_the_bucket_is_away(
        self, api: httpx.AsyncClient, scene: Scene, services: Services
    ) -> None:
        away = S3Evidence(url="http://127.0.0.1:9/evidence", clock=FixedClock(AT), **KEY)
        services.put(EvidenceStore, away)  # type: ignore[type-abstract]
        path = f"/v1/agreements/{(await apply_for(api, scene.alice, scene.vehicle)).json()['id']}"
        answer = await api.post(f"{path}/evidence", files={"file": ("a.png", PNG)}, headers=scene.alice.headers)
        assert (answer.status_code, answer.json()["code"]) == (503, "evidence_store_unavailable")
        assert (await api.get(path, headers=scene.alice.headers)).json()["evidence"] == []


class Bucket(S3Evidence):
    """A bucket that can be out of reach."""

    def __init__(self, server: S3Server) -> None:
        super().__init__(url=f"http://127.0.0.1:{server.http.port}/evidence", clock=FixedClock(AT), **KEY)
        self._near = self._url

    def away(self, away: bool) -> None:
        """Lead to a closed port, or back."""
        self._url = "http://127.0.0.1:9/evidence" if away else self._near


class TestReading:
    async def test_evidence_while_the_bucket_is_away_loses_nothing(
        self, api: httpx.AsyncClient, scene: Scene, services: Services, server: S3Server
    ) -> None:
        bucket = Bucket(server)
        services.put(EvidenceStore, bucket)  # type: ignore[type-abstract]
        agreement_id = (await apply_for(api, scene.alice, scene.vehicle)).json()["id"]
        sent = await api.post(
            f"/v1/agreements/{agreement_id}/evidence", files={"file": ("a.png", PNG)}, headers=scene.alice.headers
        )
        own = f"/v1/agreements/{agreement_id}/evidence/{sent.json()['id']}"
        company = own.replace("/v1/", "/v1/operator/")
        bucket.away(True)
        for path, headers in ((own, scene.alice.headers), (company, scene.li.headers)):
            answer = await api.get(path, headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (503, "evidence_store_unavailable")
        bucket.away(False)
        assert (await api.get(company, headers=scene.li.headers)).content == PNG

    async def test_what_the_bucket_lost_is_no_404(
        self, api: httpx.AsyncClient, scene: Scene, services: Services, server: S3Server
    ) -> None:
        services.put(EvidenceStore, Bucket(server))  # type: ignore[type-abstract]
        agreement_id = (await apply_for(api, scene.alice, scene.vehicle)).json()["id"]
        sent = await api.post(
            f"/v1/agreements/{agreement_id}/evidence", files={"file": ("a.png", PNG)}, headers=scene.alice.headers
        )
        server.objects.clear()
        path = f"/v1/agreements/{agreement_id}/evidence/{sent.json()['id']}"
        assert (await api.get(path, headers=scene.alice.headers)).status_code == 503

    async def test_a_contract_while_the_bucket_is_away(
        self,
        api: httpx.AsyncClient,
        scene: Scene,
        sms: SentSms,
        services: Services,
        clock: FixedClock,
        server: S3Server,
    ) -> None:
        bucket = Bucket(server)
        services.put(EvidenceStore, bucket)  # type: ignore[type-abstract]
        path = await approved(api, scene)
        assert (await put_name_under(api, scene, sms, services, clock, path)).status_code == 200
        bucket.away(True)
        away = await api.get(f"{path}/document", headers=scene.alice.headers)
        assert (away.status_code, away.json()["code"]) == (503, "evidence_store_unavailable")
        bucket.away(False)
        made = await api.get(f"{path}/document", headers=scene.alice.headers)
        assert made.content.startswith(b"%PDF-")
        bucket.away(True)
        assert (await api.get(f"{path}/document", headers=scene.alice.headers)).status_code == 503
        bucket.away(False)
        again = await api.get(f"{path}/document", headers=scene.alice.headers)
        assert again.content == made.content
