"""The outside services that accounts uses, put where the composition root looks for them."""

from backend.accounts.gateways.wechat import WeChatCodes
from backend.core.gateways import WeChatLogin
from backend.core.services import Services
from backend.core.settings import Settings


def put_gateways(services: Services, settings: Settings) -> None:
    """Make the clients of accounts from the settings."""
    services.put(
        WeChatLogin,  # type: ignore[type-abstract]
        WeChatCodes(base_url=settings.wechat_url, app_id=settings.wechat_app_id, app_secret=settings.wechat_app_secret),
    )


async def close_gateways(services: Services) -> None:
    """Close what `put_gateways` opened (the composition root calls it when the process ends)."""
    login = services.get(WeChatLogin)  # type: ignore[type-abstract]
    if isinstance(login, WeChatCodes):
        await login.close()
