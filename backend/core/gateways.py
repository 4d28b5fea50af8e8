"""What the lowest features ask of the outside world; implementations are wired at the composition root.

They live here because `accounts` sends login codes and lies below `notifications`, which owns the SMS transport.
Every method raises `GatewayError`; none is ever called inside a database transaction.
"""

from collections.abc import Mapping
from typing import Protocol


class SmsGateway(Protocol):
    """Sends text messages by approved template."""

    async def send(self, *, phone: str, template: str, params: Mapping[str, str | int], locale: str = "zh-CN") -> str:
        """Send `template` (a name of notifications/rules/texts.py) to `phone` (11 digits, or +86…); returns its id."""
        ...


class VoiceGateway(Protocol):
    """Rings a phone and reads a template aloud."""

    async def call(self, *, phone: str, template: str, params: Mapping[str, str | int], locale: str = "zh-CN") -> str:
        """Ring `phone` and read `template` aloud; returns the provider's id of the call."""
        ...


class WeChatLogin(Protocol):
    """Turns the mini-program's login code into the person's openid."""

    async def openid_for(self, code: str) -> str:
        """Return the openid behind `code`; GatewayError(permanent=True) when the code is not good (any more)."""
        ...
