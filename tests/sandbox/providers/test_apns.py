"""The sandbox's APNs against Apple's published rules, spoken to by a plain HTTP/2 client and by curl."""

import asyncio
import shutil
import ssl
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import h2.config
import h2.connection
import h2.events
import httpx
import jwt
import msgspec
import pytest

from backend.core.clock import SystemClock
from sandbox.providers import Providers

DEVICE = "00fc13adff785122b4ad28809a3420982341241421348097878e577c991de8f0"
"""The device token of Apple's example request."""
PAYLOAD = b'{ "aps" : { "alert" : "Hello" } }'
APNS_ID = "eabeae54-14a8-11e5-b60b-1697f925ec7b"
"""The apns-id of Apple's example request."""


def present() -> int:
    return int(SystemClock().now().timestamp())


class Provider:
    """A push provider by hand."""

    def __init__(self, providers: Providers) -> None:
        self.settings = providers.settings
        self.key = Path(self.settings["LINLI_APNS_KEY_FILE"]).read_text()
        context = ssl.create_default_context(cafile=self.settings["LINLI_APNS_CA_FILE"])
        self.client = httpx.AsyncClient(http2=True, verify=context, trust_env=False)
        self._token: str | None = None

    def token(
        self, *, kid: str | None = None, iss: str | None = None, iat: int | None = None, alg: str = "ES256"
    ) -> str:
        key = self.key if alg == "ES256" else "a-shared-secret-of-at-least-32-bytes"
        claims = {"iss": iss or self.settings["LINLI_APNS_TEAM_ID"], "iat": present() if iat is None else iat}
        return jwt.encode(claims, key, algorithm=alg, headers={"kid": kid or self.settings["LINLI_APNS_KEY_ID"]})

    async def push(
        self,
        *,
        device: str = DEVICE,
        body: bytes = PAYLOAD,
        method: str = "POST",
        path: str | None = None,
        headers: dict[str, str | None] | None = None,
    ) -> httpx.Response:
        if self._token is None:
            self._token = self.token()
        wanted: dict[str, str | None] = {
            "authorization": f"bearer {self._token}",
            "apns-id": APNS_ID,
            "apns-expiration": "0",
            "apns-priority": "10",
            "apns-topic": "cn.linli.app",
            "apns-push-type": "alert",
        }
        wanted |= headers or {}
        return await self.client.request(
            method,
            self.settings["LINLI_APNS_URL"] + (path if path is not None else f"/3/device/{device}"),
            content=body,
            headers={name: value for name, value in wanted.items() if value is not None},
        )


@pytest.fixture
async def apple(providers: Providers) -> AsyncIterator[Provider]:
    """A provider with one connection."""
    made = Provider(providers)
    yield made
    await made.client.aclose()


