"""The client of WeChat's login, against the sandbox's server and against answers that are off."""

from collections.abc import AsyncIterator

import httpx
import pytest

from backend.accounts.gateways.wechat import WeChatCodes
from backend.core.errors import GatewayError
from sandbox.wechat.server import WeChatServer


@pytest.fixture
async def server() -> AsyncIterator[WeChatServer]:
    """WeChat's server, on a free port."""
    made = WeChatServer(appid="wx-linli", secret="the-app-secret")
    await made.http.start(host="127.0.0.1", port=0)
    yield made
    await made.http.close()


def client_of(server: WeChatServer, *, secret: str = "the-app-secret") -> WeChatCodes:
    """Make a client of this server."""
    return WeChatCodes(base_url=f"http://127.0.0.1:{server.http.port}", app_id="wx-linli", app_secret=secret)


class TestOpenidFor:
    async def test_gives_the_person_behind_a_code_once(self, server: WeChatServer) -> None:
        client, code = client_of(server), server.new_login_code("openid-of-alice")
        assert await client.openid_for(code) == "openid-of-alice"
        with pytest.raises(GatewayError) as used:
            await client.openid_for(code)
        assert (used.value.permanent, used.value.code) == (True, "40163")

    async def test_says_that_an_unknown_code_is_at_fault(self, server: WeChatServer) -> None:
        with pytest.raises(GatewayError) as unknown:
            await client_of(server).openid_for("rubbish & more=1")
        assert (unknown.value.permanent, unknown.value.code) == (True, "40029")

    @pytest.mark.parametrize("fault", ["busy", "500", "drop"])
    async def test_says_that_wechat_is_at_fault(self, server: WeChatServer, fault: str) -> None:
        server.faults.add(fault)
        with pytest.raises(GatewayError) as refused:
            await client_of(server).openid_for(server.new_login_code("openid-of-alice"))
        assert refused.value.permanent is False

    async def test_says_that_our_own_secret_is_at_fault_and_never_repeats_it(self, server: WeChatServer) -> None:
        with pytest.raises(GatewayError) as refused:
            await client_of(server, secret="not-the-secret").openid_for(server.new_login_code("openid-of-alice"))
        assert (refused.value.permanent, refused.value.code) == (False, "40125")
        assert "not-the-secret" not in repr(refused.value)

    async def test_keeps_the_secret_out_of_the_error_when_nobody_answers(self) -> None:
        with pytest.raises(GatewayError) as refused:
            await WeChatCodes(base_url="http://127.0.0.1:9", app_id="wx-linli", app_secret="the-app-secret").openid_for(
                "code"
            )
        assert refused.value.permanent is False and refused.value.__cause__ is None
        assert "the-app-secret" not in repr(refused.value)

    @pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"openid": 5}', b"{}"])
    async def test_refuses_an_answer_of_another_shape(self, body: bytes) -> None:
        transport = httpx.MockTransport(lambda _: httpx.Response(200, content=body))
        client = WeChatCodes(
            base_url="",
            app_id="wx-linli",
            app_secret="s",
            client=httpx.AsyncClient(transport=transport, base_url="http://wechat"),
        )
        with pytest.raises(GatewayError):
            await client.openid_for("code")