def reason(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["reason"]


class TestPublishedExample:
    async def test_apples_example_request_is_accepted_with_its_id_and_an_empty_body(
        self, apple: Provider, providers: Providers
    ) -> None:
        answer = await apple.push()
        assert (answer.status_code, answer.content, answer.http_version) == (200, b"", "HTTP/2")
        assert answer.headers["apns-id"] == APNS_ID
        assert providers.pushes[-1].payload == {"aps": {"alert": "Hello"}}

    async def test_without_an_apns_id_one_is_made(self, apple: Provider) -> None:
        answer = await apple.push(headers={"apns-id": None})
        assert uuid.UUID(answer.headers["apns-id"])

    @pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not on this machine")
    async def test_apples_curl_command_works(self, apple: Provider, providers: Providers) -> None:
        settings = providers.settings
        process = await asyncio.create_subprocess_exec(
            "curl",
            "-sS",
            "--cacert",
            settings["LINLI_APNS_CA_FILE"],
            "--header",
            "apns-topic: cn.linli.app",
            "--header",
            "apns-push-type: alert",
            "--header",
            f"authorization: bearer {apple.token()}",
            "--data",
            '{"aps":{"alert":"test"}}',
            "--http2",
            "-w",
            "%{http_version} %{http_code}",
            f"{settings['LINLI_APNS_URL']}/3/device/{DEVICE}",
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        assert out.decode() == "2 200", err.decode()


class TestRequestRules:
    @pytest.mark.parametrize(
        ("headers", "status", "expected"),
        [
            ({"apns-topic": None}, 400, "MissingTopic"),
            ({"apns-topic": "com.example.other"}, 400, "TopicDisallowed"),
            ({"apns-push-type": None}, 400, "InvalidPushType"),
            ({"apns-push-type": "shout"}, 400, "InvalidPushType"),
            ({"apns-priority": "7"}, 400, "BadPriority"),
            ({"apns-push-type": "background", "apns-priority": "10"}, 400, "BadPriority"),
            ({"apns-expiration": "tomorrow"}, 400, "BadExpirationDate"),
            ({"apns-collapse-id": "x" * 65}, 400, "BadCollapseId"),
            ({"apns-id": "not-a-uuid"}, 400, "BadMessageId"),
            ({"authorization": None}, 403, "MissingProviderToken"),
            ({"authorization": "bearer nonsense"}, 403, "InvalidProviderToken"),
            ({"authorization": "basic abc"}, 403, "InvalidProviderToken"),
        ],
    )
    async def test_each_header_has_its_own_reason(
        self, apple: Provider, providers: Providers, headers: dict[str, str | None], status: int, expected: str
    ) -> None:
        assert reason(await apple.push(headers=headers)) == (status, expected)
        assert not providers.pushes

    @pytest.mark.parametrize(
        ("method", "path", "status", "expected"),
        [
            ("GET", None, 405, "MethodNotAllowed"),
            ("POST", "/3/device/", 400, "MissingDeviceToken"),
            ("POST", "/2/device/" + DEVICE, 404, "BadPath"),
            ("POST", "/3/device/xyz", 400, "BadDeviceToken"),
            ("POST", "/3/device/" + DEVICE[:-1] + "g", 400, "BadDeviceToken"),
        ],
    )
    async def test_method_path_and_device_token(
        self, apple: Provider, method: str, path: str | None, status: int, expected: str
    ) -> None:
        assert reason(await apple.push(method=method, path=path)) == (status, expected)

    async def test_a_payload_is_at_most_4096_bytes(self, apple: Provider) -> None:
        frame = len(msgspec.json.encode({"aps": {"alert": ""}}))
        fits = msgspec.json.encode({"aps": {"alert": "x" * (4096 - frame)}})
        assert len(fits) == 4096
        assert (await apple.push(body=fits)).status_code == 200
        assert reason(await apple.push(body=fits + b" ")) == (413, "PayloadTooLarge")

    @pytest.mark.parametrize("body", [b"", b"not json", b"[]", b'{"alert":"x"}', b'{"aps":"x"}'])
    async def test_a_payload_without_aps_is_empty(self, apple: Provider, body: bytes) -> None:
        assert reason(await apple.push(body=body)) == (400, "PayloadEmpty")

    async def test_a_repeated_header_is_refused(self, apple: Provider) -> None:
        if apple._token is None:
            apple._token = apple.token()
        headers = [
            ("authorization", f"bearer {apple._token}"),
            ("apns-topic", "cn.linli.app"),
            ("apns-topic", "cn.linli.app"),
            ("apns-push-type", "alert"),
        ]
        url = f"{apple.settings['LINLI_APNS_URL']}/3/device/{DEVICE}"
        assert reason(await apple.client.post(url, content=PAYLOAD, headers=headers)) == (400, "DuplicateHeaders")


class TestProviderToken:
    async def test_of_another_key_team_or_algorithm_is_invalid(self, apple: Provider) -> None:
        for token in (
            apple.token(kid="ZZZZZZZZZZ"),
            apple.token(iss="ZZZZZZZZZZ"),
            apple.token(alg="HS256"),
            apple.token(iat=present() + 3600),
            apple.token()[:-4] + "AAAA",
        ):
            answer = await apple.push(headers={"authorization": f"bearer {token}"})
            assert reason(answer) == (403, "InvalidProviderToken")

    async def test_expires_after_an_hour(self, apple: Provider) -> None:
        old = apple.token(iat=present() - 3601)
        assert reason(await apple.push(headers={"authorization": f"bearer {old}"})) == (403, "ExpiredProviderToken")
        young = apple.token(iat=present() - 3500)
        assert (await apple.push(headers={"authorization": f"bearer {young}"})).status_code == 200

    async def test_may_not_change_within_20_minutes_on_one_connection(self, apple: Provider) -> None:
        assert (await apple.push()).status_code == 200
        other = apple.token(iat=present() - 60)
        answer = await apple.push(headers={"authorization": f"bearer {other}"})
        assert reason(answer) == (429, "TooManyProviderTokenUpdates")


class TestUnregistered:
    async def test_is_410_with_the_time_in_milliseconds(self, apple: Provider, providers: Providers) -> None:
        since = present() - 3600
        providers.apns.unregister(DEVICE, at=since)
        answer = await apple.push()
        assert reason(answer) == (410, "Unregistered")
        assert answer.json()["timestamp"] == since * 1000


class TestConnection:
    async def test_has_one_stream_until_a_token_was_accepted_then_many(self, providers: Providers) -> None:
        context = ssl.create_default_context(cafile=providers.settings["LINLI_APNS_CA_FILE"])
        context.set_alpn_protocols(["h2"])
        reader, writer = await asyncio.open_connection("127.0.0.1", providers.apns.port, ssl=context)
        connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        connection.initiate_connection()
        writer.write(connection.data_to_send())
        limits: list[int] = []

        async def read_until(wanted: type[h2.events.Event]) -> None:
            while True:
                found = connection.receive_data(await reader.read(65536))
                writer.write(connection.data_to_send())
                limits.append(connection.remote_settings.max_concurrent_streams)
                if any(isinstance(event, wanted) for event in found):
                    return

        async with asyncio.timeout(5):
            await read_until(h2.events.RemoteSettingsChanged)
            assert limits[-1] == 1
            token = Provider(providers).token()
            connection.send_headers(
                1,
                [
                    (":method", "POST"),
                    (":scheme", "https"),
                    (":authority", "127.0.0.1"),
                    (":path", f"/3/device/{DEVICE}"),
                    ("authorization", f"bearer {token}"),
                    ("apns-topic", "cn.linli.app"),
                    ("apns-push-type", "alert"),
                ],
            )
            connection.send_data(1, PAYLOAD, end_stream=True)
            writer.write(connection.data_to_send())
            await read_until(h2.events.StreamEnded)
        assert limits[-1] == 1000
        writer.close()

    async def test_is_refused_without_http2(self, providers: Providers) -> None:
        context = ssl.create_default_context(cafile=providers.settings["LINLI_APNS_CA_FILE"])
        async with httpx.AsyncClient(http2=False, verify=context, trust_env=False) as client:
            with pytest.raises(httpx.TransportError):
                await client.post(f"{providers.settings['LINLI_APNS_URL']}/3/device/{DEVICE}", content=PAYLOAD)

    async def test_is_refused_by_who_does_not_trust_its_authority(self, providers: Providers) -> None:
        async with httpx.AsyncClient(http2=True, trust_env=False) as client:
            with pytest.raises(httpx.ConnectError):
                await client.post(f"{providers.settings['LINLI_APNS_URL']}/3/device/{DEVICE}", content=PAYLOAD)
